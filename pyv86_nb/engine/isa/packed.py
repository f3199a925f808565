"""Packed integers: MMX, and SSE2's of the same names.   SDM vol. 2.

A meaning takes (a, b, i): DEST and SRC as wide words (lanes.py) and the immediate byte; and returns DEST, or a word where that
is a general register.  `lanewise(w, f)` makes one of a function of two lanes.
"""
from .words import pick, sx


def lanewise(w, f):
    return lambda a, b, i: a.each(w, lambda x, y: f(x, y, w), b)


def clamp(x, low, high):
    return pick(x < low, low, pick(x > high, high, x))


# ONE LANE: the result is cut to w bits by the caller

def add(a, b, w): return a + b
def sub(a, b, w): return a - b
def add_signed(a, b, w): return clamp(sx(a, w) + sx(b, w), -1 << w - 1, (1 << w - 1) - 1)
def sub_signed(a, b, w): return clamp(sx(a, w) - sx(b, w), -1 << w - 1, (1 << w - 1) - 1)
def add_unsigned(a, b, w): return pick(a + b > (1 << w) - 1, (1 << w) - 1, a + b)
def sub_unsigned(a, b, w): return pick(a > b, a - b, 0)
def min_signed(a, b, w): return pick(sx(a, w) < sx(b, w), a, b)
def max_signed(a, b, w): return pick(sx(a, w) > sx(b, w), a, b)
def min_unsigned(a, b, w): return pick(a < b, a, b)
def max_unsigned(a, b, w): return pick(a > b, a, b)
def average(a, b, w): return (a + b + 1) >> 1
def equal(a, b, w): return pick(a == b, -1, 0)
def greater(a, b, w): return pick(sx(a, w) > sx(b, w), -1, 0)
def multiply_low(a, b, w): return a * b
def multiply_high(a, b, w): return sx(a, w) * sx(b, w) >> w
def multiply_high_unsigned(a, b, w): return a * b >> w
def multiply_even(a, b, w): return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF)


# ALL LANES

def move(a, b, i): return b
def and_(a, b, i): return a & b
def and_not(a, b, i): return ~a & b
def or_(a, b, i): return a | b
def xor(a, b, i): return a ^ b


def multiply_add(a, b, i):
    """PMADDWD: the products of neighbours, added."""
    def low(x): return sx(x & 0xFFFF, 16)
    def high(x): return sx(x >> 16, 16)
    return a.each(32, lambda x, y: low(x) * low(y) + high(x) * high(y), b)


def sum_of_differences(a, b, i):
    """PSADBW: of each eight bytes."""
    apart = a.each(8, lambda x, y: pick(x > y, x - y, y - x), b)
    return apart.each(64, lambda x: sum((x >> n & 255 for n in range(8, 64, 8)), x & 255))


# PACK, UNPACK

def pack_signed(w):
    return lambda a, b, i: a.pack(w, lambda x: clamp(sx(x, w), -1 << w // 2 - 1, (1 << w // 2 - 1) - 1), b)


def pack_unsigned(w):
    return lambda a, b, i: a.pack(w, lambda x: clamp(sx(x, w), 0, (1 << w // 2) - 1), b)


def unpack(w, high):
    """Lanes of both, in turn, from their low or high halves."""
    def meaning(a, b, i):
        n = a.bits // w
        first = n // 2 if high else 0
        return a.choose(w, [k for j in range(first, first + n // 2) for k in (j, n + j)], b.extended(a.bits))
    return meaning


# SHIFTS: a count of the width or more leaves nothing, or signs

def shift_lanes(a, w, n, name):
    big, n = n >> (4 if w == 16 else 5 if w == 32 else 6) != 0, n & w - 1
    if name == "sra":
        n = pick(big, w - 1, n)
        return a.each(w, lambda x: sx(x, w) >> n)
    keep = pick(big, 0, -1)
    if name == "sll":
        return a.each(w, lambda x: x << n & keep)
    return a.each(w, lambda x: logical_right(x, n, w) & keep)


def logical_right(x, n, w):
    """x >> n; words of 64 bits have their sign in the way."""
    return x >> n if w < 64 else x >> n & ~(-1 << 63 - n << 1)


def shift(w, name):
    """By the low 64 bits of the source, or by the immediate."""
    def meaning(a, b, i):
        return shift_lanes(a, w, i if b is None else b.word(64), name)
    return meaning


def bytes_up(a, b, i):
    """PSLLDQ: to where a byte comes from before the first, 0."""
    n = pick(i > 15, 16, i)
    return a.permute(a.numbers(8).each(8, lambda k: k - n))


def bytes_down(a, b, i):
    """PSRLDQ."""
    n = pick(i > 15, 16, i)
    return a.permute(a.numbers(8).each(8, lambda k: k + n + 0x70))


# SHUFFLES, by the immediate

def shuffle_dwords(a, b, i):
    return b.permute(b.numbers(32).each(32, lambda k: (i >> 2 * k & 3) * 0x04040404 + 0x03020100))


def shuffle_words(half):
    """PSHUFLW, PSHUFHW and PSHUFW: of four words of one half."""
    def meaning(a, b, i):
        def source(k):
            return pick(k >> 2 == half, (i >> 2 * (k & 3) & 3) + 4 * half, k) * 0x0202 + 0x0100
        return b.permute(b.numbers(16).each(16, source))
    return meaning


def shuffle_singles(a, b, i):
    """SHUFPS: two from each."""
    from_a, from_b = shuffle_dwords(None, a, i), shuffle_dwords(None, b, i)
    return from_a.choose(32, (0, 1, 6, 7), from_b)


def shuffle_doubles(a, b, i):
    return a.put(64, 0, a.word(64, i & 1)).put(64, 1, b.word(64, i >> 1 & 1))


# PARTS

def insert_word(a, b, i): return a.put(16, i & a.bits // 16 - 1, b.word(16))
def extract_word(a, b, i): return b.word(16, i & b.bits // 16 - 1)
def signs(w): return lambda a, b, i: b.signs(w)
def word32(a, b, i): return b.word(32)
def low(bits): return lambda a, b, i: b.low(bits)
def extend(a, b, i): return b.extended(128)
def extend64(a, b, i): return b.extended(64)
def merge_low(w): return lambda a, b, i: a.put(w, 0, b.word(w))
def low_from_high(a, b, i): return a.put(64, 0, b.word(64, 1))
def high_from_low(a, b, i): return a.put(64, 1, b.word(64))
def high_half(a, b, i): return b.from_word(64, b.word(64, 1))


def select_signed(a, b, i):
    """MASKMOVDQU, MASKMOVQ: of (the bytes in memory, (source, mask))."""
    source, mask = b
    chosen = mask.each(8, lambda x: pick(x > 127, 255, 0))
    return source & chosen | a & ~chosen


# SSE3

def twice(a, b, i): return b.extended(128).choose(64, (0, 0))
def each_twice(odd): return lambda a, b, i: b.choose(32, (odd, odd, 2 + odd, 2 + odd))

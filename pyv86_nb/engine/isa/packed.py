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


# SSSE3

def absolute(x, w): return pick(sx(x, w) < 0, -x, x)
def sign(a, b, w): return pick(sx(b, w) < 0, -a, pick(b == 0, 0, a))
def multiply_round(a, b, w): return (sx(a, w) * sx(b, w) >> w - 2) + 1 >> 1
def one_operand(w, f): return lambda a, b, i: b.each(w, lambda x: f(x, w))
def permute(a, b, i): return a.permute(b)


def neighbours(w, f):
    """PHADDW and the like: of neighbouring lanes of DEST, then of SRC."""
    def meaning(a, b, i):
        n = 2 * a.bits // w
        return a.choose(w, range(0, n, 2), b).each(w, lambda x, y: f(x, y, w), a.choose(w, range(1, n, 2), b))
    return meaning


def multiply_add_bytes(a, b, i):
    """PMADDUBSW: unsigned by signed."""
    def sum_(x, y): return clamp((x & 255) * sx(y & 255, 8) + (x >> 8) * sx(y >> 8, 8), -0x8000, 0x7FFF)
    return a.each(16, sum_, b)


def align_right(a, b, i):
    """PALIGNR: both, DEST above SRC, shifted right by bytes."""
    n = a.bits // 8
    k = a.numbers(8)
    low = b.permute(k.each(8, lambda k: pick(k + i < n, k + i, 0x80)))
    return low | a.permute(k.each(8, lambda k: pick(k + i < n, 0x80, pick(k + i < 2 * n, k + i - n, 0x80))))


# SSE4.1

def multiply_even_signed(a, b, w): return sx(a & 0xFFFFFFFF, 32) * sx(b & 0xFFFFFFFF, 32)
def widen(w, to, signed): return lambda a, b, i: b.each(w, lambda x: sx(x, w) if signed else x, to=to)
def pack_unsigned_words(a, b, i): return a.pack(32, lambda x: clamp(sx(x, 32), 0, 0xFFFF), b)
def insert(w): return lambda a, b, i: a.put(w, i & 128 // w - 1, b.word(w))
def extract(w): return lambda a, b, i: b.word(w, i & 128 // w - 1)
def extract_to_memory(w): return lambda a, b, i: b.from_word(w, b.word(w, i & 128 // w - 1))


def blend(w):
    """By bits of the immediate."""
    return lambda a, b, i: a.each(w, lambda x, y, k: pick(i >> k & 1 != 0, y, x), b, a.numbers(w))


def blend_by_signs(w):
    """By the top bits of XMM0."""
    return lambda a, b, mask: a.each(w, lambda x, y, s: pick(s >> w - 1 & 1 != 0, y, x), b, mask)


def insert_single(a, b, i):
    """INSERTPS; an operand in memory has one lane."""
    put = a.put(32, i >> 4 & 3, b.word(32, i >> 6 if b.bits == 128 else 0))
    return put.each(32, lambda x, k: pick(i >> k & 1 != 0, 0, x), put.numbers(32))


def least_word(a, b, i):
    """PHMINPOSUW: the least word and where it is."""
    best = b.word(16, 0) << 3
    for k in range(1, 8):
        v = b.word(16, k) << 3 | k
        best = pick(v < best, v, best)
    return b.from_word(64, best >> 3 | (best & 7) << 16).extended(128)


def sums_of_differences(a, b, i):
    """MPSADBW: four bytes of SRC against DEST at eight places."""
    def differences(j):
        there = a.permute(a.numbers(16).each(16, lambda k: k + (i >> 2 & 1) * 4 + j | 0x8000))
        here = b.permute(b.numbers(16).each(16, lambda k: k * 0 + (i & 3) * 4 + j | 0x8000))
        return there.each(16, lambda x, y: pick(x > y, x - y, y - x), here)
    first, *more = (differences(j) for j in range(4))
    for d in more:
        first = first.each(16, lambda x, y: x + y, d)
    return first


def test(a, b, i):
    """PTEST: (ZF, PF, CF)."""
    def none(x): return pick((x.word(64) | x.word(64, 1)) == 0, 1, 0)
    return none(a & b), 0, none(~a & b)

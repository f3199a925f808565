"""Floating point of SSE: what rows mean, on wide words.   SDM vol. 1, 11.4 and 11.5.

A meaning takes (a, b, i, env) and returns DEST; `packed` and `scalar` make one of a function of one lane (softfloat.py).  Handlers do
not come from these but are the host's instruction of the same name, which has the same table of results to answer for; the tests hold
the two together.  RCPPS and RSQRTPS, which every processor does in its own way, are integers here and the same everywhere.
"""
from . import softfloat as SF
from .lanes import Wide
from .words import pick, sx


def packed(w, f):
    return lambda a, b, i, env: a.each(w, lambda x, y: f(SF.FORMATS[w], env, x, y), b)


def packed_one(w, f):
    """Of an operation with one operand."""
    return lambda a, b, i, env: b.each(w, lambda x: f(SF.FORMATS[w], env, x))


def scalar(w, f):
    return lambda a, b, i, env: a.put(w, 0, f(SF.FORMATS[w], env, a.word(w), b.word(w)))


def scalar_one(w, f):
    return lambda a, b, i, env: a.put(w, 0, f(SF.FORMATS[w], env, b.word(w)))


def compare(w, make):
    """CMPPS and the like; the immediate says what is asked."""
    return lambda a, b, i, env: make(w, lambda f, env, x, y: SF.compare(f, env, x, y, i & 7))(a, b, i, env)


def order(w, signaling):
    """COMISS, UCOMISS: (ZF, PF, CF)."""
    def meaning(a, b, i, env):
        o = SF.compared(SF.FORMATS[w], env, a.word(w), b.word(w), signaling)
        return (1, 1, 1) if o is None else (int(o == 0), 0, int(o == -1))
    return meaning


def alternating(w):
    """ADDSUBPS, ADDSUBPD: the even lanes are subtracted."""
    def meaning(a, b, i, env):
        f = SF.FORMATS[w]
        return Wide.join([(SF.add if k & 1 else SF.sub)(f, env, x, y) for k, (x, y) in enumerate(zip(a.lanes(w), b.lanes(w), strict=True))], w)
    return meaning


def horizontal(w, f):
    """HADDPS and the like: neighbours, of DEST and then of SRC."""
    def meaning(a, b, i, env):
        both = a.lanes(w) + b.lanes(w)
        return Wide.join([f(SF.FORMATS[w], env, x, y) for x, y in zip(both[::2], both[1::2], strict=True)], w)
    return meaning


def dot(w):
    """DPPS, DPPD of all lanes, to all lanes: the sums of halves, added."""
    def meaning(a, b, i, env):
        f = SF.FORMATS[w]
        sums = [SF.mul(f, env, x, y) for x, y in zip(a.lanes(w), b.lanes(w), strict=True)]
        while len(sums) > 1:
            sums = [SF.add(f, env, x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
        return Wide.join(sums * (128 // w), w)
    return meaning


def chosen(w):
    """Zeros for what the high half of the immediate leaves out."""
    def cut(x, i): return x.each(w, lambda v, k: pick(i >> k + 4 & 1 != 0, v, 0), x.numbers(w))
    return lambda a, b, i: (cut(a, i), cut(b, i))


def broadcast(w):
    """Where the low half of the immediate wants it."""
    return lambda r, i: r.each(w, lambda v, k: pick(i >> k & 1 != 0, v, 0), r.numbers(w))


# CONVERSIONS

def to_integers(w, n, truncate):
    """n numbers to n words of 32 bits in the low part of DEST; the rest of it is 0."""
    def meaning(a, b, i, env):
        mode = SF.ZERO if truncate else env.mode
        return Wide.join([SF.to_integer(SF.FORMATS[w], env, x, mode) for x in b.lanes(w)[:n]], 32).extended(b.bits if n > 2 else 128)
    return meaning


def to_integer(w, truncate):
    return lambda a, b, i, env: SF.to_integer(SF.FORMATS[w], env, b.word(w), SF.ZERO if truncate else env.mode)


def from_integers(w, n):
    return lambda a, b, i, env: Wide.join([SF.from_integer(SF.FORMATS[w], env, sx(x, 32)) for x in b.lanes(32)[:n]], w).extended(128)


def from_integer(w):
    return lambda a, b, i, env: a.put(w, 0, SF.from_integer(SF.FORMATS[w], env, sx(b.word(32), 32)))


def to_integral(w, one):
    """ROUNDPS and the like: the mode is the immediate's, or MXCSR's; bit 3 keeps PE quiet."""
    def meaning(a, b, i, env):
        def round_(x): return SF.to_integral(SF.FORMATS[w], env, x, env.mode if i & 4 else i & 3, i & 8)
        return a.put(w, 0, round_(b.word(w))) if one else b.each(w, round_)
    return meaning


def convert(w, to, n):
    """n numbers of w bits to n of the other width, in the low part of DEST; the rest of it is 0."""
    return lambda a, b, i, env: Wide.join([SF.convert(SF.FORMATS[w], SF.FORMATS[to], env, x) for x in b.lanes(w)[:n]], to).extended(128)


def convert_one(w, to):
    return lambda a, b, i, env: a.put(to, 0, SF.convert(SF.FORMATS[w], SF.FORMATS[to], env, b.word(w)))


# APPROXIMATIONS: |relative error| <= 1.5 * 2**-12, of every host the same.  Thirteen bits of the fraction, one by one

BITS = range(12, -1, -1)


def digits(fits):
    """The largest y below 2**13 of which `fits` holds."""
    y = 0
    for k in BITS:
        y = pick(fits(y | 1 << k), y | 1 << k, y)
    return y


def reciprocal(x):
    """1 / (1.f * 2**n) = (2 / 1.f) * 2**(-n-1).  Denormals are zeros, here and in the result."""
    sign, exponent, fraction = x & 0x80000000, x >> 23 & 255, x >> 11 & 0xFFF
    m = (fraction | 0x1000) * 2 + 1                     # the middle of what 12 bits of fraction stand for, times 2**13
    y = digits(lambda t: t * m <= 1 << 26)              # 2**13 / 1.f, in [2**12, 2**13)
    r = 253 - exponent << 23 | (y & 0xFFF) << 11
    r = pick(exponent > 252, 0, r)
    r = pick(exponent == 0, 0x7F800000, r)
    return sign | special(x, r, 0)


def special(x, r, endless):
    """Infinity and NaNs go their own way."""
    magnitude = x & 0x7FFFFFFF
    r = pick(magnitude == 0x7F800000, endless, r)
    return pick(magnitude > 0x7F800000, magnitude | 0x400000, r)


def reciprocal_root(x):
    """1 / sqrt(1.f * 2**n), by an even exponent and a number in [1, 4)."""
    exponent, fraction = x >> 23 & 255, x >> 11 & 0xFFF
    odd = exponent + 1 & 1                              # of the exponent without its bias, 127
    m = (fraction | 0x1000) * 2 + 1 << odd
    y = digits(lambda t: t * t * m <= 1 << 39)          # 2**13 / sqrt(m / 2**13), in (2**12, 2**13)
    r = 126 - (exponent - 127 - odd >> 1) << 23 | (y & 0xFFF) << 11
    r = pick(x >> 31 != 0, 0xFFC00000, r)
    r = pick(exponent == 0, x & 0x80000000 | 0x7F800000, r)
    magnitude = x & 0x7FFFFFFF
    r = pick(x == 0x7F800000, 0, r)
    return pick(magnitude > 0x7F800000, x | 0x400000, r)


def approximate(f, n):
    def meaning(a, b, i):
        return b.each(32, f) if n == 4 else a.put(32, 0, b.extended(128).each(32, f).word(32))
    return meaning

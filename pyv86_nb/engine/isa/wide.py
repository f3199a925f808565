"""64-bit patterns, which an int64 word just holds, and pairs of them.   As words.py: for plain ints, numba, and `Val`.

A pattern is a signed int64; `wrap` brings a left shift of Python's ints back to one, and costs the other readers nothing.  Sums
and products that may leave the 63 bits are `plus`, `minus` and `times`: numba promises LLVM that its own never do.

A pair (high, low) is a number of 128 bits.  Shift counts are 0-63 where nothing else is said.
"""
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numba.extending import register_jitable as semantic

from .words import pick

LOWEST = -1 << 63                                       # the pattern with only its top bit set
_ALL = (1 << 64) - 1


def wrap(x):
    """The pattern of a result that may have left the 64 bits."""
    return x if hasattr(x, "pick") else (x + (1 << 63) & _ALL) - (1 << 63)


@overload(wrap)
def _wrap(x):
    return lambda x: np.int64(x)


def plus(a, b):
    return wrap(a + b)


@overload(plus)
def _plus(a, b):
    return lambda a, b: np.int64(np.uint64(a) + np.uint64(b))


def minus(a, b):
    return wrap(a - b)


@overload(minus)
def _minus(a, b):
    return lambda a, b: np.int64(np.uint64(a) - np.uint64(b))


def times(a, b):
    return wrap(a * b)


@overload(times)
def _times(a, b):
    return lambda a, b: np.int64(np.uint64(a) * np.uint64(b))


def _unknown(*words):
    return next((x for x in words if hasattr(x, "pick")), None)


def lsr(x, n):
    """x >> n, zeros coming in."""
    v = _unknown(x, n)
    return wrap((x & _ALL) >> n) if v is None else v.lsr(x, n)


@overload(lsr)
def _lsr(x, n):
    return lambda x, n: np.int64(np.uint64(x) >> np.uint64(n))


def ult(a, b):
    """1 if a is less than b as patterns, else 0."""
    v = _unknown(a, b)
    return int(a & _ALL < b & _ALL) if v is None else v.ult(a, b)


@overload(ult)
def _ult(a, b):
    return lambda a, b: np.int64(1) if np.uint64(a) < np.uint64(b) else np.int64(0)


def umulh(a, b):
    """The upper half of the product of two patterns."""
    v = _unknown(a, b)
    return wrap((a & _ALL) * (b & _ALL) >> 64) if v is None else v.umulh(a, b)


@intrinsic
def _high_product(typingctx, a, b):
    def codegen(context, builder, sig, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
    return types.int64(types.int64, types.int64), codegen


@overload(umulh)
def _umulh(a, b):
    return lambda a, b: _high_product(np.int64(a), np.int64(b))


def clz(x):
    """How many zeros come before the first one: 64 for 0."""
    return x.clz() if hasattr(x, "pick") else 64 - (x & _ALL).bit_length()


@intrinsic
def _leading_zeros(typingctx, x):
    def codegen(context, builder, sig, args):
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
    return types.int64(types.int64), codegen


@overload(clz)
def _clz(x):
    return lambda x: _leading_zeros(np.int64(x))


@semantic
def bit(c):
    """1 for a condition that holds, else 0."""
    return pick(c, 1, 0)


@semantic
def shift_left(high, low, n):
    """A pair, n = 0-63."""
    return wrap(high << n) | lsr(lsr(low, 1), 63 - n), wrap(low << n)


@semantic
def shifted_down(x, n):
    """(high, low) of the pair x:0 shifted right by n >= 0, as shift_right, in fewer words."""
    n = pick(n > 127, 127, n)
    m = n & 63
    near, kept, fallen = n < 64, lsr(x, m), wrap(x << 1 << 63 - m)
    return pick(near, kept, 0), pick(near, fallen, kept | bit(fallen != 0))


@semantic
def shift_right(high, low, n):
    """A pair shifted right by any n >= 0; what is lost is or-ed into the lowest bit, so that rounding can tell."""
    m = n & 63
    near = n < 64
    fallen = wrap(high << 1 << 63 - m)          # out of the upper half
    lost = pick(near, wrap(low << 1 << 63 - m), fallen | low)
    new_low = pick(near, lsr(low, m) | fallen, lsr(high, m))
    new_high = pick(near, lsr(high, m), 0)
    gone = n > 127
    lost = pick(gone, high | low, lost)
    return new_high, pick(gone, 0, new_low) | bit(lost != 0)


@semantic
def add_pairs(ah, al, bh, bl):
    """(carry, high, low)"""
    low = plus(al, bl)
    c = ult(low, al)
    high = plus(ah, bh)
    high2 = plus(high, c)
    return ult(high, ah) | ult(high2, high), high2, low


@semantic
def subtract_pairs(ah, al, bh, bl):
    """(high, low)"""
    return minus(minus(ah, bh), ult(al, bl)), minus(al, bl)


@semantic
def less_pairs(ah, al, bh, bl):
    return ult(ah, bh) | (bit(ah == bh) & ult(al, bl))

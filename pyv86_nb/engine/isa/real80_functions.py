"""Exact functions of 80-bit numbers: remainders, scaling, taking apart, classes.   SDM vol. 2: FPREM FPREM1 FSCALE FXTRACT FXAM."""
from .real80 import (
    BIAS,
    C0,
    C1,
    C2,
    C3,
    DE,
    DENORMAL,
    IE,
    INDEFINITE,
    INFINITY,
    LARGEST,
    NEGATIVE_NAN,
    OE,
    PE,
    QUIET,
    UE,
    UNSUPPORTED,
    WRAP,
    ZE,
    ZERO,
    kind,
    nan_of,
    normal,
    result,
)
from .real80_convert import from_integer_core
from .wide import LOWEST, clz, lsr, minus, semantic, ult, wrap

FARTHEST = 0x10000                                      # FSCALE by so much overflows or underflows every number


@semantic
def examine(m, e, empty):
    """C3 C2 C0 of FXAM; C1 is the sign whatever the class."""
    k, sign = kind(m, e), C1 if e >> 15 else 0
    if empty:
        return C3 | C0 | sign
    if k == UNSUPPORTED:
        return sign
    if k >= QUIET:
        return C0 | sign
    if k == INFINITY:
        return C2 | C0 | sign
    return (C3 if k == ZERO else C3 | C2 if k == DENORMAL else C2) | sign


@semantic
def remainder(am, ae, bm, be, nearest, fcw):
    """FPREM, FPREM1 (nearest): (significand, exponent, flags and C0-C3).  Above 2^64 between the operands a part of the way:
    C2.  The remainder is exact, whatever the control word says."""
    a, b = kind(am, ae), kind(bm, be)
    if a >= QUIET or b >= QUIET:
        return nan_of(am, ae, bm, be)
    if a == INFINITY or b == ZERO:
        return INDEFINITE, NEGATIVE_NAN, IE
    flags = DE if a == DENORMAL or b == DENORMAL else 0
    if flags & ~fcw:
        return 0, 0, DE
    if a == ZERO or b == INFINITY:
        return am, ae, flags
    x, r = normal(am, ae)
    y, d = normal(bm, be)
    sign, q, far = ae >> 15, 0, x - y
    steps = far if far < 64 else 32 + far % 32          # bits of the quotient, less one
    above = 0                                           # above:r is the rest, as d meets it
    for i in range(steps + 1):
        if i:
            q, above, r = wrap(q << 1), lsr(r, 63), wrap(r << 1)
        if above or ult(r, d) == 0:
            r, q = minus(r, d), q | 1
    e = x - max(steps, 0)
    if nearest and far < 64:
        if far == -1:                                   # the quotient is between a half and one, or a half itself
            more = ult(d, r) != 0
            other = minus(wrap(d << 1), r)
        else:
            other = minus(d, r)
            more = far >= 0 and (ult(other, r) != 0 or (other == r and q & 1 == 1))
        if more:
            r, q, sign = other, q + 1, sign ^ 1
    if far >= 64:
        flags |= C2
    else:
        flags |= (C0 if q & 4 else 0) | (C3 if q & 2 else 0) | (C1 if q & 1 else 0)
    if r == 0:
        return 0, sign << 15, flags
    n = clz(r)
    m, e, more_flags = result(sign, e - n, wrap(r << n), 0, fcw, 0)
    return m, e, flags | more_flags


@semantic
def scale(am, ae, bm, be, fcw):
    """FSCALE: ST(0) times 2 to the power of ST(1) without its fraction."""
    a, b = kind(am, ae), kind(bm, be)
    if a >= QUIET or b >= QUIET:
        return nan_of(am, ae, bm, be)
    sign = ae & 0x8000
    if b == INFINITY:
        if (a == ZERO and be >> 15 == 0) or (a == INFINITY and be >> 15):
            return INDEFINITE, NEGATIVE_NAN, IE
    flags = DE if a == DENORMAL or b == DENORMAL else 0
    if flags & ~fcw:
        return 0, 0, DE
    if b == INFINITY:
        return (0, sign, flags) if be >> 15 else (LOWEST, sign | 0x7FFF, flags)
    if a == ZERO or a == INFINITY or b == ZERO:
        if b == ZERO and a == DENORMAL:
            x, m = normal(am, ae)
            m, e, more = result(sign >> 15, x, m, 0, fcw, 0)
            return m, e, flags | more
        return am, ae, flags
    x, m = normal(am, ae)
    y, n = normal(bm, be)
    by = FARTHEST
    if y < BIAS + 17:
        by = lsr(n, min(BIAS + 63 - y, 63)) if y >= BIAS else 0
    x = x - by if be >> 15 else x + by
    if x > LARGEST + WRAP and fcw & OE == 0:            # too far even for an exponent that is moved
        return LOWEST, sign | 0x7FFF, flags | OE | PE | C1
    if x < 1 - WRAP and fcw & UE == 0:
        return 0, sign, flags | UE | PE
    m, e, more = result(sign >> 15, x, m, 0, fcw, 0)
    return m, e, flags | more


@semantic
def extract(m, e, fcw):
    """FXTRACT: (exponent as a number, significand as a number, flags), each of the two in two words."""
    k = kind(m, e)
    if k >= QUIET:
        m, e, flags = nan_of(m, e, m, e)
        return m, e, m, e, flags
    if k == ZERO:
        return LOWEST, 0xFFFF, m, e, ZE
    if k == INFINITY:
        return LOWEST, 0x7FFF, m, e, 0
    flags = DE if k == DENORMAL else 0
    x, n = normal(m, e)
    xm, xe = from_integer_core(x - BIAS)
    return xm, xe, n, BIAS | e & 0x8000, flags

"""80-bit numbers to and from integers, single and double precision, and decimals.   SDM vol. 1, 4.2, 4.7, 8.3.2, 8.5."""
from .real80 import (
    BIAS,
    C1,
    DE,
    DENORMAL,
    IE,
    INDEFINITE,
    INFINITY,
    NEGATIVE_NAN,
    OE,
    PE,
    QUIET,
    SIGNALLING,
    UE,
    UNSUPPORTED,
    ZERO,
    finish,
    kind,
    normal,
    rounded,
)
from .wide import LOWEST, clz, lsr, minus, plus, semantic, shifted_down, ult, wrap
from .words import pick, udivmod

SINGLE_CUT, DOUBLE_CUT = 40, 11                         # bits of the significand that the shorter formats do not have
BILLION = 1_000_000_000
DECIMAL_LIMIT = BILLION * BILLION                       # 18 digits


# CORES: without branches

@semantic
def from_integer_core(v):
    """(significand, exponent) of a signed integer; 0 gives (0, 0)."""
    sign = lsr(v, 63)
    n = pick(sign != 0, minus(0, v), v)
    zeros = clz(n)
    return wrap(n << (zeros & 63)), pick(n == 0, 0, BIAS + 63 - zeros | sign << 15)


@semantic
def to_integer_core(sign, e, m, rc):
    """(magnitude, inexact, away) of a finite number, below 2^64; carry out is lost."""
    high, low = shifted_down(m, pick(e > BIAS + 63, 0, BIAS + 63 - e))
    r, carry, inexact, away = rounded(sign, high, low, rc, 0)
    return r, carry, inexact, away


# INTEGERS

@semantic
def to_integer(m, e, bits, rc):
    """(pattern of `bits` bits, flags); what does not fit is the integer indefinite."""
    k = kind(m, e)
    indefinite = LOWEST if bits == 64 else 1 << bits - 1
    if k >= INFINITY:
        return indefinite, IE
    x, n = normal(m, e)
    sign = e >> 15
    if x > BIAS + 63:
        return indefinite, IE
    r, carry, inexact, away = to_integer_core(sign, x, n, rc)
    largest = plus(lsr(-1, 65 - bits), sign)
    if carry or ult(largest, r):
        return indefinite, IE
    v = minus(0, r) if sign else r
    return v if bits == 64 else v & (1 << bits) - 1, inexact * PE | away * C1


@semantic
def round_to_integer(m, e, fcw):
    """FRNDINT: (significand, exponent, flags)."""
    k = kind(m, e)
    if k == UNSUPPORTED:
        return INDEFINITE, NEGATIVE_NAN, IE
    if k == SIGNALLING:
        return m | 1 << 62, e, IE
    if k == ZERO or k == INFINITY or k == QUIET:
        return m, e, 0
    denormal = DE if k == DENORMAL else 0
    if denormal & ~fcw:
        return 0, 0, DE
    x, n = normal(m, e)
    if x >= BIAS + 63:
        return m, e, 0
    sign = e & 0x8000
    r, _, inexact, away = to_integer_core(sign >> 15, x, n, fcw >> 10 & 3)
    zeros = clz(r)
    flags = denormal | inexact * PE | away * C1
    if r == 0:
        return 0, sign, flags
    return wrap(r << zeros), BIAS + 63 - zeros | sign, flags


# SINGLE AND DOUBLE PRECISION: patterns of 32 and 64 bits; `cut` is SINGLE_CUT or DOUBLE_CUT

@semantic
def exponent_bits(cut):
    return 8 if cut == SINGLE_CUT else 11


@semantic
def widen(v, cut):
    """(significand, exponent, flags): every shorter number is one of ours.  A signalling NaN stays what it is."""
    bits, fraction = exponent_bits(cut), 63 - cut
    sign, e = v >> bits + fraction & 1, v >> fraction & (1 << bits) - 1
    m = wrap((v & (1 << fraction) - 1) << cut)
    if e == (1 << bits) - 1:
        return m | LOWEST, sign << 15 | 0x7FFF, 0
    if e:
        return m | LOWEST, e - (1 << bits - 1) + 1 + BIAS | sign << 15, 0
    if m == 0:
        return 0, sign << 15, 0
    n = clz(m)
    return wrap(m << n), 1 - n - (1 << bits - 1) + 1 + BIAS | sign << 15, DE


@semantic
def narrow(m, e, cut, fcw):
    """(pattern, flags)"""
    bits, fraction = exponent_bits(cut), 63 - cut
    largest, sign, k = (1 << bits) - 2, e >> 15, kind(m, e)
    flags = 0
    if k == UNSUPPORTED:
        m, sign, x, flags = INDEFINITE, 1, largest + 1, IE
    elif k >= INFINITY:
        x = largest + 1
        if k == SIGNALLING:
            m, flags = m | 1 << 62, IE
    elif k == ZERO:
        x = 0
    else:
        x, n = normal(m, e)
        m, x, flags = finish(sign, x - BIAS + (1 << bits - 1) - 1, n, 0, fcw, cut, largest, 3 << bits - 2)
        if flags & ~fcw & (OE | UE):                    # nothing is going to be stored
            flags &= OE | UE
    return wrap(sign << bits + fraction) | x << fraction | lsr(m, cut) & (1 << fraction) - 1, flags


# PACKED DECIMALS: 18 digits and a sign, as (low 64 bits, high 16)

@semantic
def from_decimal(low, high):
    """(significand, exponent).  Digits above 9 count as what they are."""
    v = 0
    for i in range(17, -1, -1):
        v = 10 * v + (high >> 4 * (i - 16) & 15 if i > 15 else low >> 4 * i & 15)
    m, e = from_integer_core(v)
    return m, e | high & 0x8000


@semantic
def to_decimal(m, e, rc):
    """(low, high, flags)"""
    k, x, n, sign = kind(m, e), 0, 0, e >> 15
    r = carry = inexact = away = 0
    if k < INFINITY:
        x, n = normal(m, e)
        r, carry, inexact, away = to_integer_core(sign, x, n, rc)
    if k >= INFINITY or x > BIAS + 63 or carry or ult(DECIMAL_LIMIT - 1, r):
        return wrap(0xC000 << 48), 0xFFFF, IE
    low = high = 0
    for i in range(18):
        r, digit = udivmod(r, 10)
        if i > 15:
            high |= digit << 4 * (i - 16)
        else:
            low |= digit << 4 * i
    return wrap(low), high | sign << 15, inexact * PE | away * C1

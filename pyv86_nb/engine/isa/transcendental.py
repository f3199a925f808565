"""F2XM1 FYL2X FYL2XP1 FSIN FCOS FSINCOS FPTAN FPATAN: the same bits on every host.   SDM vol. 1, 8.3.8-8.3.10; vol. 2.

Inside, a *long* number is (exponent, high, low): a normalised pair of 128 bits with the point behind its top bit.  A *fixed* one
is a pair with the point at the same place, not normalised.  Series are summed to some 2^-120, so that what is returned, rounded
once to 64 bits as rounding control says, is off by little more than half a unit of the last place to nearest, and by little
more than one unit, to the side that was asked for, in the other roundings (tests, against mpmath).

Angles are reduced by the 66 bits of pi that Intel's processors have: FSIN(x) is the sine of x scaled by pi over pi66, so for
arguments far from 0 it is near the sine of x, but not within a unit.  Precision control has no say here.
"""
import math

import numpy as np
from numba.extending import overload

from .real80 import (
    BIAS,
    C2,
    DE,
    DENORMAL,
    IE,
    INDEFINITE,
    INFINITY,
    NEGATIVE_NAN,
    QUIET,
    ZE,
    ZERO,
    kind,
    nan_of,
    normal,
    result,
)
from .wide import (
    LOWEST,
    add_pairs,
    clz,
    less_pairs,
    lsr,
    plus,
    semantic,
    shift_left,
    shift_right,
    subtract_pairs,
    times,
    ult,
    umulh,
    wrap,
)

PI_HIGH, PI_LOW = -0x36F0255DDE973DCC, -0x3B399D747F23E32F               # of pi, pi/2, pi/4
PI66_HIGH, PI66_LOW = PI_HIGH, -0x4000000000000000
THREE_HIGH, THREE_LOW = -0x69341C0666F16E59, -0x6C6B36175F5AEA63         # of 3 pi / 4
LN2_HIGH, LN2_LOW = -0x4E8DE8082E308655, -0x361C4C67FC0D0951             # of ln 2, exponent -1
LOG2E_HIGH, LOG2E_LOW = -0x4755C4D6A3E80F45, -0x4178012F96E2C177         # of 1 / ln 2
TAN_PI_8 = -0x2BEC333018866DEF                                           # exponent -2
SQRT_2 = -0x4AFB0CCC06219B7C                                             # exponent 0
# Coefficients of series, fixed, one after the other; a series is its first one << 8 | how many.  The last is below 2^-120 for all
# arguments: (exp(w) - 1) / w, w up to ln 2;  sin(r) / r and cos(r) by w = r^2, r up to pi/4;  artanh(z) / z and arctan(z) / z by w =
# z^2, z up to 0.172 (the first 27) and tan(pi/8)
FRACTIONS = ([math.factorial(k + 1) for k in range(30)] + [math.factorial(2 * k + 1) for k in range(16)]
             + [math.factorial(2 * k) for k in range(16)] + [2 * k + 1 for k in range(47)])
EXPONENTIAL, SINE, COSINE, ODD_FEW, ODD = 30, 30 << 8 | 16, 46 << 8 | 16, 62 << 8 | 27, 62 << 8 | 47
TABLE = [word for d in FRACTIONS for word in (wrap((1 << 127) // d >> 64), wrap((1 << 127) // d))]
WORDS = np.array(TABLE, np.int64)
TINY = -60                                              # below 2^TINY the second term of a series is seen in rounding alone


# LONG AND FIXED NUMBERS

@semantic
def product(ah, al, bh, bl):
    """The upper 128 bits of a product of pairs, up to three units too small."""
    cross, other = umulh(ah, bl), umulh(al, bh)
    low = plus(times(ah, bh), cross)
    high = plus(umulh(ah, bh), ult(low, cross))
    low = plus(low, other)
    return plus(high, ult(low, other)), low


@semantic
def fixed_product(ah, al, bh, bl):
    h, l = product(ah, al, bh, bl)
    return shift_left(h, l, 1)


@semantic
def multiply(ae, ah, al, be, bh, bl):
    h, l = product(ah, al, bh, bl)
    n = lsr(h, 63) ^ 1
    h, l = shift_left(h, l, n)
    return ae + be + 1 - n, h, l


@semantic
def normalised(e, h, l):
    """The long number of a fixed one with an exponent."""
    if h == 0:
        h, l, e = l, 0, e - 64
    n = clz(h) & 63
    h, l = shift_left(h, l, n)
    return e - n, h, l


@semantic
def divide(ae, ah, al, be, bh, bl):
    """Of long numbers, bit by bit; a remainder sets the lowest bit."""
    e = ae - be
    if less_pairs(ah, al, bh, bl):
        e -= 1
        above = lsr(ah, 63)
        ah, al = shift_left(ah, al, 1)
    else:
        above = 0
    h = l = 0
    for _ in range(128):
        h, l = shift_left(h, l, 1)
        if above or less_pairs(ah, al, bh, bl) == 0:
            ah, al = subtract_pairs(ah, al, bh, bl)
            l |= 1
        above = lsr(ah, 63)
        ah, al = shift_left(ah, al, 1)
    return e, h, l | (1 if ah | al else 0)


@semantic
def one_plus(h, l, negative):
    """1 + x or 1 - x, fixed, of a fixed x."""
    if negative:
        return subtract_pairs(LOWEST, 0, h, l)
    _, h, l = add_pairs(LOWEST, 0, h, l)
    return h, l


def coefficient(i):
    return TABLE[i]


@overload(coefficient)
def _coefficient(i):
    return lambda i: WORDS[i]


@semantic
def series(e, h, l, terms, negative):
    """Of a long w, fixed: c0 + w (c1 + w (c2 ...)) with the coefficients `terms`; negative: with alternating signs."""
    wh, wl = shift_right(h, l, -e)
    h = l = 0
    for i in range((terms & 255) + (terms >> 8) - 1, (terms >> 8) - 1, -1):
        h, l = fixed_product(wh, wl, h, l)
        if negative:
            h, l = subtract_pairs(coefficient(2 * i), coefficient(2 * i + 1), h, l)
        else:
            _, h, l = add_pairs(coefficient(2 * i), coefficient(2 * i + 1), h, l)
    return h, l


@semantic
def times_fixed(e, h, l, fh, fl):
    """A long number times a fixed one in (0, 2)."""
    fe, fh, fl = normalised(0, fh, fl)
    return multiply(e, h, l, fe, fh, fl)


@semantic
def a_little_less(e, h, l):
    """Below, by less than is seen except in rounding."""
    h, l = subtract_pairs(h, l, 0, 1)
    return normalised(e, h, l)


@semantic
def inexact(sign, e, h, l, fcw):
    """A result that is never exact."""
    return result(sign, e + BIAS, h, l | 1, fcw, 0)


# POWERS OF TWO

@semantic
def power_less_one(m, e, fcw):
    """F2XM1, for -1 to 1; beyond, where the result is undefined, the operand."""
    k = kind(m, e)
    if k >= QUIET:
        return nan_of(m, e, m, e)
    sign = e >> 15
    if k == ZERO:
        return m, e, 0
    if k == INFINITY:
        return (LOWEST, BIAS | 0x8000, 0) if sign else (m, e, 0)
    flags = DE if k == DENORMAL else 0
    if flags & ~fcw:
        return 0, 0, DE
    x, n = normal(m, e)
    x -= BIAS
    if x >= 0:
        return (LOWEST, e - 1, 0) if sign and x == 0 and n == LOWEST else (m, e, flags)
    x, h, l = multiply(x, n, 0, -1, LN2_HIGH, LN2_LOW)
    fh, fl = series(x, h, l, EXPONENTIAL, sign == 1)
    x, h, l = times_fixed(x, h, l, fh, fl)
    m, e, more = inexact(sign, x, h, l, fcw)
    return m, e, flags | more


# LOGARITHMS

@semantic
def log_of_ratio(ne, nh, nl, de, dh, dl):
    """2 artanh(n / d) / ln 2, long."""
    e, h, l = divide(ne, nh, nl, de, dh, dl)
    we, wh, wl = multiply(e, h, l, e, h, l)
    fh, fl = series(we, wh, wl, ODD_FEW, False)
    e, h, l = times_fixed(e, h, l, fh, fl)
    return multiply(e, h, l, 1, LOG2E_HIGH, LOG2E_LOW)


@semantic
def log2(x, h, l):
    """(sign, exponent, high, low) of the binary logarithm of a long number; high is 0 when that is 0."""
    half = 0
    if ult(SQRT_2, h):
        half, x = 1, x + 1                              # to between root 1/2 and root 2
    if half:
        sign, ne, de, one = 1, -1, 0, LOWEST            # 1 - m/2 and 1 + m/2
        nh, nl = subtract_pairs(0, 0, h, l)
    else:
        sign, ne, de, one = 0, 0, 1, lsr(LOWEST, 1)     # m - 1 and 1 + m
        nh, nl = subtract_pairs(h, l, LOWEST, 0)
    dh, dl = shift_right(h, l, 1)
    _, dh, dl = add_pairs(one, 0, dh, dl)
    if nh | nl == 0:
        e, h, l = 0, 0, 0
    else:
        ne, nh, nl = normalised(ne, nh, nl)
        de, dh, dl = normalised(de, dh, dl)
        e, h, l = log_of_ratio(ne, nh, nl, de, dh, dl)
    if x == 0:
        return sign, e, h, l
    h, l = shift_right(h, l, 15 - e)                    # the point is now after 16 bits
    whole = abs(x) << 48
    other = sign ^ (1 if x < 0 else 0)
    if other:
        h, l = subtract_pairs(whole, 0, h, l)
    else:
        _, h, l = add_pairs(whole, 0, h, l)
    e, h, l = normalised(15, h, l)
    return 1 if x < 0 else 0, e, h, l


@semantic
def log2_near_1(sign, x, n):
    """Of 1 + f, f a long number above -1/2 with 64 bits: without losing the bits of a small f."""
    fh, fl = shift_right(n, 0, 1 - x)
    fh, fl = one_plus(fh, fl, sign == 1)                # 1 + f/2
    de, dh, dl = normalised(1, fh, fl)
    e, h, l = log_of_ratio(x, n, 0, de, dh, dl)
    return sign, e, h, l


@semantic
def times_log(xm, xe, ym, ye, plus_1, fcw):
    """FYL2X: ST(1) log2 ST(0);  FYL2XP1 (plus_1): ST(1) log2 (ST(0) + 1)."""
    a, b = kind(xm, xe), kind(ym, ye)
    if a >= QUIET or b >= QUIET:
        return nan_of(ym, ye, xm, xe)
    sx, sy = xe >> 15, ye >> 15
    x, n = normal(xm, xe)
    y, m = normal(ym, ye)
    x, y = x - BIAS, y - BIAS
    flags = DE if a == DENORMAL or b == DENORMAL else 0
    whole = a == ZERO if plus_1 else x == 0 and n == LOWEST and sx == 0      # the logarithm is 0
    if plus_1:
        bad = sx == 1 and a != ZERO and x >= 0          # of no positive number
        below = sx
    else:
        bad = sx == 1 and a != ZERO
        below = 1 if x < 0 else 0                       # the logarithm is negative
    if bad or (whole and b == INFINITY) or (a == INFINITY and b == ZERO) or (a == ZERO and b == ZERO and not plus_1):
        return INDEFINITE, NEGATIVE_NAN, IE
    if a == ZERO and not plus_1:
        return LOWEST, 0x7FFF | (sy ^ 1) << 15, 0 if b == INFINITY else ZE
    if flags & ~fcw:
        return 0, 0, DE
    if a == INFINITY:
        return LOWEST, 0x7FFF | sy << 15, flags
    if b == INFINITY:
        return LOWEST, 0x7FFF | (sy ^ below) << 15, flags
    if b == ZERO or whole:
        return 0, (sy ^ below if not whole else sy ^ sx & plus_1) << 15, flags
    if plus_1 and x < -1:
        sign, e, h, l = log2_near_1(sx, x, n)
    elif plus_1:
        h, l = n, 0
        if x < 1:                                       # 1 + f, the point one bit later
            h, l = shift_right(n, 0, 1 - x)
            one = lsr(LOWEST, 1)
            if sx:
                h, l = subtract_pairs(one, 0, h, l)
            else:
                _, h, l = add_pairs(one, 0, h, l)
            x = 1
        elif x < 127:
            oh, ol = shift_right(LOWEST, 0, x)
            c, h, l = add_pairs(n, 0, oh, ol)
            if c:
                h, l = lsr(h, 1) | LOWEST, lsr(l, 1) | wrap(h << 63)
                x += 1
        x, h, l = normalised(x, h, l)
        sign, e, h, l = log2(x, h, l)
    else:
        sign, e, h, l = log2(x, n, 0)
        if n == LOWEST:                                 # of a power of two: exact
            e, h, l = multiply(e, h, l, y, m, 0)
            m, e, more = result(sign ^ sy, e + BIAS, h, l, fcw, 0)
            return m, e, flags | more
    e, h, l = multiply(e, h, l, y, m, 0)
    m, e, more = inexact(sign ^ sy, e, h, l, fcw)
    return m, e, flags | more


# ANGLES

@semantic
def reduced(x, n):
    """(multiples of pi66 / 2, negative, exponent, high, low): what is left lies within pi66 / 4 of 0."""
    q, above, h, l = 0, 0, n, 0
    if x < -1:
        return 0, 0, x, n, 0
    if x < 0:
        h, l = shift_right(n, 0, 1)
    for i in range(x + 1):
        if i:
            q, above = wrap(q << 1), lsr(h, 63)
            h, l = shift_left(h, l, 1)
        if above or less_pairs(h, l, PI66_HIGH, PI66_LOW) == 0:
            h, l = subtract_pairs(h, l, PI66_HIGH, PI66_LOW)
            q |= 1
    oh, ol = subtract_pairs(PI66_HIGH, PI66_LOW, h, l)
    negative = less_pairs(oh, ol, h, l)
    if negative:
        h, l, q = oh, ol, q + 1
    e, h, l = normalised(0, h, l)
    return q, negative, e, h, l


@semantic
def sine_of(e, h, l):
    """Of a long number up to pi / 4."""
    if e < TINY:
        return a_little_less(e, h, l)
    we, wh, wl = multiply(e, h, l, e, h, l)
    fh, fl = series(we, wh, wl, SINE, True)
    return times_fixed(e, h, l, fh, fl)


@semantic
def cosine_of(e, h, l):
    if e < TINY:
        return a_little_less(0, LOWEST, 0)
    we, wh, wl = multiply(e, h, l, e, h, l)
    fh, fl = series(we, wh, wl, COSINE, True)
    return normalised(0, fh, fl)


@semantic
def circular(m, e, turn, fcw):
    """The sine (turn 0), the cosine (turn 1), or the tangent (turn 2) of an angle: (significand, exponent, flags), and C2 when it is
    too large to be reduced."""
    k = kind(m, e)
    if k >= QUIET:
        return nan_of(m, e, m, e)
    if k == INFINITY:
        return INDEFINITE, NEGATIVE_NAN, IE
    if k == ZERO:
        return (LOWEST, BIAS, 0) if turn == 1 else (m, e, 0)
    flags = DE if k == DENORMAL else 0
    if flags & ~fcw:
        return 0, 0, DE
    sign = e >> 15
    x, n = normal(m, e)
    if x >= BIAS + 63:
        return m, e, C2
    q, negative, x, h, l = reduced(x - BIAS, n)
    if turn == 2:
        if x < TINY and q & 1 == 0:
            sign ^= negative                            # a little more: `inexact` sees to that
        else:
            se, sh, sl = sine_of(x, h, l)
            ce, ch, cl = cosine_of(x, h, l)
            sign ^= negative ^ q & 1
            if q & 1:
                x, h, l = divide(ce, ch, cl, se, sh, sl)
            else:
                x, h, l = divide(se, sh, sl, ce, ch, cl)
    else:
        if turn == 1:
            q, sign = q + 1, 0                          # cos |x| = sin (|x| + pi/2)
        if q & 1:
            x, h, l = cosine_of(x, h, l)
        else:
            x, h, l = sine_of(x, h, l)
            sign ^= negative
        sign ^= q >> 1 & 1
    m, e, more = inexact(sign, x, h, l, fcw)
    return m, e, flags | more


@semantic
def arctangent_of(e, h, l):
    """Of a long number up to 1, long."""
    if e < TINY:
        return a_little_less(e, h, l)
    folded = e == 0 or e == -1 or (e == -2 and ult(TAN_PI_8, h) != 0)
    if folded:                                          # pi/4 - arctan((1 - t) / (1 + t))
        th, tl = shift_right(h, l, -e)
        nh, nl = subtract_pairs(LOWEST, 0, th, tl)
        if nh | nl == 0:
            return -1, PI_HIGH, PI_LOW
        c, dh, dl = add_pairs(LOWEST, 0, th, tl)
        dh, dl = lsr(dh, 1) | wrap(c << 63), lsr(dl, 1) | wrap(dh << 63)
        ne, nh, nl = normalised(0, nh, nl)
        de, dh, dl = normalised(1, dh, dl)
        e, h, l = divide(ne, nh, nl, de, dh, dl)
    we, wh, wl = multiply(e, h, l, e, h, l)
    fh, fl = series(we, wh, wl, ODD, True)
    e, h, l = times_fixed(e, h, l, fh, fl)
    if folded:
        h, l = shift_right(h, l, -1 - e)
        h, l = subtract_pairs(PI_HIGH, PI_LOW, h, l)
        e, h, l = normalised(-1, h, l)
    return e, h, l


@semantic
def arctangent(xm, xe, ym, ye, fcw):
    """FPATAN: the angle of the point ST(0), ST(1)."""
    a, b = kind(xm, xe), kind(ym, ye)
    if a >= QUIET or b >= QUIET:
        return nan_of(ym, ye, xm, xe)
    back, sign = xe >> 15, ye >> 15
    flags = DE if a == DENORMAL or b == DENORMAL else 0
    if flags & ~fcw:
        return 0, 0, DE
    if b == ZERO or (a == INFINITY and b != INFINITY):
        if back == 0:
            return 0, sign << 15, flags
        e, h, l = 1, PI_HIGH, PI_LOW
    elif a == INFINITY:                                 # both are
        e, h, l = -1, PI_HIGH, PI_LOW
        if back:
            e, h, l = 1, THREE_HIGH, THREE_LOW
    elif a == ZERO or b == INFINITY:
        e, h, l = 0, PI_HIGH, PI_LOW
    else:
        x, n = normal(xm, xe)
        y, m = normal(ym, ye)
        steep = x < y or (x == y and ult(n, m) != 0)
        if steep:
            e, h, l = divide(x, n, 0, y, m, 0)
        else:
            e, h, l = divide(y, m, 0, x, n, 0)
        e, h, l = arctangent_of(e, h, l)
        if steep or back:                               # from pi/2 or pi, with the point after two bits
            h, l = shift_right(h, l, 1 - e)
            ph, pl = PI_HIGH, PI_LOW
            if steep:
                ph, pl = shift_right(PI_HIGH, PI_LOW, 1)
            if steep and back:
                _, h, l = add_pairs(ph, pl, h, l)
            else:
                h, l = subtract_pairs(ph, pl, h, l)
            e, h, l = normalised(1, h, l)
    m, e, more = inexact(sign, e, h, l, fcw)
    return m, e, flags | more

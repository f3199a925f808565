"""Numbers of the x87 FPU: double extended precision, and how they are added, multiplied, divided, rounded and compared.
SDM vol. 1, 4.2, 4.8, 8.2-8.5; IEEE 754.

A number is (significand, exponent): 64 bits with the integer bit on top, and 16 bits of sign and biased exponent, as in memory.
Inside, a finite number is sign, exponent (biased, of any size) and a normalised pair high:low, of which low has what comes
after the 64 bits, its lowest bit standing for all that is lost.  Flags are those of the status word, C1 as "rounded away from
zero".  The *cores* have no branches: handlers are made from them too.
"""
import math

from .wide import (
    LOWEST,
    bit,
    clz,
    less_pairs,
    lsr,
    minus,
    plus,
    semantic,
    shift_left,
    shift_right,
    shifted_down,
    subtract_pairs,
    times,
    ult,
    umulh,
    wrap,
)
from .words import pick, udivmod

IE, DE, ZE, OE, UE, PE, SF, ES, C0, C1, C2, C3, B = 1, 2, 4, 8, 16, 32, 64, 128, 0x100, 0x200, 0x400, 0x4000, 0x8000
BIAS, LARGEST = 16383, 0x7FFE                           # the exponent of 1, and of the largest finite numbers
WRAP = 24576                                            # what unmasked overflow and underflow move the exponent by
INDEFINITE = LOWEST | 1 << 62                           # the significand of the NaN that stands for an invalid operation
NEGATIVE_NAN = 0xFFFF
ZERO, NORMAL, DENORMAL, INFINITY, QUIET, SIGNALLING, UNSUPPORTED = range(7)
MORE_THAN_HALF = (1 << 63) - 1                          # what more than half has to be added to for a carry
UP_AND_DOWN = 0x18                                      # which (RC, sign) round away from zero: down the negative, up the positive


# THE CORES: sign 0 or 1; an operand is zero (exponent 0) or normalised

@semantic
def rounded(sign, high, low, rc, k):
    """(significand, carry, inexact, away): a pair rounded to all but the last k bits of its upper half.  A carry out of the top
    leaves 1.0 and is to be added to the exponent."""
    below = pick(k == 0, low, wrap(high << 1 << 63 - k) | bit(low != 0))
    kept = wrap(lsr(high, k) << k)
    inexact = bit(below != 0)
    nearest = ult(plus(below, plus(MORE_THAN_HALF, lsr(high, k) & 1)), below)             # a carry: above half, or half and odd
    away = pick(rc == 0, nearest, inexact & UP_AND_DOWN >> 2 * rc + sign)
    r = plus(kept, away << k)
    carry = bit(r == 0) & away
    return r | wrap(carry << 63), carry, inexact, away


@semantic
def aligned(ea, ma, eb, mb):
    """(1 if b is the larger, exponent and significand of the larger, high and low of the smaller)"""
    less = bit(ea < eb) | bit(ea == eb) & ult(ma, mb)
    e, m = pick(less != 0, eb, ea), pick(less != 0, mb, ma)
    high, low = shifted_down(pick(less != 0, ma, mb), e - pick(less != 0, ea, eb))
    return less, e, m, high, low


@semantic
def sum_core(e, m, high, low):
    """(exponent, high, low) of two aligned magnitudes added; high is 0 if both are zero."""
    total = plus(m, high)
    carry = ult(total, m)
    return (e + carry, pick(carry != 0, lsr(total, 1) | LOWEST, total),
            pick(carry != 0, lsr(low, 1) | low & 1 | wrap(total << 63), low))


@semantic
def difference_core(e, m, high, low):
    """The larger less the smaller, normalised."""
    high, low = subtract_pairs(m, 0, high, low)
    empty = bit(high == 0)                              # of neighbours with different exponents, one bit can be left below
    high, low = pick(empty != 0, low, high), pick(empty != 0, 0, low)
    n = clz(high) & 63
    high, low = shift_left(high, low, n)
    return e - n - (empty << 6), high, low


@semantic
def add(sa, ea, ma, sb, eb, mb):
    """(sign, exponent, high, low) of a sum; zero, with either sign, when high is 0."""
    less, e, m, high, low = aligned(ea, ma, eb, mb)
    if sa == sb:
        e, high, low = sum_core(e, m, high, low)
    else:
        e, high, low = difference_core(e, m, high, low)
    return sb if less else sa, e, high, low


@semantic
def multiply_core(ea, ma, eb, mb):
    """(exponent, high, low) of a product."""
    high, low = umulh(ma, mb), times(ma, mb)
    n = lsr(high, 63) ^ 1
    high, low = shift_left(high, low, n)
    return ea + eb - (BIAS - 1) - n, high, low


@semantic
def _digit(high, low, d1, d0):
    """Knuth's algorithm D: 32 bits of a quotient.  The estimate is at most two too large."""
    q, r = udivmod(high, d1)
    for _ in range(2):
        over = bit(r >> 32 == 0) & (bit(q >> 32 != 0) | ult(wrap(r << 32) | low, times(q, d0)))
        q, r = q - over, r + over * d1
    return q


@semantic
def divide_pair(high, low, d):
    """(quotient, remainder) of a pair by a normalised d that is above `high`."""
    d1, d0 = lsr(d, 32), d & 0xFFFFFFFF
    q1 = _digit(high, lsr(low, 32), d1, d0)
    rest = minus(wrap(high << 32) | lsr(low, 32), times(q1, d))
    q0 = _digit(rest, low & 0xFFFFFFFF, d1, d0)
    return wrap(q1 << 32) | q0, minus(wrap(rest << 32) | low & 0xFFFFFFFF, times(q0, d))


@semantic
def divide_core(ea, ma, eb, mb):
    """(exponent, high, low) of a quotient; mb is not 0."""
    whole = ult(ma, mb) ^ 1
    high, rest = divide_pair(lsr(ma, whole), pick(whole != 0, wrap(ma << 63), 0), mb)
    other = minus(mb, rest)
    low = pick(rest == 0, 0, pick(rest == other, LOWEST, pick(ult(other, rest) != 0, LOWEST | 1, 1)))
    return ea - eb + BIAS - 1 + whole, high, low


@semantic
def compare_core(sa, ea, ma, sb, eb, mb):
    """C3, C2, C0 as in the status word for two ordered numbers."""
    less = bit(ea < eb) | bit(ea == eb) & ult(ma, mb)
    same = bit(ea == eb) & bit(ma == mb)
    zero = same & bit(ma == 0)
    below = pick(sa != sb, sa, pick(sa != 0, (less | same) ^ 1, less))
    equal = zero | same & bit(sa == sb)
    return pick(equal != 0, C3, below * C0)


# WHAT A NUMBER IS

@semantic
def kind(m, e):
    """A pseudo-denormal is a denormal; unnormals, pseudo-infinities and pseudo-NaNs are unsupported."""
    if e & 0x7FFF == 0:
        return ZERO if m == 0 else DENORMAL
    if m >= 0:
        return UNSUPPORTED
    if e & 0x7FFF < 0x7FFF:
        return NORMAL
    if m == LOWEST:
        return INFINITY
    return QUIET if m >> 62 & 1 else SIGNALLING


@semantic
def normal(m, e):
    """(exponent, significand) of a finite number without its sign, normalised; of zero an exponent below all others."""
    e &= 0x7FFF
    if m == 0:
        return -128, 0
    n = clz(m)
    return max(e, 1) - n, wrap(m << n)


@semantic
def precision(fcw):
    """How many bits of the significand precision control cuts off."""
    pc = fcw >> 8 & 3
    return 40 if pc == 0 else 11 if pc == 2 else 0


@semantic
def nan_of(am, ae, bm, be):
    """Of two operands, one of them no number: (significand, exponent, flags).   SDM vol. 1, table 4-7."""
    a, b = kind(am, ae), kind(bm, be)
    if a == UNSUPPORTED or b == UNSUPPORTED:
        return INDEFINITE, NEGATIVE_NAN, IE
    flags = IE if a == SIGNALLING or b == SIGNALLING else 0
    if a < QUIET:
        second = True
    elif b < QUIET:
        second = False
    elif a != b:
        second = a == SIGNALLING                        # the quiet one
    else:
        second = ult(am, bm) != 0 or (am == bm and be < ae)
    return (bm if second else am) | 1 << 62, be if second else ae, flags


# RESULTS

@semantic
def finish(sign, e, high, low, fcw, k, largest, wrapped):
    """(significand, exponent without sign, flags) of a number that is not 0, rounded to 64 - k bits in a format whose largest
    exponent is `largest`.  An infinity has largest + 1; a denormal has 0.   SDM vol. 1, 4.9.1.4-6"""
    rc = fcw >> 10 & 3
    r, carry, inexact, away = rounded(sign, high, low, rc, k)
    flags = 0
    if e + carry < 1:
        if fcw & UE:
            high, low = shift_right(high, low, 1 - e)
            r, carry, inexact, away = rounded(sign, high, low, rc, k)
            flags = UE if inexact else 0
            e = lsr(r, 63)
        else:
            flags, e = UE, e + wrapped + carry
    elif e < 1:                                         # only just normal, when rounded with an unbounded exponent
        high, low = shift_right(high, low, 1 - e)
        r, carry, inexact, away = rounded(sign, high, low, rc, k)
        e = lsr(r, 63)
    else:
        e += carry
        if e > largest:
            if fcw & OE:
                away = 1 if rc == 0 or UP_AND_DOWN >> 2 * rc + sign & 1 else 0
                return LOWEST if away else wrap(-1 << k), largest + away, OE | PE | away * C1
            flags, e = OE, e - wrapped
    return r, e, flags | inexact * PE | away * C1


@semantic
def result(sign, e, high, low, fcw, k):
    """(significand, exponent, flags) in a register."""
    m, e, flags = finish(sign, e, high, low, fcw, k, LARGEST, WRAP)
    return m, e | sign << 15, flags


@semantic
def stops(flags, fcw):
    """Whether an unmasked exception was found before there was a result: operands stay as they are."""
    return flags & ~fcw & (IE | DE | ZE) != 0


# OPERATIONS: (significand, exponent, flags)

ADD, MULTIPLY, COMPARE, COMPARE_POP, SUBTRACT, SUBTRACT_R, DIVIDE, DIVIDE_R = range(8)     # as opcodes D8 number them


@semantic
def arithmetic(op, am, ae, bm, be, fcw):
    if op == SUBTRACT_R or op == DIVIDE_R:
        am, ae, bm, be = bm, be, am, ae
    a, b = kind(am, ae), kind(bm, be)
    if a >= QUIET or b >= QUIET:
        return nan_of(am, ae, bm, be)
    if op == SUBTRACT or op == SUBTRACT_R:
        be ^= 0x8000
    sa, sb = ae >> 15, be >> 15
    sign, k = sa ^ sb, precision(fcw)
    denormal = DE if a == DENORMAL or b == DENORMAL else 0
    ea, ma = normal(am, ae)
    eb, mb = normal(bm, be)
    if op == MULTIPLY:
        if a == INFINITY or b == INFINITY:
            if a == ZERO or b == ZERO:
                return INDEFINITE, NEGATIVE_NAN, IE
            return LOWEST, sign << 15 | 0x7FFF, denormal
        if a == ZERO or b == ZERO:
            return 0, sign << 15, denormal
        e, high, low = multiply_core(ea, ma, eb, mb)
    elif op >= DIVIDE:
        if (a == INFINITY and b == INFINITY) or (a == ZERO and b == ZERO):
            return INDEFINITE, NEGATIVE_NAN, IE
        if a == INFINITY:
            return LOWEST, sign << 15 | 0x7FFF, denormal
        if b == ZERO:
            return LOWEST, sign << 15 | 0x7FFF, ZE
        if a == ZERO or b == INFINITY:
            return 0, sign << 15, denormal
        e, high, low = divide_core(ea, ma, eb, mb)
    else:
        if a == INFINITY or b == INFINITY:
            if a == b and sign:
                return INDEFINITE, NEGATIVE_NAN, IE
            return LOWEST, (ae if a == INFINITY else be), denormal
        sign, e, high, low = add(sa, ea, ma, sb, eb, mb)
        if high == 0:
            sign = sa if sa == sb else bit(fcw >> 10 & 3 == 1)
            return 0, sign << 15, denormal
    if denormal & ~fcw:
        return 0, 0, DE
    m, e, flags = result(sign, e, high, low, fcw, k)
    return m, e, flags | denormal


@semantic
def compare(am, ae, bm, be, quiet):
    """(C3 C2 C0, flags); unordered sets all three.  quiet: FUCOM, to which quiet NaNs are not invalid."""
    a, b = kind(am, ae), kind(bm, be)
    if a >= QUIET or b >= QUIET:
        bad = not quiet or a > QUIET or b > QUIET
        return C3 | C2 | C0, IE if bad else 0
    ea, ma = normal(am, ae)
    eb, mb = normal(bm, be)
    if a == INFINITY: ea = 0x7FFF
    if b == INFINITY: eb = 0x7FFF
    return compare_core(ae >> 15, ea, ma, be >> 15, eb, mb), DE if a == DENORMAL or b == DENORMAL else 0


@semantic
def first_root(high):
    """The square root of high:0, at least 2^126, to 52 bits."""
    y = math.sqrt(2.0 * lsr(high, 11)) * (1 << 36)
    return wrap(int(y) << 1) if y < 2.0 ** 63 else -1


@semantic
def square_root(m, e, fcw):
    a = kind(m, e)
    if a >= QUIET:
        return nan_of(m, e, m, e)
    if a == ZERO:
        return m, e, 0
    if e >> 15:
        return INDEFINITE, NEGATIVE_NAN, IE
    if a == INFINITY:
        return m, e, 0
    denormal = DE if a == DENORMAL else 0
    if denormal & ~fcw:
        return 0, 0, DE
    x, n = normal(m, e)
    odd = x - BIAS & 1
    high, low = lsr(n, 1 - odd), 0 if odd else wrap(n << 63)
    root = first_root(high)
    if ult(high, root) == 0:
        root = -1
    quotient = -1
    if high != -1:
        quotient, _ = divide_pair(high, low, root)
    half = lsr(root, 1) + (root & quotient & 1)
    root = plus(half, lsr(quotient, 1)) | LOWEST        # Newton's step: the root, or one above it
    if less_pairs(high, low, umulh(root, root), times(root, root)):
        root = minus(root, 1)
    rest_high, rest_low = subtract_pairs(high, low, umulh(root, root), times(root, root))
    below = 0
    if rest_high | rest_low:                            # never half: a square has no odd number of digits
        below = LOWEST | 1 if less_pairs(0, root, rest_high, rest_low) else 1
    r, out, flags = result(0, (x - BIAS - odd >> 1) + BIAS, root, below, fcw, precision(fcw))
    return r, out, flags | denormal

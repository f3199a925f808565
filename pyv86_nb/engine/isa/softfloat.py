"""Single and double precision in integers: SSE's arithmetic, bit for bit.   SDM vol. 1, 4.8 and 11.5; IEEE 754.

Numbers are bit patterns.  A finite one is taken apart into (sign, m, e), which is m * 2**e exactly; each operation is done exactly,
and `rounded` rounds once.  `Environment` is what MXCSR says, and collects the flags.  Python's integers are used as they are: this
is how the plain reader does it, and any host whose own SSE cannot be asked.
"""
from dataclasses import dataclass
from math import isqrt

IE, DE, ZE, OE, UE, PE = 1, 2, 4, 8, 16, 32
BEFORE = IE | DE | ZE                                   # found before the result is computed
DAZ, FTZ = 0x40, 0x8000
NEAREST, DOWN, UP, ZERO = range(4)
GUARD = 3                                               # bits below the last place of a quotient or a root, the lowest of them sticky


@dataclass(frozen=True)
class Format:
    bits: int
    fraction: int                                       # bits of it

    @property
    def bias(self): return (1 << self.bits - self.fraction - 2) - 1
    @property
    def top(self): return (1 << self.bits - self.fraction - 1) - 1          # the exponent of infinities and NaNs
    @property
    def infinity(self): return self.top << self.fraction
    @property
    def quiet(self): return 1 << self.fraction - 1
    @property
    def indefinite(self): return 1 << self.bits - 1 | self.infinity | self.quiet
    @property
    def lowest(self): return 1 - self.bias - self.fraction                  # the exponent of the last place of the smallest number

    def sign(self, x): return x >> self.bits - 1
    def magnitude(self, x): return x & (1 << self.bits - 1) - 1
    def is_nan(self, x): return self.magnitude(x) > self.infinity
    def is_signaling(self, x): return self.is_nan(x) and x & self.quiet == 0
    def is_denormal(self, x): return 0 < self.magnitude(x) < 1 << self.fraction
    def signed(self, sign, magnitude): return sign << self.bits - 1 | magnitude

    def parts(self, x):
        """(m, e) of a finite number's magnitude."""
        exponent, fraction = self.magnitude(x) >> self.fraction, x & (1 << self.fraction) - 1
        return (fraction, self.lowest) if exponent == 0 else (fraction | 1 << self.fraction, self.lowest + exponent - 1)


SINGLE, DOUBLE = Format(32, 23), Format(64, 52)
FORMATS = {32: SINGLE, 64: DOUBLE}


class Environment:
    def __init__(self, mxcsr):
        self.mxcsr, self.flags = mxcsr, 0

    @property
    def mode(self): return self.mxcsr >> 13 & 3
    @property
    def masked(self): return self.mxcsr >> 7 & 0x3F

    def operands(self, f, *xs):
        """With denormals told of, or zeros for them.  Told of they are only if nothing else is wrong with the operands."""
        if self.mxcsr & DAZ:
            return [f.signed(f.sign(x), 0) if f.is_denormal(x) else x for x in xs]
        if any(f.is_denormal(x) for x in xs):
            self.flags |= DE
        return xs

    def nan(self, f, a, b):
        """What comes of NaNs: the first operand if it is one, made quiet."""
        if f.is_signaling(a) or f.is_signaling(b):
            self.flags |= IE
        return (a if f.is_nan(a) else b) | f.quiet

    def invalid(self, f):
        self.flags |= IE
        return f.indefinite


def shifted(m, n, sign, mode):
    """(m / 2**n rounded to an integer, whether that is exact)."""
    if n <= 0:
        return m << -n, True
    q, rest = m >> n, m & (1 << n) - 1
    half = 1 << n - 1
    if mode == NEAREST:
        up = rest > half or (rest == half and q & 1)
    else:
        up = rest != 0 and mode == (DOWN if sign else UP)
    return q + up, rest == 0


def rounded(f, env, sign, m, e):
    """m * 2**e as a number of the format.   SDM vol. 1, 4.9.1.5: tiny is what is tiny after rounding without a smallest exponent."""
    if m == 0:
        return f.signed(sign, 0)
    top = m.bit_length() + e                            # the number is below 2**top
    place = max(top - f.fraction - 1, f.lowest)
    q, exact = shifted(m, place - e, sign, env.mode)
    tiny = False
    if top - f.fraction - 1 < f.lowest:
        unbounded, _ = shifted(m, top - f.fraction - 1 - e, sign, env.mode)
        tiny = unbounded.bit_length() + top - f.fraction - 1 <= f.lowest + f.fraction
    if tiny and env.mxcsr & FTZ and env.masked & UE:    # even if it is exact
        env.flags |= UE | PE
        return f.signed(sign, 0)
    if tiny and (not exact or not env.masked & UE):
        env.flags |= UE
    if not exact:
        env.flags |= PE
    magnitude = q if place == f.lowest else q + (place - f.lowest << f.fraction)
    if magnitude >= f.infinity:
        env.flags |= OE | PE
        away = env.mode == NEAREST or env.mode == (DOWN if sign else UP)
        return f.signed(sign, f.infinity if away else f.infinity - 1)
    return f.signed(sign, magnitude)


# ARITHMETIC

def add(f, env, a, b):
    if f.is_nan(a) or f.is_nan(b):
        return env.nan(f, a, b)
    endless = [x for x in (a, b) if f.magnitude(x) == f.infinity]
    if len(endless) == 2 and a != b:
        return env.invalid(f)
    a, b = env.operands(f, a, b)
    if endless:
        return endless[0]
    (ma, ea), (mb, eb) = f.parts(a), f.parts(b)
    e = min(ea, eb)
    total = (-1 if f.sign(a) else 1) * (ma << ea - e) + (-1 if f.sign(b) else 1) * (mb << eb - e)
    if total == 0:
        sign = f.sign(a) if f.sign(a) == f.sign(b) else int(env.mode == DOWN)
        return f.signed(sign, 0)
    return rounded(f, env, int(total < 0), abs(total), e)


def sub(f, env, a, b):
    return add(f, env, a, b if f.is_nan(b) else b ^ 1 << f.bits - 1)


def mul(f, env, a, b):
    if f.is_nan(a) or f.is_nan(b):
        return env.nan(f, a, b)
    sign = f.sign(a) ^ f.sign(b)
    c, d = (0 if env.mxcsr & DAZ and f.is_denormal(x) else f.magnitude(x) for x in (a, b))
    if f.infinity in (c, d) and 0 in (c, d):
        return env.invalid(f)
    a, b = env.operands(f, a, b)
    if f.infinity in (c, d):
        return f.signed(sign, f.infinity)
    (ma, ea), (mb, eb) = f.parts(a), f.parts(b)
    return rounded(f, env, sign, ma * mb, ea + eb)


def div(f, env, a, b):
    if f.is_nan(a) or f.is_nan(b):
        return env.nan(f, a, b)
    sign = f.sign(a) ^ f.sign(b)
    c, d = (0 if env.mxcsr & DAZ and f.is_denormal(x) else f.magnitude(x) for x in (a, b))
    if c == d and c in (0, f.infinity):
        return env.invalid(f)
    if d == 0 and c != f.infinity:
        env.flags |= ZE
        return f.signed(sign, f.infinity)
    a, b = env.operands(f, a, b)
    if c == f.infinity or d == f.infinity:
        return f.signed(sign, f.infinity if c == f.infinity else 0)
    (ma, ea), (mb, eb) = f.parts(a), f.parts(b)
    n = f.fraction + GUARD + max(mb.bit_length() - ma.bit_length(), 0) + 1
    q, rest = divmod(ma << n, mb)
    return rounded(f, env, sign, q << 1 | (rest != 0), ea - eb - n - 1)


def sqrt(f, env, a):
    if f.is_nan(a):
        return env.nan(f, a, a)
    if f.sign(a) and f.magnitude(a) and not (env.mxcsr & DAZ and f.is_denormal(a)):
        return env.invalid(f)
    a, = env.operands(f, a)
    if f.magnitude(a) in (0, f.infinity):
        return a
    m, e = f.parts(a)
    n = 2 * (f.fraction + GUARD)
    n += (e - n) & 1
    root = isqrt(m << n)
    return rounded(f, env, 0, root << 1 | (root * root != m << n), (e - n) // 2 - 1)


# COMPARISON

def order(f, a, b):
    """-1, 0, 1, or None for unordered."""
    if f.is_nan(a) or f.is_nan(b):
        return None
    x, y = ((-f.magnitude(v) if f.sign(v) else f.magnitude(v)) for v in (a, b))
    return (x > y) - (x < y)


def compared(f, env, a, b, signaling):
    """The order, and its flags."""
    if f.is_nan(a) or f.is_nan(b):
        if signaling or f.is_signaling(a) or f.is_signaling(b):
            env.flags |= IE
        return None
    return order(f, *env.operands(f, a, b))


def compare(f, env, a, b, predicate):
    """CMPPS and the like: EQ LT LE UNORD, and their opposites."""
    o = compared(f, env, a, b, predicate & 3 in (1, 2))
    true = (o == 0, o == -1, o in (-1, 0), o is None)[predicate & 3]
    return (1 << f.bits) - 1 if true != (predicate >= 4) else 0


def least(f, env, a, b):
    """MINPS: the second operand unless the first is less."""
    a, b = smooth(f, env, a, b)
    return a if compared(f, env, a, b, True) == -1 else b


def greatest(f, env, a, b):
    a, b = smooth(f, env, a, b)
    return a if compared(f, env, a, b, True) == 1 else b


def smooth(f, env, *xs):
    return [f.signed(f.sign(x), 0) if env.mxcsr & DAZ and f.is_denormal(x) else x for x in xs]


# CONVERSION

def to_integer(f, env, a, mode):
    """A signed word of 32 bits; 80000000h for what does not fit."""
    if f.magnitude(a) >= f.infinity:
        env.flags |= IE
        return 0x80000000
    a, = smooth(f, env, a)                              # a denormal operand is not told of
    m, e = f.parts(a)
    q, exact = shifted(m, -e, f.sign(a), mode)
    v = -q if f.sign(a) else q
    if not -1 << 31 <= v < 1 << 31:
        env.flags |= IE
        return 0x80000000
    if not exact:
        env.flags |= PE
    return v & 0xFFFFFFFF


def from_integer(f, env, v):
    """From a signed number."""
    return rounded(f, env, int(v < 0), abs(v), 0)


def convert(f, to, env, a):
    """From one format to the other."""
    if f.is_nan(a):
        if f.is_signaling(a):
            env.flags |= IE
        fraction = (f.magnitude(a) - f.infinity | f.quiet) << to.fraction >> f.fraction
        return to.signed(f.sign(a), to.infinity | fraction)
    if f.magnitude(a) == f.infinity:
        return to.signed(f.sign(a), to.infinity)
    a, = env.operands(f, a)
    return rounded(to, env, f.sign(a), *f.parts(a))


def to_integral(f, env, a, mode, quiet):
    """ROUNDPS: to an integer that is still a number of the format; quiet: PE is not told."""
    if f.is_nan(a):
        return env.nan(f, a, a)
    if f.magnitude(a) == f.infinity:
        return a
    a, = smooth(f, env, a)
    m, e = f.parts(a)
    q, exact = shifted(m, -e, f.sign(a), mode)
    if not exact and not quiet:
        env.flags |= PE
    return rounded(f, Environment(0x1F80), f.sign(a), q, 0)

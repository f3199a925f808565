"""x87 instructions as handlers do them: no exception is unmasked, rounding is to nearest, precision 64 or 53 bits, operands are
normal numbers or zero, and so is the result.

A step here is the ordinary case of an instruction of engine/fpu.py, with the same cores; where its conditions do not hold it
leaves, nothing done, and that does the whole.  Besides what steps.py says a machine offers, this one has
    rd_st wr_st         a physical register: significand, sign and exponent
    ordinary            leave for the kernel unless a condition holds
    either              one of two sets of words, each computed only when it is wanted
    wr_whole            a word of the state, in one piece
    track               note which instruction this is
TOP is not known when handlers are made: registers are found by it when they run.
"""
from . import flags as F
from .real80 import (
    BIAS,
    C1,
    C2,
    C3,
    LARGEST,
    PE,
    aligned,
    compare_core,
    difference_core,
    divide_core,
    multiply_core,
    rounded,
    sum_core,
)
from .real80_convert import DOUBLE_CUT, SINGLE_CUT, from_integer_core, to_integer_core
from .wide import LOWEST, bit, clz, lsr, minus, plus, ult, wrap
from .words import pick, sx

A_SINGLE, A_DOUBLE, A_REAL, AN_INTEGER_16, AN_INTEGER_32, AN_INTEGER_64, A_DECIMAL = range(7)
C_ALL, C2_C0, INVALID_CUT = 0x4700, 0x500, 0
AX = 0
# significand cut at 64 bits, exponent, what comes after them: 0 less than half, and RC up does not see it either (an exact number);
# 1 less than half, 2 more
CONSTANTS = ((LOWEST, BIAS, 0), (wrap(0xD49A784BCD1B8AFE), 0x4000, 1), (wrap(0xB8AA3B295C17F0BB), BIAS, 2),
             (wrap(0xC90FDAA22168C234), 0x4000, 2), (wrap(0x9A209A84FBCFF798), 0x3FFD, 2), (wrap(0xB17217F7D1CF79AB), 0x3FFE, 2),
             (0, 0, 0))
PC, RC, NEAREST = 0x300, 0xC00, 0


# OPERANDS

def place(m, i):
    """The physical register of ST(i)."""
    return m.rd_word("ftop") + i & 7


def full(m, at):
    return m.rd_word("ftw") >> at & 1


def sound(s, e):
    """1 for a normal number or zero."""
    x = e & 0x7FFF
    return lsr(s, 63) & ult(x - 1, LARGEST) | bit(x | s == 0)


def index(m):
    return m.imm(8) & 7


def top(m):
    """(significand, exponent, whether it is there and sound) of ST(0)."""
    at = place(m, 0)
    s, e = m.rd_st(at)
    return s, e, full(m, at) & sound(s, e)


def widened(v, cut_off, bits):
    """As real80_convert.widen, of a normal number or zero; 1 where it is one."""
    fraction = 63 - cut_off
    x = lsr(v, fraction) & (1 << bits) - 1
    sign = lsr(v, bits + fraction) & 1
    s = wrap((v & (1 << fraction) - 1) << cut_off)
    zero = bit(x | s == 0)
    return (pick(zero != 0, 0, s | LOWEST), pick(zero != 0, 0, x + (BIAS + 1 - (1 << bits - 1))) | sign << 15,
            zero | ult(x - 1, (1 << bits) - 2))


def operand(m, source):
    """(significand, exponent, whether the ordinary case can go on)."""
    if source == "STi":
        at = place(m, index(m))
        s, e = m.rd_st(at)
        return s, e, full(m, at) & sound(s, e)
    w = WIDTHS[source]
    v = m.rd(m.probe(m.t(), w, False), w)
    if source == "Ms":
        return widened(v, SINGLE_CUT, 8)
    if source == "Md":
        return widened(v, DOUBLE_CUT, 11)
    return (*from_integer_core(v if w == 64 else sx(v, w)), 1)


WIDTHS = {"Ms": 32, "Md": 64, "Mw": 16, "Ml": 32, "Mq": 64, "Mt": 80}


# RESULTS

def set_c1(m, flags=0):
    m.wr_whole("fsw", m.rd_word("fsw") & ~C1 | flags)


def popped(m, n, ftw=None):
    """The top n registers are empty."""
    at = m.rd_word("ftop")
    ftw = m.rd_word("ftw") if ftw is None else ftw
    for _ in range(n):
        ftw = ftw & ~(1 << at)
        at = at + 1 & 7
    m.wr_word("ftw", ftw)
    m.wr_word("ftop", at)


def to_nearest(m):
    """1 when that is how results are rounded."""
    return bit(m.rd_word("fcw") & RC == 0)


# ARITHMETIC

def add(m, sa, ea, ma, sb, eb, mb):
    less, e, larger, high, low = aligned(ea, ma, eb, mb)
    e, high, low = m.either(sa == sb, lambda: sum_core(e, larger, high, low), lambda: difference_core(e, larger, high, low))
    return pick(high == 0, sa & sb, pick(less != 0, sb, sa)), e, high, low


def subtract(m, sa, ea, ma, sb, eb, mb):
    return add(m, sa, ea, ma, sb ^ 1, eb, mb)


def subtract_r(m, sa, ea, ma, sb, eb, mb):
    return add(m, sa ^ 1, ea, ma, sb, eb, mb)


def multiply(m, sa, ea, ma, sb, eb, mb):
    return sa ^ sb, *multiply_core(ea, ma, eb, mb)


def divide(m, sa, ea, ma, sb, eb, mb):
    return sa ^ sb, *divide_core(ea, ma, eb, mb | LOWEST)


def divide_r(m, sa, ea, ma, sb, eb, mb):
    return divide(m, sb, eb, mb, sa, ea, ma)


def arithmetic(m, f):
    """DEST := ST(0) meaning SRC, to nearest; f.flags: with the precision of 53 bits instead of 64."""
    a, ae, ok = top(m)
    b, be, ok2 = operand(m, f.src)
    meaning = f.row.meaning
    sign, e, high, low = meaning(m, ae >> 15, ae & 0x7FFF, a, be >> 15, be & 0x7FFF, b)
    if meaning is divide or meaning is divide_r:
        ok = ok & lsr(b if meaning is divide else a, 63)
    zero = bit(high == 0)
    r, carry, inexact, away = rounded(sign, high, low, NEAREST, DOUBLE_CUT if f.flags else 0)
    e = e + carry
    m.ordinary(ok & ok2 & to_nearest(m) & (ult(e - 1, LARGEST) | zero))
    to = place(m, 0 if f.dst == "ST0" else index(m))
    m.wr_st(to, r, pick(zero != 0, 0, e) | sign << 15)
    set_c1(m, inexact * PE | away * C1)
    popped(m, f.row.pops)
    m.track(f.src != "STi")



# LOADS AND STORES

def pushed(m, s, e, ok):
    at = place(m, 7)
    ftw = m.rd_word("ftw")
    m.ordinary(ok & (ftw >> at & 1 ^ 1))
    m.wr_st(at, s, e)
    m.wr_word("ftop", at)
    m.wr_word("ftw", ftw | 1 << at)
    set_c1(m)


def load(m, f):
    if f.src == "Mt":
        p = m.probe(m.t(), 80, False)
        s, e, ok = m.rd(p, 64), m.rd_high(p), 1
    elif f.src == "STi":
        at = place(m, index(m))
        s, e = m.rd_st(at)
        ok = full(m, at)
    else:
        s, e, ok = operand(m, f.src)
    pushed(m, s, e, ok)
    m.track(f.src != "STi")


def constant(m, f):
    s, e, rest = CONSTANTS[f.cc]
    pushed(m, s + (rest == 2), e, to_nearest(m) if rest else 1)
    m.track(False)


def store(m, f):
    """FST, FSTP to memory in single and double precision."""
    w = WIDTHS[f.dst]
    p = m.probe(m.t(), w, True)
    s, e, ok = top(m)
    cut_off, bits = (SINGLE_CUT, 8) if w == 32 else (DOUBLE_CUT, 11)
    fraction = 63 - cut_off
    sign, zero = e >> 15, bit(s == 0)
    r, carry, inexact, away = rounded(sign, s, 0, NEAREST, cut_off)
    x = (e & 0x7FFF) + carry - (BIAS + 1 - (1 << bits - 1))
    m.ordinary(ok & to_nearest(m) & (zero | ult(x - 1, (1 << bits) - 2)))
    v = pick(zero != 0, 0, x << fraction | lsr(r, cut_off) & (1 << fraction) - 1)
    m.wr(p, w, v | wrap(sign << bits + fraction))
    set_c1(m, inexact * PE | away * C1)
    popped(m, f.row.pops)
    m.track(True)


def store_real(m, f):
    """FSTP m80"""
    p = m.probe(m.t(), 80, True)
    at = place(m, 0)
    m.ordinary(full(m, at))
    s, e = m.rd_st(at)
    m.wr(p, 64, s)
    m.wr_high(p, e)
    set_c1(m)
    popped(m, 1)
    m.track(True)


def store_integer(m, f):
    """FIST, FISTP; FISTTP where the row says so."""
    w = WIDTHS[f.dst]
    p = m.probe(m.t(), w, True)
    s, e, ok = top(m)
    sign, rc = e >> 15, 3 if f.row.name == "fisttp" else m.rd_word("fcw") >> 10 & 3
    r, carry, inexact, away = to_integer_core(sign, e & 0x7FFF, s, rc)
    fits = ult(r, plus(wrap(1 << w - 1), sign)) & (carry ^ 1)
    m.ordinary(ok & fits & bit(e & 0x7FFF <= BIAS + 63))
    m.wr(p, w, pick(sign != 0, minus(0, r), r))
    set_c1(m, inexact * PE | away * C1)
    popped(m, f.row.pops)
    m.track(True)


def copy(m, f):
    """FST, FSTP ST(i)"""
    at = place(m, 0)
    m.ordinary(full(m, at))
    s, e = m.rd_st(at)
    to = place(m, index(m))
    m.wr_st(to, s, e)
    set_c1(m)
    ftw = m.rd_word("ftw") | 1 << to
    if f.row.pops:
        popped(m, 1, ftw)
    else:
        m.wr_word("ftw", ftw)
    m.track(False)


def exchange(m, f):
    a, b = place(m, 0), place(m, index(m))
    m.ordinary(full(m, a) & full(m, b))
    (s, e), (s2, e2) = m.rd_st(a), m.rd_st(b)
    m.wr_st(a, s2, e2)
    m.wr_st(b, s, e)
    set_c1(m)
    m.track(False)


def move_if(m, f):
    a, b = place(m, 0), place(m, index(m))
    m.ordinary(full(m, a) & full(m, b))
    (s, e), (s2, e2) = m.rd_st(a), m.rd_st(b)
    moves = F.condition(f.cc, *m.flags()) != 0
    m.wr_st(a, pick(moves, s2, s), pick(moves, e2, e))
    m.track(False)


def sign(m, f):
    """FCHS, FABS"""
    at = place(m, 0)
    m.ordinary(full(m, at))
    s, e = m.rd_st(at)
    m.wr_st(at, s, e ^ 0x8000 if f.row.name == "fchs" else e & 0x7FFF)
    set_c1(m)
    m.track(False)


def round_to_integer(m, f):
    s, e, ok = top(m)
    r, _, inexact, away = to_integer_core(e >> 15, e & 0x7FFF, s, m.rd_word("fcw") >> 10 & 3)
    m.ordinary(ok & bit(e & 0x7FFF < BIAS + 63))
    zeros = clz(r)
    m.wr_st(place(m, 0), wrap(r << (zeros & 63)), pick(r == 0, 0, BIAS + 63 - zeros) | e & 0x8000)
    set_c1(m, inexact * PE | away * C1)
    m.track(False)


def seldom(m, f):
    """FSQRT, FSCALE: without a host that has them, the kernel's."""
    m.ordinary(0)


# COMPARISON

def ordering(m, f):
    a, ae, ok = top(m)
    if f.row.name == "ftst":
        b, be, ok2 = 0, 0, 1
    else:
        b, be, ok2 = operand(m, f.src)
    m.ordinary(ok & ok2)
    return compare_core(ae >> 15, ae & 0x7FFF, a, be >> 15, be & 0x7FFF, b)


def compare(m, f):
    c = ordering(m, f)
    m.wr_whole("fsw", m.rd_word("fsw") & ~C_ALL | c)
    popped(m, f.row.pops)
    m.track(f.src != "STi" and f.row.name != "ftst")


def compare_to_flags(m, f):
    c = ordering(m, f)
    m.set_flags(*F.from_image(c >> 8 & 0x45))
    popped(m, f.row.pops)
    m.track(False)


def examine(m, f):
    s, e, ok = top(m)
    m.ordinary(ok)
    m.wr_whole("fsw", m.rd_word("fsw") & ~C_ALL | pick(s == 0, C3, C2) | e >> 15 << 9)
    m.track(False)


# CONTROL

def store_status(m, f):
    m.wr(m.probe(m.t(), 16, True), 16, m.rd_word("fsw") | m.rd_word("ftop") << 11)


def status_to_ax(m, f):
    m.wr_reg(AX, "r", 16, m.rd_word("fsw") | m.rd_word("ftop") << 11)


def store_control(m, f):
    m.wr(m.probe(m.t(), 16, True), 16, m.rd_word("fcw"))


def load_control(m, f):
    """What unmasks an exception or changes the precision is for the kernel: other handlers will be wanted."""
    v = m.rd(m.probe(m.t(), 16, False), 16)
    m.ordinary(bit((v ^ (m.rd_word("fcw") & PC | 0x3F)) & (PC | 0x3F) == 0))
    m.wr_word("fcw", v & 0x1F3F | 0x40)


def clear_exceptions(m, f):
    m.wr_whole("fsw", m.rd_word("fsw") & C_ALL)


def free(m, f):
    """FFREE"""
    m.wr_word("ftw", m.rd_word("ftw") & ~(1 << place(m, index(m))))
    set_c1(m)
    m.track(False)


def turn(m, f):
    """FINCSTP, FDECSTP"""
    m.wr_word("ftop", place(m, 1 if f.row.name == "fincstp" else 7))
    set_c1(m)
    m.track(False)


def wait(m, f):
    """FWAIT, when nothing can be pending."""


def nothing(m, f):
    """FNOP"""
    m.track(False)

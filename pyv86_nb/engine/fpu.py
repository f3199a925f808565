"""The x87 FPU, instruction by instruction.   SDM vol. 1, chapter 8; vol. 2, the F instructions; vol. 3, 2.5 and 9.2 (CR0).

`x87` is a kernel: it does any of them, in any state.  Where no exception is unmasked and CR0 does not ask to be told, most run in
handlers instead (isa/x87.py), made from the same arithmetic, which come here when an operand is out of the ordinary.

FIP, FCS, FOP, FDP and FDS are kept by every instruction that is not one of control, as on the P6.  Unmasked exceptions are
reported by the next instruction that waits: #MF, or with CR0.NE clear FERR# (board/at_pc.py).   Where the manual leaves a
choice, processors were asked: a comparison that is invalid and unmasked sets C3, C2 and C0 all the same, and does not pop.

Not emulated: FPU_CS and FPU_DS deprecation, the FOP compatibility mode of the Pentium 4.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import is_user, logical, probe, read, write
from .exceptions import MF, NM, UD, fault
from .fpu_images import load_environment, restore, save, store_environment
from .fpu_state import control, initialise, is_empty, note, pop, push, put, set_control, set_status, st, status
from .isa import flags as F
from .isa import real80 as R
from .isa import real80_convert as V
from .isa import real80_functions as X
from .isa import transcendental as T
from .isa.wide import LOWEST, wrap
from .isa.x87 import A_DECIMAL, A_DOUBLE, A_REAL, A_SINGLE, AN_INTEGER_16, AN_INTEGER_32, AN_INTEGER_64, CONSTANTS
from .models import FPU
from .raw import IGNNE, PIN, io
from .strings import AGAIN

C_ALL = R.C0 | R.C1 | R.C2 | R.C3
BIT_15 = 0x8000


# BEFORE THE INSTRUCTION

@kernel
def need_fpu(cpu):
    if cpu.cr0 & (S.EM | S.TS):
        fault(cpu, NM, 0)


@kernel
def check_pending(cpu):
    """An instruction that waits, and an exception that waits for it.  With NE clear the processor stands still until the
    interrupt comes that FERR# has asked for, unless IGNNE# says to go on."""
    if cpu.fsw & R.ES and cpu.cr0 & S.NE:
        fault(cpu, MF, 0)
    if cpu.fsw & R.ES and io(cpu, PIN, 0, 0, 0) >> IGNNE & 1 == 0:
        cpu.attention = 1
        cpu.budget -= 1
        cpu.extra += 1
        fault(cpu, AGAIN, 0)


@kernel
def wait(cpu):
    if cpu.cr0 & (S.MP | S.TS) == S.MP | S.TS:
        fault(cpu, NM, 0)
    check_pending(cpu)


@kernel
def track(cpu):
    """Which instruction this is, and its operand."""
    cpu.fip, cpu.fcs, cpu.fop = cpu.eip, cpu.reg[S.SELECTORS + S.CS], cpu.immediate & 0x7FF
    if cpu.immediate & 0xC0 != 0xC0:
        cpu.fdp, cpu.fds = cpu.offset, cpu.reg[S.SELECTORS + cpu.of_segment]
        if cpu.immediate2:
            cpu.fdp = cpu.offset - cpu.segment[cpu.of_segment].base & 0xFFFFFFFF


# OPERANDS IN MEMORY

@kernel
def address(cpu, size, writes):
    """The linear address of `size` bytes, which can be written if that is what is wanted.  From handlers it comes ready."""
    at = cpu.offset if cpu.immediate2 else logical(cpu, cpu.of_segment, cpu.offset, size, writes)
    if writes:
        probe(cpu, at, size, 1, is_user(cpu))
    return at


@kernel
def read_word(cpu, at, size):
    """2, 4 or 8 bytes."""
    user = is_user(cpu)
    if size < 8:
        return read(cpu, at, size, user)
    low = read(cpu, at, 4, user)
    return low | wrap(read(cpu, (at + 4) & 0xFFFFFFFF, 4, user) << 32)


@kernel
def write_word(cpu, at, size, v):
    user = is_user(cpu)
    write(cpu, at, min(size, 4), v & (0xFFFF if size == 2 else 0xFFFFFFFF), user)
    if size == 8:
        write(cpu, (at + 4) & 0xFFFFFFFF, 4, v >> 32 & 0xFFFFFFFF, user)


@kernel
def size_of(what):
    if what == AN_INTEGER_16:
        return 2
    if what == A_SINGLE or what == AN_INTEGER_32:
        return 4
    return 8 if what == A_DOUBLE or what == AN_INTEGER_64 else 10


@kernel
def fetch(cpu, what):
    """An operand: (significand, exponent, flags)."""
    size = size_of(what)
    at = address(cpu, size, 0)
    v = read_word(cpu, at, min(size, 8))
    if what == A_SINGLE:
        return V.widen(v, V.SINGLE_CUT)
    if what == A_DOUBLE:
        return V.widen(v, V.DOUBLE_CUT)
    if what == A_REAL or what == A_DECIMAL:
        high = read_word(cpu, (at + 8) & 0xFFFFFFFF, 2)
        if what == A_REAL:
            return v, high, 0
        m, e = V.from_decimal(v, high)
        return m, e, 0
    if size < 8:
        v = (v ^ 1 << 8 * size - 1) - (1 << 8 * size - 1)
    m, e = V.from_integer_core(v)
    return m, e, 0


@kernel
def give(cpu, what, truncating):
    """Store ST(0) to memory.  False: an unmasked exception stands in the way."""
    size = size_of(what)
    at = address(cpu, size, 1)
    track(cpu)
    a, high, f = st(cpu, 0), 0, 0
    m, e, rc = a.significand, a.exponent, 3 if truncating else cpu.fcw >> 10 & 3
    if is_empty(cpu, 0):
        m, e, f = R.INDEFINITE, R.NEGATIVE_NAN, R.IE | R.SF
    more = 0
    if what == A_SINGLE:
        v, more = V.narrow(m, e, V.SINGLE_CUT, cpu.fcw)
    elif what == A_DOUBLE:
        v, more = V.narrow(m, e, V.DOUBLE_CUT, cpu.fcw)
    elif what == A_REAL:
        v, high = m, e
    elif what == A_DECIMAL:
        v, high, more = V.to_decimal(m, e, rc)
    else:
        v, more = V.to_integer(m, e, 8 * size, rc)
    note(cpu, f | more)
    if (f | more) & ~cpu.fcw & (R.IE | R.OE | R.UE):
        return False
    write_word(cpu, at, min(size, 8), v)
    if size == 10:
        write_word(cpu, (at + 8) & 0xFFFFFFFF, 2, high)
    return True


# STACK FAULTS

@kernel
def underflow(cpu, i):
    """ST(i) is to have a result of an operand that is empty."""
    note(cpu, R.IE | R.SF)
    if cpu.fcw & R.IE:
        put(cpu, i, R.INDEFINITE, R.NEGATIVE_NAN)
    return cpu.fcw & R.IE != 0


@kernel
def no_room(cpu):
    """Whether a push would overflow; then its exception is noted and, if it is masked, the indefinite pushed."""
    if is_empty(cpu, 7):
        return False
    note(cpu, R.IE | R.SF | R.C1)
    if cpu.fcw & R.IE:
        push(cpu, R.INDEFINITE, R.NEGATIVE_NAN)
    return True


# ARITHMETIC AND COMPARISON

@kernel
def operate(cpu, op, to, m, e, denormal, pops):
    """ST(to) := ST(0) op (m, e); `denormal` is what reading the operand has found."""
    if is_empty(cpu, 0):
        done = underflow(cpu, to)
    else:
        a = st(cpu, 0)
        k, f = R.kind(a.significand, a.exponent), 0
        m, e, f = R.arithmetic(op, a.significand, a.exponent, m, e, cpu.fcw)
        if denormal and k < R.QUIET and f & (R.IE | R.ZE) == 0:
            f = f | R.DE if cpu.fcw & R.DE else R.DE
        note(cpu, f)
        done = not R.stops(f, cpu.fcw)
        if done:
            put(cpu, to, m, e)
    if done and pops:
        pop(cpu)


@kernel
def compare(cpu, m, e, denormal, quiet, empty, pops):
    """ST(0) with (m, e): the condition codes."""
    a = st(cpu, 0)
    if empty or is_empty(cpu, 0):
        c, f = R.C3 | R.C2 | R.C0, R.IE | R.SF
    else:
        c, f = R.compare(a.significand, a.exponent, m, e, quiet)
        if denormal and f & R.IE == 0:
            f |= R.DE
    set_status(cpu, cpu.fsw & ~C_ALL | c | f)
    if not R.stops(f, cpu.fcw):
        for _ in range(pops):
            pop(cpu)


@kernel
def compare_to_flags(cpu, i, quiet, pops):
    """FCOMI and its like: ZF, PF, CF instead of C3, C2, C0, which stay, as C1 does; OF, SF and AF are cleared."""
    a, b = st(cpu, 0), st(cpu, i)
    if is_empty(cpu, 0) or is_empty(cpu, i):
        c, f = R.C3 | R.C2 | R.C0, R.IE | R.SF
    else:
        c, f = R.compare(a.significand, a.exponent, b.significand, b.exponent, quiet)
    set_status(cpu, cpu.fsw & ~(R.C1 if f & R.SF else 0) | f)
    cpu.cf, cpu.carries, cpu.result = F.from_image(c >> 8 & 0x45)
    if pops and not R.stops(f, cpu.fcw):
        pop(cpu)


# REGISTERS

@kernel
def load(cpu, i):
    """FLD ST(i)"""
    if is_empty(cpu, i):
        note(cpu, R.IE | R.SF)
        if cpu.fcw & R.IE:
            push(cpu, R.INDEFINITE, R.NEGATIVE_NAN)
    elif not no_room(cpu):
        a = st(cpu, i)
        m, e = a.significand, a.exponent
        push(cpu, m, e)
        note(cpu, 0)


@kernel
def copy(cpu, i, pops):
    """FST ST(i), FSTP ST(i); and D9 D8, which the manual does not have, and which pops an empty register without a word."""
    done = True
    if is_empty(cpu, 0) and cpu.immediate >> 8 == 1:
        note(cpu, 0)
    elif is_empty(cpu, 0):
        done = underflow(cpu, i)
    else:
        a = st(cpu, 0)
        put(cpu, i, a.significand, a.exponent)
        note(cpu, 0)
    if done and pops:
        pop(cpu)


@kernel
def exchange(cpu, i):
    f = R.IE | R.SF if is_empty(cpu, 0) or is_empty(cpu, i) else 0
    note(cpu, f)
    if R.stops(f, cpu.fcw):
        return
    if is_empty(cpu, 0):
        put(cpu, 0, R.INDEFINITE, R.NEGATIVE_NAN)
    if is_empty(cpu, i):
        put(cpu, i, R.INDEFINITE, R.NEGATIVE_NAN)
    a, b = st(cpu, 0), st(cpu, i)
    m, e = a.significand, a.exponent
    a.significand, a.exponent = b.significand, b.exponent
    b.significand, b.exponent = m, e


@kernel
def move_if(cpu, i, holds):
    """FCMOVcc"""
    if is_empty(cpu, 0) or is_empty(cpu, i):
        underflow(cpu, 0)
    elif holds:
        b = st(cpu, i)
        put(cpu, 0, b.significand, b.exponent)


@kernel
def constant(cpu, i):
    """FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ: cut at 64 bits, and rounded as RC says by what comes after them."""
    if no_room(cpu):
        return
    m, e, up = 0, 0, 0
    for k in range(len(CONSTANTS)):
        if k == i:
            m, e, up = CONSTANTS[k]
    rc = cpu.fcw >> 10 & 3
    push(cpu, m + (1 if (rc == 0 and up == 2) or (rc == 2 and up) else 0), e)
    note(cpu, 0)


@kernel
def sign_and_class(cpu, i):
    """D9 E0-E7: FCHS FABS FTST FXAM"""
    a = st(cpu, 0)
    if i == 5:
        cpu.fsw = cpu.fsw & ~C_ALL | X.examine(a.significand, a.exponent, is_empty(cpu, 0))
    elif i == 4:
        compare(cpu, 0, 0, 0, False, False, 0)
    elif i > 1:
        fault(cpu, UD, 0)
    elif is_empty(cpu, 0):
        underflow(cpu, 0)
    else:
        a.exponent = a.exponent ^ BIT_15 if i == 0 else a.exponent & ~BIT_15
        note(cpu, 0)


# FUNCTIONS: D9 F0-FF

@kernel
def function_of_one(cpu, i):
    """F2XM1 FSQRT FRNDINT FSIN FCOS"""
    if is_empty(cpu, 0):
        underflow(cpu, 0)
        return
    a = st(cpu, 0)
    m, e = a.significand, a.exponent
    if i == 0:
        m, e, f = T.power_less_one(m, e, cpu.fcw)
    elif i == 10:
        m, e, f = R.square_root(m, e, cpu.fcw)
    elif i == 12:
        m, e, f = V.round_to_integer(m, e, cpu.fcw)
    else:
        m, e, f = T.circular(m, e, i - 14, cpu.fcw)
        cpu.fsw &= ~R.C2
    note(cpu, f)
    if not R.stops(f, cpu.fcw):
        put(cpu, 0, m, e)


@kernel
def function_of_two(cpu, i):
    """FYL2X FYL2XP1 FPATAN, whose result goes to ST(1), which becomes the top; FPREM FPREM1 FSCALE, whose result stays in ST(0)"""
    pops = i == 1 or i == 3 or i == 9
    if is_empty(cpu, 0) or is_empty(cpu, 1):
        cpu.fsw &= ~(R.C2 if i == 5 or i == 8 else 0)
        if underflow(cpu, 1 if pops else 0) and pops:
            pop(cpu)
        return
    a, b = st(cpu, 0), st(cpu, 1)
    am, ae, bm, be = a.significand, a.exponent, b.significand, b.exponent
    if i == 1 or i == 9:
        m, e, f = T.times_log(am, ae, bm, be, i == 9, cpu.fcw)
    elif i == 3:
        m, e, f = T.arctangent(am, ae, bm, be, cpu.fcw)
    elif i == 13:
        m, e, f = X.scale(am, ae, bm, be, cpu.fcw)
    else:
        m, e, f = X.remainder(am, ae, bm, be, i == 5, cpu.fcw)
        cpu.fsw &= ~(R.C2 if R.kind(m, e) >= R.QUIET or R.stops(f, cpu.fcw) else C_ALL)
    note(cpu, f)
    if not R.stops(f, cpu.fcw):
        put(cpu, 1 if pops else 0, m, e)
        if pops:
            pop(cpu)


@kernel
def function_with_two_results(cpu, i):
    """FPTAN (and 1.0), FXTRACT (exponent and significand), FSINCOS (sine and cosine): the second is pushed"""
    if is_empty(cpu, 0) or not is_empty(cpu, 7):
        full = not is_empty(cpu, 0)
        note(cpu, R.IE | R.SF | (R.C1 if full else 0))
        if cpu.fcw & R.IE:
            put(cpu, 0, R.INDEFINITE, R.NEGATIVE_NAN)
            push(cpu, R.INDEFINITE, R.NEGATIVE_NAN)
        return
    a = st(cpu, 0)
    m, e = a.significand, a.exponent
    if i == 4:
        m2, e2, m, e, f = X.extract(m, e, cpu.fcw)
        m, e, m2, e2 = m2, e2, m, e
    elif i == 2:
        m, e, f = T.circular(m, e, 2, cpu.fcw)
        m2, e2 = (m, e) if R.kind(m, e) >= R.QUIET else (LOWEST, R.BIAS)
    else:
        m2, e2, f = T.circular(m, e, 1, cpu.fcw)
        m, e, f2 = T.circular(m, e, 0, cpu.fcw)
        f = f | f2 & ~R.C1
    if i != 4:
        cpu.fsw &= ~R.C2
    note(cpu, f)
    if f & R.C2 == 0 and not R.stops(f, cpu.fcw):
        put(cpu, 0, m, e)
        push(cpu, m2, e2)


@kernel
def function(cpu, i):
    if i == 6 or i == 7:                                # FDECSTP FINCSTP
        cpu.ftop = cpu.ftop + (1 if i == 7 else 7) & 7
        note(cpu, 0)
    elif i == 2 or i == 4 or i == 11:
        function_with_two_results(cpu, i)
    elif i == 0 or i == 10 or i == 12 or i > 13:
        function_of_one(cpu, i)
    else:
        function_of_two(cpu, i)


# THE INSTRUCTION: by opcode D8-DF and the reg field, 0-63

@kernel
def arithmetic_memory(cpu, code):
    group, op = code >> 3, code & 7
    m, e, f = fetch(cpu, A_SINGLE if group == 0 else A_DOUBLE if group == 4 else AN_INTEGER_32 if group == 2 else AN_INTEGER_16)
    track(cpu)
    if op == R.COMPARE or op == R.COMPARE_POP:
        compare(cpu, m, e, f, False, False, op - R.COMPARE)
    else:
        operate(cpu, op, 0, m, e, f, False)


@kernel
def load_memory(cpu, what):
    m, e, f = fetch(cpu, what)
    track(cpu)
    if no_room(cpu):
        return
    if what <= A_DOUBLE and R.kind(m, e) == R.SIGNALLING:
        m, f = m | 1 << 62, R.IE
    if f & ~cpu.fcw & R.IE == 0:
        push(cpu, m, e)
    note(cpu, f)


@kernel
def store_memory(cpu, what, truncating, pops):
    if give(cpu, what, truncating) and pops:
        pop(cpu)


@kernel
def memory_form(cpu, code):
    if code & 8 == 0:
        arithmetic_memory(cpu, code)
    elif code == 8 or code == 40:
        load_memory(cpu, A_SINGLE if code == 8 else A_DOUBLE)
    elif code == 24 or code == 56 or code == 61:
        load_memory(cpu, AN_INTEGER_32 if code == 24 else AN_INTEGER_16 if code == 56 else AN_INTEGER_64)
    elif code == 29 or code == 60:
        load_memory(cpu, A_REAL if code == 29 else A_DECIMAL)
    elif code == 10 or code == 11:
        store_memory(cpu, A_SINGLE, False, code == 11)
    elif code == 42 or code == 43:
        store_memory(cpu, A_DOUBLE, False, code == 43)
    elif 25 <= code <= 27:
        store_memory(cpu, AN_INTEGER_32, code == 25, code != 26)
    elif 57 <= code <= 59:
        store_memory(cpu, AN_INTEGER_16, code == 57, code != 58)
    elif code == 41 or code == 63:
        store_memory(cpu, AN_INTEGER_64, code == 41, True)
    elif code == 31 or code == 62:
        store_memory(cpu, A_REAL if code == 31 else A_DECIMAL, False, True)
    elif code == 12:
        load_environment(cpu, address(cpu, 14 if cpu.width == 16 else 28, 0))
    elif code == 13:
        set_control(cpu, read_word(cpu, address(cpu, 2, 0), 2))
    elif code == 14:
        store_environment(cpu, address(cpu, 14 if cpu.width == 16 else 28, 1))
        set_control(cpu, cpu.fcw | 0x3F)
    elif code == 15:
        write_word(cpu, address(cpu, 2, 1), 2, control(cpu))
    elif code == 44:
        restore(cpu, address(cpu, 94 if cpu.width == 16 else 108, 0))
    elif code == 46:
        save(cpu, address(cpu, 94 if cpu.width == 16 else 108, 1))
        initialise(cpu)
    elif code == 47:
        write_word(cpu, address(cpu, 2, 1), 2, status(cpu))
    else:
        fault(cpu, UD, 0)


@kernel
def condition(cpu, k):
    """FCMOVB, E, BE, U"""
    if k == 0:
        return cpu.cf & 1
    if k == 1:
        return F.zero(cpu.result)
    if k == 2:
        return cpu.cf & 1 | F.zero(cpu.result)
    return F.parity(cpu.cf, cpu.result)


@kernel
def register_form(cpu, code, i):
    group, op = code >> 3, code & 7
    b = st(cpu, i)
    empty = is_empty(cpu, i)
    if group & 3 == 0 or group == 6:                    # D8, DC, DE
        if op == R.COMPARE or op == R.COMPARE_POP:
            if group == 6 and op == R.COMPARE_POP and i != 1:
                fault(cpu, UD, 0)
            pops = op - R.COMPARE if group != 6 else op - R.COMPARE + 1
            compare(cpu, b.significand, b.exponent, 0, False, empty, pops)
        elif empty:
            if underflow(cpu, 0 if group == 0 else i) and group == 6:
                pop(cpu)
        else:
            operate(cpu, op, 0 if group == 0 else i, b.significand, b.exponent, 0, group == 6)
    elif code == 8:
        load(cpu, i)
    elif code == 9 or code == 41 or code == 57:
        exchange(cpu, i)
    elif code == 11 or code == 42 or code == 43 or code == 58 or code == 59:
        copy(cpu, i, code != 42)
    elif code == 12:
        sign_and_class(cpu, i)
    elif code == 13 and i < len(CONSTANTS):
        constant(cpu, i)
    elif code == 14 or code == 15:
        function(cpu, i + (code - 14) * 8)
    elif (group == 2 or group == 3) and op < 4:
        move_if(cpu, i, condition(cpu, op) == 3 - group)
    elif code == 21 and i == 1:                         # FUCOMPP
        compare(cpu, b.significand, b.exponent, 0, True, empty, 2)
    elif code == 44 or code == 45:
        compare(cpu, b.significand, b.exponent, 0, True, empty, code - 44)
    elif code == 29 or code == 30 or code == 61 or code == 62:
        compare_to_flags(cpu, i, op == 5, group == 7)
    elif code == 40 or code == 56:                      # FFREE, and FFREEP
        cpu.ftw &= ~(1 << (cpu.ftop + i & 7))
        note(cpu, 0)
        if code == 56:
            pop(cpu)
    elif not (code == 10 and i == 0):                   # FNOP
        fault(cpu, UD, 0)


@kernel
def control_form(cpu, code, i):
    """FNSTSW AX; FNCLEX FNINIT, and FNENI FNDISI FNSETPM, which do nothing since the 387.  False: it is none of them."""
    if code == 60 and i == 0:
        cpu.reg[S.EAX] = cpu.reg[S.EAX] & 0xFFFF0000 | status(cpu)
    elif code == 28 and i == 2:
        set_status(cpu, cpu.fsw & C_ALL)
    elif code == 28 and i == 3:
        initialise(cpu)
    else:
        return code == 28 and (i < 2 or i == 4)
    return True


@kernel
def x87(cpu):
    """The instruction whose opcode and ModRM are in cpu.immediate."""
    need_fpu(cpu)
    if cpu.offers & FPU == 0:                           # without a coprocessor nobody answers
        return
    fop = cpu.immediate
    code, memory = fop >> 8 << 3 | fop >> 3 & 7, fop & 0xC0 != 0xC0
    if memory:
        if code != 14 and code != 15 and code != 46 and code != 47:
            check_pending(cpu)
        memory_form(cpu, code)
    elif not control_form(cpu, code, fop & 7):
        check_pending(cpu)
        track(cpu)
        register_form(cpu, code, fop & 7)

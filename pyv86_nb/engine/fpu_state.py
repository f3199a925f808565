"""The registers of the FPU and their bookkeeping: the stack, the status word, the control word.   SDM vol. 1, 8.1."""
from numba.extending import register_jitable as kernel

from . import state as S
from .isa import real80 as R
from .models import FPU
from .raw import FERR, PORT_WRITE, io

STATUS = 0x477F                                         # of the status word, what cpu.fsw holds besides ES and B
CONTROL, ALWAYS = 0x1F3F, 0x40                          # bits of the control word that are kept, and one that is always set


@kernel
def st(cpu, i):
    return cpu.st[cpu.ftop + i & 7]


@kernel
def is_empty(cpu, i):
    return cpu.ftw >> (cpu.ftop + i & 7) & 1 == 0


@kernel
def put(cpu, i, m, e):
    register = st(cpu, i)
    register.significand, register.exponent = m, e
    cpu.ftw |= 1 << (cpu.ftop + i & 7)


@kernel
def push(cpu, m, e):
    cpu.ftop = cpu.ftop - 1 & 7
    put(cpu, 0, m, e)


@kernel
def pop(cpu):
    cpu.ftw &= ~(1 << cpu.ftop)
    cpu.ftop = cpu.ftop + 1 & 7


@kernel
def status(cpu):
    return cpu.fsw | cpu.ftop << 11


@kernel
def control(cpu):
    return cpu.fcw


@kernel
def set_status(cpu, v):
    """All but TOP; ES and B follow from the rest, and so does FERR# where errors are not reported by #MF."""
    waiting = v & ~cpu.fcw & 0x3F != 0
    v = v & STATUS | (R.ES | R.B if waiting else 0)
    changed = (v ^ cpu.fsw) & R.ES
    cpu.fsw = v
    if changed and cpu.cr0 & S.NE == 0:
        io(cpu, PORT_WRITE, FERR, 1, 1 if waiting else 0)
        cpu.attention = 1


@kernel
def note(cpu, flags):
    """Exceptions and condition codes of an instruction, which says in C1 how it has rounded."""
    set_status(cpu, cpu.fsw & ~R.C1 | flags)


@kernel
def is_direct(cpu):
    """Whether x87 instructions may be done by handlers: there is an FPU, CR0 does not want to be asked, no exception is unmasked."""
    return cpu.cr0 & (S.EM | S.TS) == 0 and cpu.fcw & 0x3F == 0x3F and cpu.offers & FPU != 0


@kernel
def fpu_mode(cpu):
    """The bits of a block's key.  There are handlers for two precisions."""
    if not is_direct(cpu) or cpu.fcw & 0x300 < 0x200:
        return 0
    return S.FPU if cpu.fcw & 0x300 == 0x300 else S.FPU | S.FPU_DOUBLE


@kernel
def update_direct(cpu):
    mode = cpu.mode & ~(S.FPU | S.FPU_DOUBLE) | fpu_mode(cpu)
    if mode != cpu.mode:
        cpu.mode, cpu.moved = mode, 1


@kernel
def set_control(cpu, v):
    cpu.fcw = v & CONTROL | ALWAYS
    set_status(cpu, cpu.fsw)
    update_direct(cpu)


@kernel
def initialise(cpu):
    """FNINIT"""
    cpu.fcw, cpu.ftop, cpu.ftw = 0x37F, 0, 0
    cpu.fop = cpu.fip = cpu.fcs = cpu.fdp = cpu.fds = 0
    set_status(cpu, 0)
    update_direct(cpu)

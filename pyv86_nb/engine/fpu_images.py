"""What the FPU looks like in memory: the environment in its four layouts, FSAVE, FXSAVE.
SDM vol. 1, 8.1.10 and figures 8-9 to 8-12; 10.5 and tables 10-2, 10-3 (FXSAVE).

    environment   protected 32: FCW FSW FTW FIP   FCS|FOP<<16   FDP  FDS      real or VM86 32: FCW FSW FTW  IP 15-0   FOP|IP 31-16<<12 ...
                  the same by words, of the linear address 20 bits
    FXSAVE        0 FCW  2 FSW  4 FTW, a bit each  6 FOP  8 FIP  12 FCS  16 FDP  20 FDS  24 MXCSR  28 mask   32 ST(0) 48 ...   160 XMM0 ...
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import is_user, logical, probe, read, write
from .exceptions import GP, NM, fault
from .fpu_state import control, set_control, status
from .isa import real80 as R
from .isa.wide import wrap
from .segmentation import protected

FXSAVE_SIZE, MXCSR, FIRST_ST, FIRST_XMM = 512, 24, 32, 160
MXCSR_MASK = 0xFFFF


@kernel
def get16(cpu, at): return read(cpu, at & 0xFFFFFFFF, 2, is_user(cpu))


@kernel
def get32(cpu, at): return read(cpu, at & 0xFFFFFFFF, 4, is_user(cpu))


@kernel
def put16(cpu, at, v): write(cpu, at & 0xFFFFFFFF, 2, v & 0xFFFF, is_user(cpu))


@kernel
def put32(cpu, at, v): write(cpu, at & 0xFFFFFFFF, 4, v & 0xFFFFFFFF, is_user(cpu))


@kernel
def get_real(cpu, register, at):
    register.significand = get32(cpu, at) | wrap(get32(cpu, at + 4) << 32)
    register.exponent = get16(cpu, at + 8)


@kernel
def put_real(cpu, register, at):
    put32(cpu, at, register.significand)
    put32(cpu, at + 4, register.significand >> 32)
    put16(cpu, at + 8, register.exponent)


@kernel
def all_tags(cpu):
    """Two bits for each physical register: valid, zero, special, empty."""
    tags = 0
    for i in range(8):
        register = cpu.st[i]
        k = R.kind(register.significand, register.exponent)
        tag = 3 if cpu.ftw >> i & 1 == 0 else 0 if k == R.NORMAL else 1 if k == R.ZERO else 2
        tags |= tag << 2 * i
    return tags


@kernel
def set_tags(cpu, tags):
    cpu.ftw = 0
    for i in range(8):
        if tags >> 2 * i & 3 != 3:
            cpu.ftw |= 1 << i


@kernel
def set_words(cpu, fcw, fsw):
    """Both at once: FERR# sees what they mean together."""
    cpu.ftop = fsw >> 11 & 7
    cpu.fsw = cpu.fsw & R.ES | fsw & 0x477F
    set_control(cpu, fcw)


@kernel
def store_environment(cpu, at):
    linear = not protected(cpu)
    ip, dp = cpu.fip, cpu.fdp
    if linear:
        ip, dp = ip + (cpu.fcs << 4) & 0xFFFFFFFF, dp + (cpu.fds << 4) & 0xFFFFFFFF
    if cpu.width == 16:
        put16(cpu, at, control(cpu))
        put16(cpu, at + 2, status(cpu))
        put16(cpu, at + 4, all_tags(cpu))
        put16(cpu, at + 6, ip)
        put16(cpu, at + 8, (ip >> 16 & 15) << 12 | cpu.fop if linear else cpu.fcs)
        put16(cpu, at + 10, dp)
        put16(cpu, at + 12, (dp >> 16 & 15) << 12 if linear else cpu.fds)
        return
    put32(cpu, at, 0xFFFF0000 | control(cpu))
    put32(cpu, at + 4, 0xFFFF0000 | status(cpu))
    put32(cpu, at + 8, 0xFFFF0000 | all_tags(cpu))
    if linear:
        put32(cpu, at + 12, 0xFFFF0000 | ip & 0xFFFF)
        put32(cpu, at + 16, (ip >> 16) << 12 | cpu.fop)
        put32(cpu, at + 20, 0xFFFF0000 | dp & 0xFFFF)
        put32(cpu, at + 24, (dp >> 16) << 12)
    else:
        put32(cpu, at + 12, ip)
        put32(cpu, at + 16, cpu.fop << 16 | cpu.fcs)
        put32(cpu, at + 20, dp)
        put32(cpu, at + 24, 0xFFFF0000 | cpu.fds)


@kernel
def load_environment(cpu, at):
    """All of it is read before any of it counts."""
    linear, step = not protected(cpu), 2 if cpu.width == 16 else 4
    probe(cpu, at, 7 * step, 0, is_user(cpu))
    fcw, fsw, tags = get16(cpu, at), get16(cpu, at + step), get16(cpu, at + 2 * step)
    if step == 2:
        ip, cs, dp, ds = get16(cpu, at + 6), get16(cpu, at + 8), get16(cpu, at + 10), get16(cpu, at + 12)
        fop = cs & 0x7FF if linear else 0
    else:
        ip, cs, dp, ds = get32(cpu, at + 12), get32(cpu, at + 16), get32(cpu, at + 20), get32(cpu, at + 24)
        fop = cs & 0x7FF if linear else cs >> 16 & 0x7FF
    if linear:
        ip, dp = ip & 0xFFFF | cs >> 12 << 16 & 0xFFFF0000, dp & 0xFFFF | ds >> 12 << 16 & 0xFFFF0000
        cs = ds = 0
    cpu.fip, cpu.fcs, cpu.fdp, cpu.fds, cpu.fop = ip, cs & 0xFFFF, dp, ds & 0xFFFF, fop
    set_tags(cpu, tags)
    set_words(cpu, fcw, fsw)


@kernel
def save(cpu, at):
    """FNSAVE, without the FNINIT that follows."""
    store_environment(cpu, at)
    at += 14 if cpu.width == 16 else 28
    for i in range(8):
        put_real(cpu, cpu.st[cpu.ftop + i & 7], at + 10 * i)


@kernel
def restore(cpu, at):
    """FRSTOR"""
    size = 14 if cpu.width == 16 else 28
    probe(cpu, at, size + 80, 0, is_user(cpu))
    load_environment(cpu, at)
    for i in range(8):
        get_real(cpu, cpu.st[cpu.ftop + i & 7], at + size + 10 * i)


# FXSAVE, FXRSTOR

@kernel
def fx_area(cpu, writes):
    """Its linear address, aligned."""
    if cpu.cr0 & (S.EM | S.TS):
        fault(cpu, NM, 0)
    at = logical(cpu, cpu.of_segment, cpu.offset, FXSAVE_SIZE, writes)
    if at & 15:
        fault(cpu, GP, 0)
    probe(cpu, at, FXSAVE_SIZE, writes, is_user(cpu))
    return at


@kernel
def fxsave(cpu):
    at = fx_area(cpu, 1)
    put16(cpu, at, control(cpu))
    put16(cpu, at + 2, status(cpu))
    put16(cpu, at + 4, cpu.ftw)
    put16(cpu, at + 6, cpu.fop)
    put32(cpu, at + 8, cpu.fip)
    put32(cpu, at + 12, cpu.fcs)
    put32(cpu, at + 16, cpu.fdp)
    put32(cpu, at + 20, cpu.fds)
    if cpu.cr4 & S.OSFXSR:
        put32(cpu, at + MXCSR, cpu.mxcsr)
        put32(cpu, at + MXCSR + 4, MXCSR_MASK)
        for i in range(16):
            put32(cpu, at + FIRST_XMM + 8 * i, cpu.xmm[i] & 0xFFFFFFFF)
            put32(cpu, at + FIRST_XMM + 8 * i + 4, cpu.xmm[i] >> 32 & 0xFFFFFFFF)
    for i in range(8):
        put_real(cpu, cpu.st[cpu.ftop + i & 7], at + FIRST_ST + 16 * i)
        put16(cpu, at + FIRST_ST + 16 * i + 10, 0)
        put32(cpu, at + FIRST_ST + 16 * i + 12, 0)


@kernel
def fxrstor(cpu):
    at = fx_area(cpu, 0)
    if cpu.cr4 & S.OSFXSR:
        mxcsr = get32(cpu, at + MXCSR)
        if mxcsr & ~MXCSR_MASK:
            fault(cpu, GP, 0)
        cpu.mxcsr = mxcsr
        for i in range(16):
            low, high = get32(cpu, at + FIRST_XMM + 8 * i), get32(cpu, at + FIRST_XMM + 8 * i + 4)
            cpu.xmm[i] = low | (high ^ 0x80000000) - 0x80000000 << 32
    cpu.ftw, cpu.fop = get16(cpu, at + 4) & 255, get16(cpu, at + 6) & 0x7FF
    cpu.fip, cpu.fcs, cpu.fdp, cpu.fds = get32(cpu, at + 8), get16(cpu, at + 12), get32(cpu, at + 16), get16(cpu, at + 20)
    set_words(cpu, get16(cpu, at), get16(cpu, at + 2))
    for i in range(8):
        get_real(cpu, cpu.st[cpu.ftop + i & 7], at + FIRST_ST + 16 * i)


"""Control registers, and the remaining instructions that are too big for a handler.   SDM vol. 2."""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import can_push, is_user, load, logical, pop, probe, push, read, set_sp, stack_offset
from .debug import BD, GD, set_debug
from .exceptions import BR, DB, GP, UD, fault
from .isa import flags as F
from .isa.words import sx
from .paging import flush_address_space, invalidate, load_pdptes, set_cr3
from .segmentation import get_operand, need_cpl0, need_umip, put_register, put_word, set_windows, update_mode

CR0_BITS = S.PE | S.MP | S.EM | S.TS | S.NE | S.WP | S.AM | S.NW | S.CD | S.PG
FLUSHING = S.PSE | S.PAE | S.PGE | S.SMEP | S.SMAP       # of CR4


# CONTROL REGISTERS

@kernel
def set_cr0(cpu, v):
    if v & (S.PG | S.PE) == S.PG or v & (S.NW | S.CD) == S.NW:
        fault(cpu, GP, 0)
    if v & S.PG and cpu.cr4 & S.PAE and (cpu.cr0 ^ v) & (S.PG | S.CD | S.NW):
        load_pdptes(cpu, cpu.cr3)
    old, cpu.cr0 = cpu.cr0, v & CR0_BITS | S.ET
    if (old ^ v) & (S.PG | S.WP):
        flush_address_space(cpu, True)
    if (old ^ v) & S.PE:
        for s in range(6):
            set_windows(cpu, s)
        if v & S.PE == 0:
            cpu.cpl = 0
    update_mode(cpu)


@kernel
def set_cr4(cpu, v):
    changed = cpu.cr4 ^ v
    if v & ~cpu.cr4_bits:
        fault(cpu, GP, 0)
    if cpu.cr0 & S.PG and v & S.PAE and changed & FLUSHING:
        load_pdptes(cpu, cpu.cr3)
    cpu.cr4 = v
    if changed & FLUSHING:
        flush_address_space(cpu, True)
    update_mode(cpu)


@kernel
def mov_to_control(cpu):
    k, v = cpu.register, cpu.reg[cpu.place]
    if k == 1 or k > 4:                                 # no such register: that comes first
        fault(cpu, UD, 0)
    need_cpl0(cpu)
    if k == 0:
        set_cr0(cpu, v)
    elif k == 2:
        cpu.cr2 = v
    elif k == 3:
        set_cr3(cpu, v)
    else:
        set_cr4(cpu, v)


@kernel
def mov_from_control(cpu):
    k = cpu.register
    if k == 1 or k > 4:
        fault(cpu, UD, 0)
    need_cpl0(cpu)
    cpu.reg[cpu.place] = cpu.cr0 if k == 0 else cpu.cr2 if k == 2 else cpu.cr3 if k == 3 else cpu.cr4


@kernel
def debug_register(cpu):
    """Which of them the instruction names: DR4 and DR5 are DR6 and DR7, without CR4.DE.  DR7.GD guards them all."""
    k = cpu.register
    if (k == 4 or k == 5) and cpu.cr4 & S.DE:
        fault(cpu, UD, 0)
    need_cpl0(cpu)
    if cpu.dr[7] & GD:
        cpu.dr[6] |= BD
        cpu.eflags |= F.RF
        fault(cpu, DB, 0)
    return k + 2 if k == 4 or k == 5 else k


@kernel
def mov_to_debug(cpu):
    set_debug(cpu, debug_register(cpu), cpu.reg[cpu.place])
    update_mode(cpu)


@kernel
def mov_from_debug(cpu):
    cpu.reg[cpu.place] = cpu.dr[debug_register(cpu)]


@kernel
def smsw(cpu):
    need_umip(cpu)
    put_word(cpu, cpu.cr0)


@kernel
def lmsw(cpu):
    """The low four bits of CR0; PE can be set, not cleared."""
    need_cpl0(cpu)
    v = get_operand(cpu, 2)
    set_cr0(cpu, cpu.cr0 & ~14 | v & 15)


@kernel
def clts(cpu):
    need_cpl0(cpu)
    cpu.cr0 &= ~S.TS
    update_mode(cpu)


@kernel
def set_ac(cpu):
    """CLAC 0F 01 CA, STAC 0F 01 CB."""
    if cpu.cpl:
        fault(cpu, UD, 0)
    cpu.eflags = cpu.eflags | F.AC if cpu.place == 3 else cpu.eflags & ~F.AC
    update_mode(cpu)


@kernel
def invlpg(cpu):
    need_cpl0(cpu)
    invalidate(cpu, (cpu.segment[cpu.of_segment].base + cpu.offset) & 0xFFFFFFFF)


@kernel
def invd(cpu):
    need_cpl0(cpu)


# STACK FRAMES

@kernel
def pusha(cpu):
    size, sp = cpu.width >> 3, cpu.reg[S.ESP]
    can_push(cpu, sp, size, 8)
    for i in range(8):
        sp = push(cpu, sp, size, cpu.reg[i] & ((1 << 8 * size) - 1))   # for ESP the value from before
    set_sp(cpu, sp)


@kernel
def popa(cpu):
    size, sp = cpu.width >> 3, cpu.reg[S.ESP]
    for i in range(8):                                  # all of them before any register changes
        probe(cpu, logical(cpu, S.SS, stack_offset(cpu, sp + i * size), size, 0), size, 0, is_user(cpu))
    for i in range(8):
        v = pop(cpu, sp + (7 - i) * size, size)
        if i != S.ESP:
            put_register(cpu, i, cpu.width, v)
    set_sp(cpu, sp + 8 * size)


@kernel
def enter(cpu):
    """The frame pointer of `level` enclosing frames is copied; the last probe is that of the new top of the stack.  The width
    of the stack, not of the operand, says how much of EBP is written."""
    size, room, level = cpu.width >> 3, cpu.immediate, cpu.immediate2 & 31
    sp, bp = push(cpu, cpu.reg[S.ESP], size, cpu.reg[S.EBP] & ((1 << cpu.width) - 1)), cpu.reg[S.EBP]
    frame = sp
    if level:
        for _ in range(1, level):
            bp -= size
            sp = push(cpu, sp, size, load(cpu, S.SS, stack_offset(cpu, bp), size))
        sp = push(cpu, sp, size, frame & ((1 << cpu.width) - 1))
    top = stack_offset(cpu, sp - room)
    probe(cpu, logical(cpu, S.SS, top, 1, 1), 1, 1, is_user(cpu))
    set_sp(cpu, sp - room)
    put_register(cpu, S.EBP, 32 if cpu.segment[S.SS].rights & 0x4000 else 16, frame)


@kernel
def bound(cpu):
    size, w, user = cpu.width >> 3, cpu.width, is_user(cpu)
    at = logical(cpu, cpu.of_segment, cpu.offset, 2 * size, 0)
    low, high = read(cpu, at, size, user), read(cpu, (at + size) & 0xFFFFFFFF, size, user)
    i = sx(cpu.reg[cpu.register] & ((1 << w) - 1), w)
    if i < sx(low, w) or i > sx(high, w):
        fault(cpu, BR, 0)


# THE REST

@kernel
def hlt(cpu):
    need_cpl0(cpu)
    cpu.halted = 1
    cpu.attention = 1


@kernel
def ud(cpu):
    fault(cpu, UD, 0)


KERNELS = {"mov_to_control": mov_to_control, "mov_from_control": mov_from_control, "mov_to_debug": mov_to_debug,
           "mov_from_debug": mov_from_debug, "smsw": smsw, "lmsw": lmsw, "clts": clts, "set_ac": set_ac, "invlpg": invlpg,
           "invd": invd, "wbinvd": invd,
           "pusha": pusha, "popa": popa, "enter": enter,
           "bound": bound, "hlt": hlt, "ud": ud}

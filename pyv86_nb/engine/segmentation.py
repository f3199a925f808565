"""Segment registers and descriptors.   SDM vol. 3, chapters 3 and 5.

    rights, as in bits 8-23 of a descriptor's second word (the limit's bits 16-19 cut out):
    15  14  13  12      7  6-5  4  3-0
     G  D/B  L  AVL     P  DPL  S  type     S=1: 1xxx code (C conforming, R readable, A), 0xxx data (E expand down, W, A)
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import is_user, load, logical, probe, read, write
from .debug import EXECUTE, armed
from .exceptions import GP, NP, SS, fault
from .fpu_state import fpu_mode
from .isa import flags as F

ACCESSED, WRITABLE, EXPAND_DOWN, CODE_TYPE, S_BIT, P_BIT, BIG, GRANULAR = 1, 2, 4, 8, 16, 128, 0x4000, 0x8000
READABLE, CONFORMING = 2, 4
REAL_DATA, V86_DATA = 0x93, 0xF3
NOTHING = (1 << 33, -1)                                 # a window that lets nothing pass


@kernel
def protected(cpu):
    """Protected mode proper: selectors name descriptors."""
    return cpu.cr0 & S.PE != 0 and cpu.eflags & F.VM == 0


@kernel
def dpl_of(rights):
    return rights >> 5 & 3


@kernel
def is_code(rights):
    return rights & (S_BIT | CODE_TYPE) == S_BIT | CODE_TYPE


# THE CACHE

@kernel
def set_windows(cpu, s):
    """What may be read and written of a segment, from its limit and rights; in real mode only the limit counts.  (Of VM86
    the rights are those of writable data, so nothing more needs to be said.)"""
    segment = cpu.segment[s]
    rights = segment.rights
    first, last = 0, segment.limit
    readable = writable = True
    if cpu.cr0 & S.PE:
        present = rights & (P_BIT | S_BIT) == P_BIT | S_BIT
        if rights & CODE_TYPE:
            readable, writable = rights & READABLE != 0, False
        else:
            writable = rights & WRITABLE != 0
            if rights & EXPAND_DOWN:
                first, last = segment.limit + 1, (0xFFFFFFFF if rights & BIG else 0xFFFF)
        readable, writable = readable and present, writable and present
    segment.read.first = first if readable else NOTHING[0]
    segment.read.last = last if readable else NOTHING[1]
    segment.write.first = first if writable else NOTHING[0]
    segment.write.last = last if writable else NOTHING[1]


@kernel
def set_segment(cpu, s, selector, base, limit, rights):
    """Fill a segment's cache; of ES to GS also the selector."""
    if s <= S.GS:
        cpu.reg[S.SELECTORS + s] = selector
    segment = cpu.segment[s]
    segment.base, segment.limit, segment.rights = base, limit, rights
    set_windows(cpu, s)


@kernel
def copy_segment(cpu, s, source, selector):
    a = cpu.segment[source]
    set_segment(cpu, s, selector, a.base, a.limit, a.rights)


@kernel
def set_real(cpu, s, selector):
    """As real mode loads: the base follows the selector, the limit stays (so "unreal" mode works).  VM86: a fresh 64 KiB."""
    if cpu.eflags & F.VM:
        set_segment(cpu, s, selector, selector << 4, 0xFFFF, V86_DATA)
    else:
        segment = cpu.segment[s]
        rights = segment.rights & BIG | REAL_DATA if s == S.CS or segment.rights & P_BIT == 0 else segment.rights
        set_segment(cpu, s, selector, selector << 4, segment.limit, rights)


@kernel
def flat(cpu, s):
    segment = cpu.segment[s]
    return (segment.base == 0 and segment.read.first == 0 and segment.read.last == S.FLAT_LIMIT
            and segment.write.first == 0 and segment.write.last == S.FLAT_LIMIT)


@kernel
def update_mode(cpu):
    """Everything derived from segments and control registers: the mode of block keys, the TLB half, the context."""
    code = cpu.segment[S.CS]
    mode = S.D32 if code.rights & BIG else 0
    if cpu.segment[S.SS].rights & BIG:
        mode |= S.B32
    if not protected(cpu):
        mode |= S.UNPROTECTED                           # nothing is flat here, so that loads of segments leave the mode alone
    else:
        if flat(cpu, S.ES):
            mode |= S.FLAT_ES
        if flat(cpu, S.SS):
            mode |= S.FLAT_SS
        if flat(cpu, S.DS):
            mode |= S.FLAT_DS
    if cpu.eflags & F.VM:
        mode |= S.V86
    if cpu.cr0 & S.PG:
        mode |= S.PAGED
    if cpu.a20 == 0xFFFFFFFF:
        mode |= S.A20
    if cpu.cpl == 3 and cpu.eflags & F.AC and cpu.cr0 & S.AM and cpu.cr0 & S.PE:
        mode |= S.ALIGN
    if armed(cpu, EXECUTE):
        mode |= S.BREAKS
    if cpu.cr4 & S.OSFXSR and cpu.cr0 & (S.EM | S.TS) == 0:
        mode |= S.SSE
    mode |= fpu_mode(cpu) | is_user(cpu) << S.WHO_SHIFT
    cpu.mode = mode | code.limit << S.LIMIT_SHIFT
    cpu.moved = 1


# DESCRIPTORS

@kernel
def null(selector):
    return selector & 0xFFFC == 0


@kernel
def descriptor_at(cpu, selector, vector):
    """Linear address of the descriptor; `vector`(selector) beyond the table."""
    base, limit = cpu.gdt_base, cpu.gdt_limit
    if selector & 4:
        base, limit = cpu.segment[S.LDTR].base, (cpu.segment[S.LDTR].limit if cpu.segment[S.LDTR].rights & P_BIT else -1)
    if (selector | 7) > limit:
        fault(cpu, vector, selector & 0xFFFC | cpu.external)
    return (base + (selector & 0xFFF8)) & 0xFFFFFFFF


@kernel
def rights_of(high):
    return high >> 8 & 0xF0FF


@kernel
def base_of(low, high):
    return low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000


@kernel
def limit_of(low, high):
    limit = low & 0xFFFF | high & 0xF0000
    return limit << 12 | 0xFFF if high & 0x800000 else limit


@kernel
def set_accessed(cpu, at, high):
    if high & 0x100 == 0:
        write(cpu, (at + 5) & 0xFFFFFFFF, 1, high >> 8 & 0xFF | ACCESSED, 0)
    return high | 0x100


@kernel
def load_data_segment(cpu, s, selector):
    """MOV, POP, LDS...: ES, SS, DS, FS, GS.   SDM vol. 2, MOV."""
    if not protected(cpu):
        set_real(cpu, s, selector)
        return
    if null(selector):
        if s == S.SS:
            fault(cpu, GP, 0)
        set_segment(cpu, s, selector, 0, 0, 0)
        return
    at = descriptor_at(cpu, selector, GP)
    low, high = read(cpu, at, 4, 0), read(cpu, at + 4, 4, 0)
    rights = rights_of(high)
    dpl, rpl = dpl_of(rights), selector & 3
    if s == S.SS:
        if rpl != cpu.cpl or dpl != cpu.cpl or rights & (S_BIT | CODE_TYPE | WRITABLE) != S_BIT | WRITABLE:
            fault(cpu, GP, selector & 0xFFFC)
    elif rights & S_BIT == 0 or rights & (CODE_TYPE | READABLE) == CODE_TYPE:
        fault(cpu, GP, selector & 0xFFFC)
    elif rights & (CODE_TYPE | CONFORMING) != CODE_TYPE | CONFORMING and (rpl > dpl or cpu.cpl > dpl):
        fault(cpu, GP, selector & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, SS if s == S.SS else NP, selector & 0xFFFC)
    high = set_accessed(cpu, at, high)
    set_segment(cpu, s, selector, base_of(low, high), limit_of(low, high), rights_of(high))


@kernel
def drop_unreachable(cpu):
    """On a return to less privilege: data segments that the new CPL may not use become null."""
    for s in (S.ES, S.DS, S.FS, S.GS):
        rights = cpu.segment[s].rights
        if dpl_of(rights) < cpu.cpl and rights & (CODE_TYPE | CONFORMING) != CODE_TYPE | CONFORMING:
            set_segment(cpu, s, 0, 0, 0, 0)


# INSTRUCTIONS: `place` is a register, or -1 for memory at of_segment:offset

@kernel
def get_operand(cpu, size):
    if cpu.place >= 0:
        return cpu.reg[cpu.place] & ((1 << 8 * size) - 1)
    return read(cpu, logical(cpu, cpu.of_segment, cpu.offset, size, 0), size, is_user(cpu))


@kernel
def put_register(cpu, k, width, v):
    """A 16- or 32-bit register after a write of `width` bits."""
    mask = 0xFFFFFFFF if width == 32 else 0xFFFF
    cpu.reg[k] = (cpu.reg[k] & ~mask) | (v & mask)


@kernel
def put_word(cpu, v):
    """SLDT, STR, SMSW: 16 bits to memory, the operand size to a register."""
    if cpu.place >= 0:
        put_register(cpu, cpu.place, cpu.width, v)
    else:
        write(cpu, logical(cpu, cpu.of_segment, cpu.offset, 2, 1), 2, v & 0xFFFF, is_user(cpu))


@kernel
def after_segment_load(cpu, s):
    if s == S.SS:
        cpu.shadow = S.AFTER_MOV_SS
    update_mode(cpu)


@kernel
def mov_segment(cpu):
    s = cpu.register
    if s == S.CS or s > S.GS:
        fault(cpu, 6, 0)
    load_data_segment(cpu, s, get_operand(cpu, 2))
    after_segment_load(cpu, s)


@kernel
def pop_segment(cpu):
    from_, size = cpu.reg[S.ESP], cpu.width >> 3
    mask = 0xFFFFFFFF if cpu.segment[S.SS].rights & BIG else 0xFFFF
    s = cpu.register
    v = read(cpu, logical(cpu, S.SS, from_ & mask, size, 0), size, is_user(cpu))
    load_data_segment(cpu, s, v & 0xFFFF)
    cpu.reg[S.ESP] = (from_ & ~mask) | ((from_ + size) & mask)         # by the width SS had before
    after_segment_load(cpu, s)


@kernel
def far_pointer(cpu):
    """(offset, selector) from memory.  The limit is that of the whole, the alignment of each (vol. 3, table 6-7)."""
    size, user = cpu.width >> 3, is_user(cpu)
    if cpu.mode & S.ALIGN:
        return load(cpu, cpu.of_segment, cpu.offset, size), load(cpu, cpu.of_segment, cpu.offset + size, 2)
    at = logical(cpu, cpu.of_segment, cpu.offset, size + 2, 0)
    return read(cpu, at, size, user), read(cpu, (at + size) & 0xFFFFFFFF, 2, user)


@kernel
def load_far_pointer(cpu):
    """LES, LDS, LSS, LFS, LGS: `immediate` is the segment register."""
    offset, selector = far_pointer(cpu)
    load_data_segment(cpu, cpu.immediate, selector)
    put_register(cpu, cpu.register, cpu.width, offset)
    update_mode(cpu)


@kernel
def visible(cpu, selector):
    """For LAR LSL VERR VERW: the second word of the descriptor if the selector may see it, else -1."""
    if null(selector):
        return -1
    base, limit = cpu.gdt_base, cpu.gdt_limit
    if selector & 4:
        base, limit = cpu.segment[S.LDTR].base, (cpu.segment[S.LDTR].limit if cpu.segment[S.LDTR].rights & P_BIT else -1)
    if (selector | 7) > limit:
        return -1
    high = read(cpu, (base + (selector & 0xFFF8) + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    if is_code(rights) and rights & CONFORMING:
        return high
    return high if dpl_of(rights) >= max(cpu.cpl, selector & 3) else -1


@kernel
def set_zf(cpu, z):
    image = F.image(cpu.cf, cpu.carries, cpu.result, 0)
    cpu.cf, cpu.carries, cpu.result = F.from_image(image | F.ZF if z else image & ~F.ZF)


@kernel
def need_protected(cpu):
    if not protected(cpu):
        fault(cpu, 6, 0)


@kernel
def lar(cpu):
    """Valid types: code and data; TSS, LDT, gates but interrupt and trap gates."""
    need_protected(cpu)
    high = visible(cpu, get_operand(cpu, 2))
    ok = high >= 0 and (high & 0x1000 != 0 or 0x1A3E >> (high >> 8 & 15) & 1 != 0)
    if ok:
        put_register(cpu, cpu.register, cpu.width, high & 0xF0FF00)
    set_zf(cpu, ok)


@kernel
def lsl(cpu):
    need_protected(cpu)
    selector = get_operand(cpu, 2)
    high = visible(cpu, selector)
    ok = high >= 0 and (high & 0x1000 != 0 or 0x0A0E >> (high >> 8 & 15) & 1 != 0)
    if ok:
        at = descriptor_at(cpu, selector, GP)
        put_register(cpu, cpu.register, cpu.width, limit_of(read(cpu, at, 4, 0), high))
    set_zf(cpu, ok)


@kernel
def verr(cpu):
    need_protected(cpu)
    high = visible(cpu, get_operand(cpu, 2))
    rights = rights_of(high)
    set_zf(cpu, high >= 0 and rights & S_BIT != 0 and rights & (CODE_TYPE | READABLE) != CODE_TYPE)


@kernel
def verw(cpu):
    need_protected(cpu)
    high = visible(cpu, get_operand(cpu, 2))
    set_zf(cpu, high >= 0 and rights_of(high) & (S_BIT | CODE_TYPE | WRITABLE) == S_BIT | WRITABLE)


@kernel
def arpl(cpu):
    need_protected(cpu)
    a, b = get_operand(cpu, 2), cpu.reg[cpu.register] & 3
    if cpu.place < 0:
        logical(cpu, cpu.of_segment, cpu.offset, 2, 1)
    if a & 3 < b:
        if cpu.place >= 0:
            put_register(cpu, cpu.place, 16, a & 0xFFFC | b)
        else:
            write(cpu, logical(cpu, cpu.of_segment, cpu.offset, 2, 1), 2, a & 0xFFFC | b, is_user(cpu))
    set_zf(cpu, a & 3 < b)


@kernel
def need_cpl0(cpu):
    if cpu.cpl != 0:
        fault(cpu, GP, 0)


@kernel
def load_system(cpu, selector, kind):
    """The descriptor of an LDT (kind 2) or an available TSS (kind 1), into the slot NEW; its linear address."""
    at = descriptor_at(cpu, selector, GP)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    if rights & 0x1F != kind and not (kind == 1 and rights & 0x1F == 9) or selector & 4:
        fault(cpu, GP, selector & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, NP, selector & 0xFFFC)
    set_segment(cpu, S.NEW, selector, base_of(low, high), limit_of(low, high), rights)
    return at


@kernel
def load_ldtr(cpu, selector):
    if null(selector):
        set_segment(cpu, S.LDTR, selector, 0, 0, 0)
    else:
        load_system(cpu, selector, 2)
        copy_segment(cpu, S.LDTR, S.NEW, selector)
    cpu.ldtr = selector


@kernel
def lldt(cpu):
    need_protected(cpu)
    need_cpl0(cpu)
    load_ldtr(cpu, get_operand(cpu, 2))


@kernel
def load_tr(cpu, selector):
    if null(selector):
        fault(cpu, GP, 0)
    at = load_system(cpu, selector, 1)
    write(cpu, (at + 5) & 0xFFFFFFFF, 1, cpu.segment[S.NEW].rights & 0xFF | 2, 0)
    copy_segment(cpu, S.TR, S.NEW, selector)
    cpu.segment[S.TR].rights |= 2
    cpu.tr = selector


@kernel
def ltr(cpu):
    need_protected(cpu)
    need_cpl0(cpu)
    load_tr(cpu, get_operand(cpu, 2))


@kernel
def need_umip(cpu):
    """SGDT, SIDT, SLDT, STR, SMSW are the system's alone with CR4.UMIP."""
    if cpu.cr4 & S.UMIP and cpu.cpl:
        fault(cpu, GP, 0)


@kernel
def sldt(cpu):
    need_protected(cpu)
    need_umip(cpu)
    put_word(cpu, cpu.ldtr)


@kernel
def str_(cpu):
    need_protected(cpu)
    need_umip(cpu)
    put_word(cpu, cpu.tr)


@kernel
def store_table(cpu, base, limit):
    need_umip(cpu)
    at, user = logical(cpu, cpu.of_segment, cpu.offset, 6, 1), is_user(cpu)
    probe(cpu, at, 6, 1, user)
    write(cpu, at, 2, limit, user)
    write(cpu, (at + 2) & 0xFFFFFFFF, 4, base, user)


@kernel
def sgdt(cpu):
    store_table(cpu, cpu.gdt_base, cpu.gdt_limit)


@kernel
def sidt(cpu):
    store_table(cpu, cpu.idt_base, cpu.idt_limit)


@kernel
def table_operand(cpu):
    """(limit, base); with a 16-bit operand size the base has 24 bits."""
    need_cpl0(cpu)
    at, user = logical(cpu, cpu.of_segment, cpu.offset, 6, 0), is_user(cpu)
    return read(cpu, at, 2, user), read(cpu, (at + 2) & 0xFFFFFFFF, 4, user) & (0xFFFFFFFF if cpu.width == 32 else 0xFFFFFF)


@kernel
def lgdt(cpu):
    cpu.gdt_limit, cpu.gdt_base = table_operand(cpu)


@kernel
def lidt(cpu):
    cpu.idt_limit, cpu.idt_base = table_operand(cpu)


KERNELS = {"mov_segment": mov_segment, "pop_segment": pop_segment, "load_far_pointer": load_far_pointer, "arpl": arpl,
           "sldt": sldt, "str": str_, "lldt": lldt, "ltr": ltr, "verr": verr, "verw": verw, "lar": lar, "lsl": lsl,
           "sgdt": sgdt, "sidt": sidt, "lgdt": lgdt, "lidt": lidt}

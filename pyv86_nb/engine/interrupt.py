"""Interrupts and exceptions: through the vector table of real mode or the gates of protected mode, and back by IRET.
SDM vol. 3, chapter 6, and vol. 2, INT and IRET.

    deliver         one vector, with whatever faults that brings
    raise_exception an exception that an instruction has raised; faults on the way make #DF, then the shutdown (table 6-5)
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import can_push, is_user, pop, push, read, set_sp, stack_offset
from .debug import GD
from .exceptions import AC, BP, DB, DF, GP, NP, OF, PF, TS, fault, has_error_code
from .isa import flags as F
from .raw import FRAME, IRET, io
from .segmentation import (
    CONFORMING,
    P_BIT,
    V86_DATA,
    copy_segment,
    dpl_of,
    drop_unreachable,
    is_code,
    protected,
    rights_of,
    set_real,
    set_segment,
    update_mode,
)
from .tasks import INTERRUPT, push_error_of_task, switch_task, task_gate
from .tasks import IRET as BY_IRET
from .transfer import (
    can_push_inner,
    check_offset,
    gate_target,
    inner_stack,
    load_code,
    load_code_real,
    load_stack,
    outer_code,
    push_inner,
)

KEPT = F.MASK | F.TF | F.IF | F.DF | F.IOPL | F.NT | F.RF | F.AC | F.ID   # what IRET may write at all; POPF clears RF

IDT_GATES = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 14 | 1 << 15                # task, interrupt and trap gates

@kernel
def eflags(cpu):
    return F.image(cpu.cf, cpu.carries, cpu.result, cpu.eflags)


@kernel
def set_eflags(cpu, v, mask):
    """The bits of mask from v; an interrupt or a trap may be due now."""
    old = eflags(cpu)
    v = (old & ~mask) | (v & mask)
    cpu.cf, cpu.carries, cpu.result = F.from_image(v)
    cpu.eflags = v & ~(F.MASK | 2)
    cpu.attention = 1
    if (old ^ v) & F.AC:                                # alignment checks, SMAP
        update_mode(cpu)


@kernel
def writable_flags(cpu, width):
    """What POPF may change: IF by IOPL, IOPL at CPL 0 only."""
    mask = KEPT & ~(F.IF | F.IOPL)
    if cpu.cpl == 0 or not protected(cpu):
        mask |= F.IOPL
    if cpu.cpl <= cpu.eflags >> 12 & 3 or not protected(cpu):
        mask |= F.IF
    return mask if width == 32 else mask & 0xFFFF


@kernel
def top_of_stack(cpu):
    """Its linear address."""
    return (cpu.segment[S.SS].base + stack_offset(cpu, cpu.reg[S.ESP])) & 0xFFFFFFFF


# DELIVERY

@kernel
def deliver_real(cpu, vector):
    if 4 * vector + 3 > cpu.idt_limit:
        fault(cpu, GP, 0)
    at = (cpu.idt_base + 4 * vector) & 0xFFFFFFFF
    offset, selector = read(cpu, at, 2, 0), read(cpu, (at + 2) & 0xFFFFFFFF, 2, 0)
    sp = push(cpu, cpu.reg[S.ESP], 2, eflags(cpu))
    sp = push(cpu, sp, 2, cpu.reg[S.SELECTORS + S.CS])
    sp = push(cpu, sp, 2, cpu.next)
    load_code_real(cpu, selector, offset)
    set_sp(cpu, sp)
    cpu.eflags &= ~(F.IF | F.TF | F.AC | F.RF)


@kernel
def deliver_protected(cpu, vector, error, with_error, software):
    where = vector * 8 + 2
    if vector * 8 + 7 > cpu.idt_limit:
        fault(cpu, GP, where | cpu.external)
    at = (cpu.idt_base + vector * 8) & 0xFFFFFFFF
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    kind = rights & 0x1F
    if IDT_GATES >> kind & 1 == 0:
        fault(cpu, GP, where | cpu.external)
    if software and dpl_of(rights) < cpu.cpl:
        fault(cpu, GP, where)
    if rights & P_BIT == 0:
        fault(cpu, NP, where | cpu.external)
    if kind == 5:
        task_gate(cpu, low >> 16, INTERRUPT)
        if with_error:
            push_error_of_task(cpu, error)
        return
    size = 4 if kind >= 14 else 2
    target, offset = low >> 16, low & 0xFFFF | (high & 0xFFFF0000 if size == 4 else 0)
    at = gate_target(cpu, target, GP)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    dpl = dpl_of(rights)
    if not is_code(rights) or dpl > cpu.cpl:
        fault(cpu, GP, target & 0xFFFC | cpu.external)
    if rights & P_BIT == 0:
        fault(cpu, NP, target & 0xFFFC | cpu.external)
    image, cs = eflags(cpu), cpu.reg[S.SELECTORS + S.CS]
    if rights & CONFORMING == 0 and dpl < cpu.cpl:
        deliver_inner(cpu, at, low, high, target, offset, size, dpl, image, cs, error, with_error)
    else:
        if cpu.eflags & F.VM:
            fault(cpu, GP, target & 0xFFFC | cpu.external)
        can_push(cpu, cpu.reg[S.ESP], size, 4 if with_error else 3)
        check_offset(cpu, low, high, offset)
        sp = push(cpu, cpu.reg[S.ESP], size, image)
        sp = push(cpu, sp, size, cs)
        sp = push(cpu, sp, size, cpu.next)
        if with_error:
            sp = push(cpu, sp, size, error)
        load_code(cpu, target, at, low, high, cpu.cpl, offset)
        set_sp(cpu, sp)
    cpu.eflags &= ~(F.TF | F.NT | F.RF | F.VM | (0 if kind & 1 else F.IF))        # an interrupt gate also clears IF


@kernel
def deliver_inner(cpu, at, low, high, target, offset, size, dpl, image, cs, error, with_error):
    """To a more privileged level: its stack gets GS FS DS ES (from VM86), SS ESP EFLAGS CS EIP and the error code."""
    old_ss, old_sp, v86 = cpu.reg[S.SELECTORS + S.SS], cpu.reg[S.ESP], cpu.eflags & F.VM != 0
    if v86 and dpl != 0:
        fault(cpu, GP, target & 0xFFFC | cpu.external)
    new_ss, sp = inner_stack(cpu, dpl)
    can_push_inner(cpu, new_ss, sp, size, 5 + (4 if v86 else 0) + (1 if with_error else 0), 0)
    check_offset(cpu, low, high, offset)
    if v86:
        for s in (S.GS, S.FS, S.DS, S.ES):
            sp = push_inner(cpu, new_ss, sp, size, cpu.reg[S.SELECTORS + s], 0)
    sp = push_inner(cpu, new_ss, sp, size, old_ss, 0)
    sp = push_inner(cpu, new_ss, sp, size, old_sp, 0)
    sp = push_inner(cpu, new_ss, sp, size, image, 0)
    sp = push_inner(cpu, new_ss, sp, size, cs, 0)
    sp = push_inner(cpu, new_ss, sp, size, cpu.next, 0)
    if with_error:
        sp = push_inner(cpu, new_ss, sp, size, error, 0)
    load_code(cpu, target, at, low, high, dpl, offset)
    copy_segment(cpu, S.SS, S.NEW, new_ss)
    set_sp(cpu, sp)
    if v86:
        for s in (S.GS, S.FS, S.DS, S.ES):
            set_segment(cpu, s, 0, 0, 0, 0)


@kernel
def deliver(cpu, vector, error, with_error, software):
    """Go to the handler of `vector`; `next` is the EIP to come back to."""
    if cpu.cr0 & S.PE:
        deliver_protected(cpu, vector, error, with_error, software)
    else:
        deliver_real(cpu, vector)
    if vector == DB and not software:
        cpu.dr[7] &= ~GD
    update_mode(cpu)
    cpu.eip = cpu.next
    cpu.shadow = 0


@kernel
def interrupt(cpu, vector):
    """A hardware interrupt that has been accepted.  False: shutdown."""
    cpu.next = cpu.eip
    cpu.external = 1
    cpu.extra += 1                                      # delivery takes a tick, so that no loop of faults stands still in time
    cpu.budget -= 1
    try:
        deliver(cpu, vector, 0, False, False)
    except Exception:
        return raise_exception(cpu, False)
    cpu.external = cpu.hits = 0
    io(cpu, FRAME, top_of_stack(cpu), 0, 0)             # for the interrupt trace: the frame that an IRET will pop
    return True


@kernel
def contributory(vector):
    return vector == 0 or 10 <= vector <= 13


@kernel
def raise_exception(cpu, count):
    """Deliver the exception in cpu.vector, raised at cpu.eip.  False: a triple fault, the processor shuts down."""
    cpu.chained = 0
    if count:
        cpu.extra += 1
        cpu.budget -= 1
    first, misaligned = -1, False
    while True:
        vector, error = cpu.vector, cpu.error
        if cpu.external and 10 <= vector <= 13:
            error |= 1                                  # EXT (6.13): raised while an interrupt or an earlier exception was delivered
        if first == DF:
            cpu.chain[cpu.chained & 7] = vector << 32 | error
            cpu.chained += 1
            cpu.external = 0
            return False
        if vector == AC and misaligned:
            # #AC is benign: it is handled after any other, and any other after it (table 6-5), but the frame of #AC will never fit on a
            # misaligned stack of level 3.  A processor is lost here; this one tries the instruction again, so that time passes
            cpu.external = cpu.hits = 0
            return True
        misaligned = misaligned or vector == AC
        if first >= 0 and ((contributory(first) and contributory(vector)) or (first == PF and (contributory(vector) or vector == PF))):
            cpu.chain[cpu.chained & 7] = vector << 32 | error
            cpu.chained += 1
            vector, error = DF, 0
        first = vector
        cpu.chain[cpu.chained & 7] = vector << 32 | error
        cpu.chained += 1
        if vector != DB and vector != BP and vector != OF and vector != DF:
            cpu.eflags |= F.RF                          # of a fault; the image that is pushed has it set
        cpu.next, cpu.external = cpu.eip, 1
        try:
            deliver(cpu, vector, error, has_error_code(vector) and cpu.cr0 & S.PE != 0, False)
        except Exception:
            continue
        cpu.external = cpu.hits = 0                     # the pushes of a delivery break nothing
        return True


# INT

@kernel
def software_interrupt(cpu, vector):
    """INT n, INT3, INTO."""
    deliver(cpu, vector, 0, False, True)


@kernel
def int_(cpu):
    """In VM86 the bitmap of the TSS may leave INT n to the program; else, with IOPL below 3, it is the monitor's."""
    if cpu.eflags & F.VM:
        if cpu.cr4 & S.VME and is_redirected(cpu, cpu.immediate):
            deliver_8086(cpu, cpu.immediate)
            return
        if cpu.eflags & F.IOPL != F.IOPL:
            fault(cpu, GP, 0)
    software_interrupt(cpu, cpu.immediate)


@kernel
def int3(cpu):
    software_interrupt(cpu, BP)


@kernel
def into(cpu):
    if F.overflow(cpu.carries):
        software_interrupt(cpu, OF)


@kernel
def int1(cpu):
    """ICEBP: a trap without a check of the gate's DPL, and to EXT an event of its own."""
    cpu.external = 1
    deliver(cpu, DB, 0, False, False)
    cpu.external = 0


# VIRTUAL INTERRUPTS (vol. 3, 20.3 and 20.4): of VM86 with CR4.VME and of CPL 3 with CR4.PVI, where IOPL is too low for IF itself

@kernel
def is_redirected(cpu, vector):
    """A clear bit in the 32 bytes before the I/O bitmap."""
    tss = cpu.segment[S.TR]
    if tss.limit < 0x67:
        fault(cpu, GP, 0)
    at = read(cpu, (tss.base + 0x66) & 0xFFFFFFFF, 2, 0) - 32 + (vector >> 3)
    if at < 0 or at > tss.limit:
        fault(cpu, GP, 0)
    return read(cpu, (tss.base + at) & 0xFFFFFFFF, 1, 0) >> (vector & 7) & 1 == 0


@kernel
def virtual_image(cpu):
    """EFLAGS as a program with virtual interrupts sees them: VIF as IF, and IOPL 3."""
    image = eflags(cpu)
    return image if image & F.IOPL == F.IOPL else image & ~F.IF | image >> 10 & F.IF | F.IOPL


@kernel
def deliver_8086(cpu, vector):
    """Through the vector table at linear address 0, without leaving VM86."""
    user = is_user(cpu)
    offset, selector = read(cpu, 4 * vector, 2, user), read(cpu, 4 * vector + 2, 2, user)
    sp = push(cpu, cpu.reg[S.ESP], 2, virtual_image(cpu) & 0xFFFF)
    sp = push(cpu, sp, 2, cpu.reg[S.SELECTORS + S.CS])
    sp = push(cpu, sp, 2, cpu.next)
    set_real(cpu, S.CS, selector)
    cpu.next = offset
    set_sp(cpu, sp)
    cpu.eflags &= ~(F.TF | F.RF | (F.IF if cpu.eflags & F.IOPL == F.IOPL else F.VIF))
    update_mode(cpu)


@kernel
def need_virtual(cpu, size):
    """PUSHF, POPF, IRET of VM86 with IOPL below 3: 16 bits with CR4.VME, else the monitor's."""
    if cpu.cr4 & S.VME == 0 or size != 2:
        fault(cpu, GP, 0)


@kernel
def set_virtual(cpu, image):
    """FLAGS of a program with virtual interrupts; #GP(0) for what the monitor must see."""
    if image & F.TF or (image & F.IF and cpu.eflags & F.VIP):
        fault(cpu, GP, 0)
    set_eflags(cpu, image, KEPT & 0xFFFF & ~(F.IF | F.IOPL))
    cpu.eflags = cpu.eflags & ~F.VIF | (image & F.IF) << 10


# IRET

@kernel
def iret(cpu):
    size, sp = cpu.width >> 3, cpu.reg[S.ESP]
    frame = top_of_stack(cpu)
    cpu.nmi_masked = 0
    cpu.attention = 1
    virtual = cpu.eflags & F.VM != 0 and cpu.eflags & F.IOPL != F.IOPL
    if virtual:
        need_virtual(cpu, size)
    if protected(cpu) and cpu.eflags & F.NT:
        link = read(cpu, cpu.segment[S.TR].base, 2, 0)
        if link & 4:
            fault(cpu, TS, link & 0xFFFC)
        switch_task(cpu, link, BY_IRET)
        return
    offset, selector, image = pop(cpu, sp, size), pop(cpu, sp + size, size) & 0xFFFF, pop(cpu, sp + 2 * size, size)
    if not protected(cpu):
        mask = KEPT if size == 4 else KEPT & 0xFFFF
        if cpu.eflags & F.VM:
            mask &= ~F.IOPL
        if offset > cpu.segment[S.CS].limit:
            fault(cpu, GP, 0)
        if virtual:
            set_virtual(cpu, image)
        else:
            set_eflags(cpu, image, mask)
        load_code_real(cpu, selector, offset)
        set_sp(cpu, sp + 3 * size)
    elif image & F.VM and cpu.cpl == 0 and size == 4:
        return_to_v86(cpu, sp, offset, selector, image)
    else:
        mask = writable_flags(cpu, cpu.width)
        if cpu.cpl == 0 and size == 4:
            mask |= F.VIF | F.VIP
        at, low, high = outer_code(cpu, selector, offset)
        if selector & 3 == cpu.cpl:
            load_code(cpu, selector, at, low, high, cpu.cpl, offset)
            set_sp(cpu, sp + 3 * size)
            set_eflags(cpu, image, mask)
        else:
            new_sp, new_ss = pop(cpu, sp + 3 * size, size), pop(cpu, sp + 4 * size, size) & 0xFFFF
            load_stack(cpu, new_ss, selector & 3, GP)
            load_code(cpu, selector, at, low, high, selector & 3, offset)
            copy_segment(cpu, S.SS, S.NEW, new_ss)
            set_sp(cpu, new_sp)
            set_eflags(cpu, image, mask)
            drop_unreachable(cpu)
    update_mode(cpu)
    io(cpu, IRET, frame, 0, 0)                          # for the interrupt trace


@kernel
def return_to_v86(cpu, sp, offset, selector, image):
    new_sp, new_ss = pop(cpu, sp + 12, 4), pop(cpu, sp + 16, 4) & 0xFFFF
    es, ds = pop(cpu, sp + 20, 4) & 0xFFFF, pop(cpu, sp + 24, 4) & 0xFFFF
    fs, gs = pop(cpu, sp + 28, 4) & 0xFFFF, pop(cpu, sp + 32, 4) & 0xFFFF
    if offset > 0xFFFF:
        fault(cpu, GP, 0)
    set_eflags(cpu, image, KEPT | F.VM | F.VIF | F.VIP)
    cpu.cpl = 3
    for s, v in ((S.CS, selector), (S.SS, new_ss), (S.ES, es), (S.DS, ds), (S.FS, fs), (S.GS, gs)):
        set_segment(cpu, s, v, v << 4, 0xFFFF, V86_DATA)
    cpu.reg[S.ESP] = new_sp
    cpu.next = offset


# EFLAGS

@kernel
def popf(cpu):
    size, sp = cpu.width >> 3, cpu.reg[S.ESP]
    if cpu.eflags & F.VM and cpu.eflags & F.IOPL != F.IOPL:
        need_virtual(cpu, size)
        set_virtual(cpu, pop(cpu, sp, 2))
        set_sp(cpu, sp + 2)
        return
    image = pop(cpu, sp, size)
    mask = writable_flags(cpu, cpu.width)
    if cpu.eflags & F.VM:
        mask = mask & ~F.IOPL | F.IF
    set_sp(cpu, sp + size)
    set_eflags(cpu, image, mask)
    cpu.eflags &= ~F.RF


@kernel
def means_vif(cpu):
    """CLI, STI: CPL (3 in VM86) must not be above IOPL, or they mean VIF, where that is offered."""
    if cpu.cr0 & S.PE == 0 or cpu.cpl <= cpu.eflags >> 12 & 3:
        return False
    if cpu.cpl != 3 or cpu.cr4 & (S.VME if cpu.eflags & F.VM else S.PVI) == 0:
        fault(cpu, GP, 0)
    return True


@kernel
def cli(cpu):
    cpu.eflags &= ~F.VIF if means_vif(cpu) else ~F.IF


@kernel
def sti(cpu):
    if means_vif(cpu):
        if cpu.eflags & F.VIP:
            fault(cpu, GP, 0)
        cpu.eflags |= F.VIF
        return
    if cpu.eflags & F.IF == 0:
        cpu.shadow = S.AFTER_STI                        # the next instruction still runs before an interrupt is taken
    cpu.eflags |= F.IF
    cpu.attention = 1


@kernel
def pushf(cpu):
    """PUSHF in VM86 (elsewhere a handler does it)."""
    size = cpu.width >> 3
    if cpu.eflags & F.IOPL != F.IOPL:
        need_virtual(cpu, size)
    set_sp(cpu, push(cpu, cpu.reg[S.ESP], size, virtual_image(cpu) & ~(F.RF | F.VM)))


KERNELS = {"int": int_, "int3": int3, "into": into, "int1": int1, "iret": iret, "popf": popf, "cli": cli, "sti": sti}

"""Far transfers: JMP, CALL and RET to another segment, through call gates, between privilege levels.   SDM vol. 3, 5.8.

Whatever can fault is done first; CS, SS, ESP and `next`, the EIP to go on at, are set at the end.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import can_push, load, pop, probe, push, read, set_sp, stack_offset, write
from .exceptions import GP, NP, SS, TS, fault
from .segmentation import (
    CODE_TYPE,
    CONFORMING,
    P_BIT,
    S_BIT,
    WRITABLE,
    base_of,
    copy_segment,
    descriptor_at,
    dpl_of,
    drop_unreachable,
    far_pointer,
    is_code,
    limit_of,
    null,
    protected,
    rights_of,
    set_accessed,
    set_real,
    set_segment,
    update_mode,
)
from .tasks import CALL, JMP, switch_task, task_gate

GATES_AND_TASKS = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 12           # types that far JMP and CALL go through: TSS, call and task gates

@kernel
def check_offset(cpu, low, high, offset):
    if offset > limit_of(low, high):
        fault(cpu, GP, cpu.external)


@kernel
def load_code(cpu, selector, at, low, high, cpl, offset):
    """CS from a checked descriptor, with RPL := cpl; #GP(0) when the offset is beyond the limit."""
    check_offset(cpu, low, high, offset)
    high = set_accessed(cpu, at, high)
    cpu.cpl = cpl
    set_segment(cpu, S.CS, selector & 0xFFFC | cpl, base_of(low, high), limit_of(low, high), rights_of(high))
    cpu.next = offset


@kernel
def load_code_real(cpu, selector, offset):
    if offset > cpu.segment[S.CS].limit:
        fault(cpu, GP, 0)
    set_real(cpu, S.CS, selector)
    cpu.next = offset


@kernel
def far_operand(cpu):
    """(selector, offset) of an immediate or memory far pointer."""
    size = cpu.width >> 3
    if cpu.opcode != 0xFF:                              # 9A, EA: in the instruction
        return cpu.immediate2, cpu.immediate & (0xFFFFFFFF if size == 4 else 0xFFFF)
    offset, selector = far_pointer(cpu)
    return selector, offset


@kernel
def check_direct(cpu, selector, rights):
    """A direct far transfer to a code segment stays at the CPL."""
    if rights & CONFORMING:
        if dpl_of(rights) > cpu.cpl:
            fault(cpu, GP, selector & 0xFFFC)
    elif selector & 3 > cpu.cpl or dpl_of(rights) != cpu.cpl:
        fault(cpu, GP, selector & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, NP, selector & 0xFFFC)


@kernel
def check_gate(cpu, selector, rights):
    if dpl_of(rights) < max(cpu.cpl, selector & 3):
        fault(cpu, GP, selector & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, NP, selector & 0xFFFC)


@kernel
def gate_target(cpu, selector, vector):
    """Linear address of the code descriptor a gate names; vector(0) or vector(selector) if it is none."""
    if null(selector):
        fault(cpu, vector, cpu.external)
    return descriptor_at(cpu, selector, vector)


@kernel
def read_descriptor(cpu, at):
    return read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)


@kernel
def push_return(cpu, low, high, size, offset):
    """CS and EIP onto the stack, if it has room and the target is within its segment (`low`, `high`).  The new sp."""
    can_push(cpu, cpu.reg[S.ESP], size, 2)
    check_offset(cpu, low, high, offset)
    return push(cpu, push(cpu, cpu.reg[S.ESP], size, cpu.reg[S.SELECTORS + S.CS]), size, cpu.next)


@kernel
def transfer_far(cpu, why):
    """JMP and CALL: to code, through a gate, to a task."""
    selector, offset = far_operand(cpu)
    size, sp = cpu.width >> 3, cpu.reg[S.ESP]
    if not protected(cpu):
        if why == CALL:
            can_push(cpu, sp, size, 2)
            if offset > cpu.segment[S.CS].limit:
                fault(cpu, GP, 0)
            sp = push(cpu, push(cpu, sp, size, cpu.reg[S.SELECTORS + S.CS]), size, cpu.next)
        load_code_real(cpu, selector, offset)
        set_sp(cpu, sp)
        update_mode(cpu)
        return
    if null(selector):
        fault(cpu, GP, 0)
    at = descriptor_at(cpu, selector, GP)
    low, high = read_descriptor(cpu, at)
    rights = rights_of(high)
    kind = rights & 15
    if is_code(rights):
        check_direct(cpu, selector, rights)
        if why == CALL:
            sp = push_return(cpu, low, high, size, offset)
        load_code(cpu, selector, at, low, high, cpu.cpl, offset)
        set_sp(cpu, sp)
    elif rights & S_BIT or GATES_AND_TASKS >> kind & 1 == 0:
        fault(cpu, GP, selector & 0xFFFC)
    else:
        check_gate(cpu, selector, rights)
        if kind == 5:
            task_gate(cpu, low >> 16, why)
        elif kind & ~8 == 1:
            switch_task(cpu, selector, why)
        else:
            through_gate(cpu, low, high, 4 if kind == 12 else 2, why)
    update_mode(cpu)


@kernel
def jmp_far(cpu):
    transfer_far(cpu, JMP)


@kernel
def call_far(cpu):
    transfer_far(cpu, CALL)


@kernel
def through_gate(cpu, low, high, size, why):
    """A call gate.  JMP stays at the CPL; CALL goes to that of code that does not conform."""
    target, offset, count = low >> 16, low & 0xFFFF | (high & 0xFFFF0000 if size == 4 else 0), high & 31
    at = gate_target(cpu, target, GP)
    low, high = read_descriptor(cpu, at)
    rights = rights_of(high)
    dpl = dpl_of(rights)
    if not is_code(rights) or dpl > cpu.cpl or (why == JMP and rights & CONFORMING == 0 and dpl != cpu.cpl):
        fault(cpu, GP, target & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, NP, target & 0xFFFC)
    if rights & CONFORMING or dpl == cpu.cpl:
        sp = push_return(cpu, low, high, size, offset) if why == CALL else cpu.reg[S.ESP]
        load_code(cpu, target, at, low, high, cpu.cpl, offset)
        set_sp(cpu, sp)
        return
    old_sp, old_ss = cpu.reg[S.ESP], cpu.reg[S.SELECTORS + S.SS]
    new_ss, sp = inner_stack(cpu, dpl)
    user = 1 if dpl == 3 else 0
    can_push_inner(cpu, new_ss, sp, size, 4 + count, user)
    check_offset(cpu, low, high, offset)
    sp = push_inner(cpu, new_ss, sp, size, old_ss, user)
    sp = push_inner(cpu, new_ss, sp, size, old_sp, user)
    for i in range(count - 1, -1, -1):
        sp = push_inner(cpu, new_ss, sp, size, load(cpu, S.SS, stack_offset(cpu, old_sp + i * size), size), user)
    sp = push_inner(cpu, new_ss, sp, size, cpu.reg[S.SELECTORS + S.CS], user)
    sp = push_inner(cpu, new_ss, sp, size, cpu.next, user)
    load_code(cpu, target, at, low, high, dpl, offset)
    copy_segment(cpu, S.SS, S.NEW, new_ss)
    set_sp(cpu, sp)


# A STACK OF ANOTHER PRIVILEGE LEVEL, in the slot NEW until all is done

@kernel
def load_stack(cpu, selector, level, vector):
    """The stack segment for `level` into NEW: a writable data segment with RPL = DPL = level, else vector(selector)."""
    error = selector & 0xFFFC | cpu.external
    if null(selector):
        fault(cpu, vector, cpu.external if vector == TS else 0)
    at = descriptor_at(cpu, selector, vector)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    if selector & 3 != level or dpl_of(rights) != level or rights & (S_BIT | CODE_TYPE | WRITABLE) != S_BIT | WRITABLE:
        fault(cpu, vector, error)
    if rights & P_BIT == 0:
        fault(cpu, SS, error)
    high = set_accessed(cpu, at, high)
    set_segment(cpu, S.NEW, selector, base_of(low, high), limit_of(low, high), rights_of(high))


@kernel
def inner_stack(cpu, level):
    """(SS, ESP) for a more privileged level, from the TSS; the segment is in NEW."""
    tss = cpu.segment[S.TR]
    if tss.rights & 8:
        at, size = 4 + 8 * level, 4
    else:
        at, size = 2 + 4 * level, 2
    if at + size + 1 > tss.limit:
        fault(cpu, TS, cpu.tr & 0xFFFC | cpu.external)
    sp = read(cpu, (tss.base + at) & 0xFFFFFFFF, size, 0)
    ss = read(cpu, (tss.base + at + size) & 0xFFFFFFFF, 2, 0)
    load_stack(cpu, ss, level, TS)
    return ss, sp


@kernel
def can_push_inner(cpu, ss, sp, size, n, user):
    """#SS(selector) or #PF now if n pushes to the stack ss, which is in NEW, would fault."""
    new = cpu.segment[S.NEW]
    for _ in range(n):
        sp = (sp - size) & (0xFFFFFFFF if new.rights & 0x4000 else 0xFFFF)
        if sp < new.write.first or sp + size - 1 > new.write.last:
            fault(cpu, SS, ss & 0xFFFC | cpu.external)
        probe(cpu, (new.base + sp) & 0xFFFFFFFF, size, 1, user)


@kernel
def push_inner(cpu, ss, sp, size, v, user):
    """A push to that stack, after `can_push_inner`."""
    new = cpu.segment[S.NEW]
    sp = (sp - size) & (0xFFFFFFFF if new.rights & 0x4000 else 0xFFFF)
    write(cpu, (new.base + sp) & 0xFFFFFFFF, size, v, user)
    return sp


@kernel
def outer_code(cpu, selector, offset):
    """The checks of RET and IRET on the CS they pop; (address, words) of its descriptor."""
    if null(selector):
        fault(cpu, GP, 0)
    at = descriptor_at(cpu, selector, GP)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    dpl, rpl = dpl_of(rights), selector & 3
    if not is_code(rights) or rpl < cpu.cpl or (dpl > rpl if rights & CONFORMING else dpl != rpl):
        fault(cpu, GP, selector & 0xFFFC)
    if rights & P_BIT == 0:
        fault(cpu, NP, selector & 0xFFFC)
    if offset > limit_of(low, high):
        fault(cpu, GP, 0)
    return at, low, high


@kernel
def ret_far(cpu):
    size, release = cpu.width >> 3, cpu.immediate
    sp = cpu.reg[S.ESP]
    offset, selector = pop(cpu, sp, size), pop(cpu, sp + size, size) & 0xFFFF
    if not protected(cpu):
        load_code_real(cpu, selector, offset)
        set_sp(cpu, sp + 2 * size + release)
        update_mode(cpu)
        return
    at, low, high = outer_code(cpu, selector, offset)
    if selector & 3 == cpu.cpl:
        load_code(cpu, selector, at, low, high, cpu.cpl, offset)
        set_sp(cpu, sp + 2 * size + release)
    else:
        new_sp = pop(cpu, sp + 2 * size + release, size)
        new_ss = pop(cpu, sp + 3 * size + release, size) & 0xFFFF
        load_stack(cpu, new_ss, selector & 3, GP)
        load_code(cpu, selector, at, low, high, selector & 3, offset)
        copy_segment(cpu, S.SS, S.NEW, new_ss)
        set_sp(cpu, new_sp + release)
        drop_unreachable(cpu)
    update_mode(cpu)


KERNELS = {"jmp_far": jmp_far, "call_far": call_far, "ret_far": ret_far}

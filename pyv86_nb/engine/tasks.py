"""Task switching.   SDM vol. 3, chapter 8; the 16-bit task state of the 80286 and the 32-bit one of the 80386.

    32-bit TSS: 0 link  4-1B stacks of levels 0-2  1C CR3  20 EIP  24 EFLAGS  28-47 EAX..EDI  48-5D ES CS SS DS FS GS  60 LDT  64 T, I/O map
    16-bit TSS: 0 link  2-D stacks                        0E IP   10 FLAGS   12-21 AX..DI     22-29 ES CS SS DS       2A LDT

Order of things: check the new TSS, save the old state, load the new one, then its segments, whose faults belong to the new task.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import probe, push, read, set_sp, write
from .debug import BT, LOCAL_ENABLES, set_debug
from .exceptions import DB, GP, NP, SS, TS, fault
from .isa import flags as F
from .paging import set_cr3
from .segmentation import (
    CODE_TYPE,
    CONFORMING,
    P_BIT,
    READABLE,
    S_BIT,
    V86_DATA,
    WRITABLE,
    base_of,
    descriptor_at,
    dpl_of,
    is_code,
    limit_of,
    null,
    rights_of,
    set_accessed,
    set_segment,
    update_mode,
)

JMP, CALL, INTERRUPT, IRET = range(4)                   # what caused the switch
BUSY = 2


@kernel
def task_gate(cpu, selector, why):
    """A task gate names a TSS of the GDT; its own rights count, not the descriptor's."""
    if selector & 4 or null(selector):
        fault(cpu, GP, selector & 0xFFFC | cpu.external)
    switch_task(cpu, selector, why)


@kernel
def mark_busy(cpu, selector, busy):
    at = (cpu.gdt_base + (selector & 0xFFF8) + 5) & 0xFFFFFFFF
    rights = read(cpu, at, 1, 0)
    write(cpu, at, 1, rights | BUSY if busy else rights & ~BUSY, 0)


@kernel
def save_task(cpu, eflags):
    tss = cpu.segment[S.TR]
    base, wide = tss.base, tss.rights & 8 != 0
    size = 4 if wide else 2
    at = base + (0x20 if wide else 0x0E)
    write(cpu, at & 0xFFFFFFFF, size, cpu.next, 0)
    write(cpu, (at + size) & 0xFFFFFFFF, size, eflags, 0)
    for i in range(8):
        write(cpu, (at + size * (2 + i)) & 0xFFFFFFFF, size, cpu.reg[i], 0)
    for i in range(6 if wide else 4):
        write(cpu, (at + size * (10 + i)) & 0xFFFFFFFF, 2, cpu.reg[S.SELECTORS + i], 0)


@kernel
def load_task_segment(cpu, s, selector):
    """A segment of the new task: the checks of MOV, but #TS instead of #GP."""
    if cpu.eflags & F.VM:
        set_segment(cpu, s, selector, selector << 4, 0xFFFF, V86_DATA)
        return
    error = selector & 0xFFFC | cpu.external
    if null(selector):
        if s == S.CS or s == S.SS:
            fault(cpu, TS, error)
        set_segment(cpu, s, selector, 0, 0, 0)
        return
    at = descriptor_at(cpu, selector, TS)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    dpl, rpl = dpl_of(rights), selector & 3
    if s == S.CS:
        if not is_code(rights) or (dpl > rpl if rights & CONFORMING else dpl != rpl):
            fault(cpu, TS, error)
    elif s == S.SS:
        if rpl != cpu.cpl or dpl != cpu.cpl or rights & (S_BIT | CODE_TYPE | WRITABLE) != S_BIT | WRITABLE:
            fault(cpu, TS, error)
    else:
        if rights & S_BIT == 0 or rights & (CODE_TYPE | READABLE) == CODE_TYPE:
            fault(cpu, TS, error)
        if rights & (CODE_TYPE | CONFORMING) != CODE_TYPE | CONFORMING and (rpl > dpl or cpu.cpl > dpl):
            fault(cpu, TS, error)
    if rights & P_BIT == 0:
        fault(cpu, SS if s == S.SS else NP, error)
    high = set_accessed(cpu, at, high)
    set_segment(cpu, s, selector, base_of(low, high), limit_of(low, high), rights_of(high))


@kernel
def switch_task(cpu, selector, why):
    """Leave this task for that of a TSS descriptor.  Interrupts push their error code afterwards, on the new stack."""
    error, vector = selector & 0xFFFC | cpu.external, TS if why == IRET else GP
    at = descriptor_at(cpu, selector, vector)
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    rights = rights_of(high)
    kind = rights & 0x1F & ~BUSY
    if (kind != 1 and kind != 9) or selector & 4 or (rights & BUSY != 0) != (why == IRET):
        fault(cpu, vector, error)
    if rights & P_BIT == 0:
        fault(cpu, NP, error)
    base, wide = base_of(low, high), rights & 8 != 0
    size = 4 if wide else 2
    if limit_of(low, high) < (0x67 if wide else 0x2B):
        fault(cpu, TS, error)
    eflags = F.image(cpu.cf, cpu.carries, cpu.result, cpu.eflags)
    old, tss = cpu.tr, cpu.segment[S.TR]
    # page faults now, while all is of the old task
    probe(cpu, tss.base, 0x5E if tss.rights & 8 else 0x2A, 1, 0)
    probe(cpu, base, 0x68 if wide else 0x2C, 1 if why == CALL or why == INTERRUPT else 0, 0)
    probe(cpu, (at + 5) & 0xFFFFFFFF, 1, 1, 0)
    probe(cpu, (cpu.gdt_base + (old & 0xFFF8) + 5) & 0xFFFFFFFF, 1, 1, 0)
    if why == JMP or why == IRET:
        mark_busy(cpu, old, False)
    if why == IRET:
        eflags &= ~F.NT
    save_task(cpu, eflags)
    if why == CALL or why == INTERRUPT:
        write(cpu, base, 2, old, 0)
    # the new state, read before anything changes
    first = base + (0x20 if wide else 0x0E)
    eip = read(cpu, first & 0xFFFFFFFF, size, 0)
    flags = read(cpu, (first + size) & 0xFFFFFFFF, size, 0)
    ldt = read(cpu, (base + (0x60 if wide else 0x2A)) & 0xFFFFFFFF, 2, 0)
    cr3 = read(cpu, (base + 0x1C) & 0xFFFFFFFF, 4, 0) if wide else cpu.cr3
    trap = read(cpu, (base + 0x64) & 0xFFFFFFFF, 2, 0) & 1 if wide else 0
    for i in range(8):
        v = read(cpu, (first + size * (2 + i)) & 0xFFFFFFFF, size, 0)
        cpu.reg[i] = v if wide else v | 0xFFFF0000
    for i in range(6):
        v = read(cpu, (first + size * (10 + i)) & 0xFFFFFFFF, 2, 0) if wide or i < 4 else 0
        cpu.reg[S.SELECTORS + i] = v
    if why != IRET:
        mark_busy(cpu, selector, True)
    if why == CALL or why == INTERRUPT:
        flags |= F.NT
    set_segment(cpu, S.TR, selector, base, limit_of(low, high), rights | BUSY)
    cpu.tr, cpu.cr0 = selector, cpu.cr0 | S.TS
    set_debug(cpu, 7, cpu.dr[7] & ~LOCAL_ENABLES)       # L0-L3 and LE are of the task (17.2.4)
    if wide and cpu.cr0 & S.PG and cr3 != cpu.cr3:
        set_cr3(cpu, cr3)
    cpu.cf, cpu.carries, cpu.result = F.from_image(flags)
    cpu.eflags = flags & ~F.MASK & 0x3E7F00 if wide else flags & 0x7F00 & ~F.OF
    cpu.next, cpu.eip = eip, eip                        # from here on faults are of the new task
    for s in range(6):                                  # what a fault leaves unloaded cannot be used (7.3, step 13)
        set_segment(cpu, s, cpu.reg[S.SELECTORS + s], 0, 0, 0)
    load_ldt_of_task(cpu, ldt)
    cpu.cpl = 3 if cpu.eflags & F.VM else cpu.reg[S.SELECTORS + S.CS] & 3
    for s in (S.CS, S.SS, S.ES, S.DS, S.FS, S.GS):
        load_task_segment(cpu, s, cpu.reg[S.SELECTORS + s])
    update_mode(cpu)
    cpu.attention = 1
    if eip > cpu.segment[S.CS].limit:
        fault(cpu, GP, cpu.external)
    if trap:
        cpu.dr[6] |= BT
        fault(cpu, DB, 0)


@kernel
def load_ldt_of_task(cpu, ldt):
    cpu.ldtr = ldt
    set_segment(cpu, S.LDTR, ldt, 0, 0, 0)
    if null(ldt):
        return
    if ldt & 4 or (ldt | 7) > cpu.gdt_limit:
        fault(cpu, TS, ldt & 0xFFFC | cpu.external)
    at = (cpu.gdt_base + (ldt & 0xFFF8)) & 0xFFFFFFFF
    low, high = read(cpu, at, 4, 0), read(cpu, (at + 4) & 0xFFFFFFFF, 4, 0)
    if rights_of(high) & 0x9F != 0x82:
        fault(cpu, TS, ldt & 0xFFFC | cpu.external)
    set_segment(cpu, S.LDTR, ldt, base_of(low, high), limit_of(low, high), rights_of(high))


@kernel
def push_error_of_task(cpu, error):
    """After a switch through a task gate, on the new task's stack, by the width of its TSS."""
    set_sp(cpu, push(cpu, cpu.reg[S.ESP], 4 if cpu.segment[S.TR].rights & 8 else 2, error))

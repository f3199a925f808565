"""The page walk.   SDM vol. 3, chapter 4: 32-bit paging with 4 KiB and 4 MiB pages.

                31        22 21        12 11         0
    linear     | directory  |   table    |  offset   |
                     |            |
    CR3 -> page directory entry -> page table entry -> frame       PS=1: the directory entry holds a 4 MiB frame

Not here: PAE, NX, SMEP, SMAP; CPUID does not offer them.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .exceptions import PF, fault
from .raw import peek, poke

PRESENT, WRITE, USER, ACCESSED, DIRTY_BIT, LARGE = 1, 2, 4, 32, 64, 128
MAY_WRITE = 1 << 40                                     # in the answer of `walk`: later writes need no walk of their own
ALL_ONES = 0xFFFFFFFF


@kernel
def entry_address(cpu, physical):
    """Host address of a page-table entry, or 0 where there is no RAM."""
    physical &= cpu.a20
    frame = peek(cpu.read_frame + 4 * (physical >> 12), 4)
    return 0 if frame == 0 else cpu.host + ((frame - 1) << 12) + (physical & 4095)


@kernel
def page_fault(cpu, linear, present, write, user):
    cpu.cr2 = linear
    fault(cpu, PF, present | write << 1 | user << 2)


@kernel
def set_bits(cpu, physical, at, entry, bits):
    """Accessed and dirty bits, where the table can be written."""
    page = (physical & cpu.a20) >> 12
    if entry & bits != bits and peek(cpu.write_frame + 4 * page, 4) == peek(cpu.read_frame + 4 * page, 4):
        poke(at, 4, entry | bits)
        flags = peek(cpu.page_flags + page, 1)
        poke(cpu.page_flags + page, 1, flags | S.DIRTY)
        if flags & S.CODE:
            note_stale(cpu, physical & cpu.a20, 4)


@kernel
def note_stale(cpu, physical, size):
    """`size` bytes were written where code may have been translated from here: the dispatcher looks before it goes on."""
    if cpu.stales < S.STALE:
        cpu.stale[cpu.stales] = physical | size << 32
        cpu.stales += 1
    else:
        cpu.stale[0] = -1                               # too many to remember: all of them


@kernel
def walk(cpu, linear, write, user):
    """Physical address of a linear one, | MAY_WRITE; #PF if the access is not allowed.  write, user: 0 or 1."""
    if cpu.cr0 & S.PG == 0:
        return (linear & cpu.a20) | MAY_WRITE
    directory = (cpu.cr3 & 0xFFFFF000) + (linear >> 22) * 4
    at = entry_address(cpu, directory)
    pde = peek(at, 4) if at else ALL_ONES
    if pde & PRESENT == 0:
        page_fault(cpu, linear, 0, write, user)
    large = pde & LARGE != 0 and cpu.cr4 & S.PSE != 0
    rights, pte, table, at2 = pde, pde, directory, at
    if not large:
        table = (pde & 0xFFFFF000) + (linear >> 12 & 1023) * 4
        at2 = entry_address(cpu, table)
        pte = peek(at2, 4) if at2 else ALL_ONES
        if pte & PRESENT == 0:
            page_fault(cpu, linear, 0, write, user)
        rights = pde & pte
    elif pde & 0x003FE000:                              # reserved in a PDE of a 4 MiB page without PSE-36
        cpu.cr2 = linear
        fault(cpu, PF, 9 | write << 1 | user << 2)
    writable = rights & WRITE != 0 or (user == 0 and cpu.cr0 & S.WP == 0)
    if (user and rights & USER == 0) or (write and not writable):
        page_fault(cpu, linear, 1, write, user)
    if not large and at:
        set_bits(cpu, directory, at, pde, ACCESSED)
    if at2:
        set_bits(cpu, table, at2, pte, ACCESSED | (DIRTY_BIT if write else 0))
    dirty = writable and (write or pte & DIRTY_BIT != 0)
    physical = (pte & 0xFFC00000) | (linear & 0x3FFFFF) if large else (pte & 0xFFFFF000) | (linear & 4095)
    return (physical & cpu.a20) | (MAY_WRITE if dirty else 0)

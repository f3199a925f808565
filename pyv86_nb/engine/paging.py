"""The page walk and what is remembered of it.   SDM vol. 3, chapter 4: 32-bit paging with 4 KiB and 4 MiB pages (PSE, PSE-36), PAE paging.

                31  30 29      21 22 21        12 11         0
    linear     |   directory     |    table      |  offset   |             PAE: 2 + 9 + 9 + 12 bits, entries of 8 bytes
                      |                 |
    CR3 -> page directory entry -> page table entry -> frame               PS=1: the directory entry holds a 4 MiB (2 MiB) frame

The machine has 4 GiB of physical addresses, entries may name 64; what lies above 4 GiB is one page more, NOWHERE, that nobody answers.

    access   READ, WRITE or FETCH
    who      0 the system itself, also at CPL 3 (descriptors, TSS, ...); 1 CPL 3; 2 the system with EFLAGS.AC, while SMAP is on
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .exceptions import GP, PF, fault
from .models import OFFERS
from .raw import peek, poke

READ, WRITE, FETCH = range(3)
PRESENT, WRITABLE, USER, ACCESSED, DIRTY_BIT, LARGE, GLOBAL_BIT = 1, 2, 4, 32, 64, 128, 256
# in the answer of `walk`, above the address: later writes need no walk of their own; it stays when CR3 changes; of a large page
MAY_WRITE, GLOBAL, OF_LARGE = 1 << 40, 1 << 41, 1 << 42
NOWHERE = 1 << 32
PAGE_ADDRESS = (1 << 33) - 4096
ALL_ONES = 0xFFFFFFFF
FRAME = (1 << S.PHYSICAL_BITS) - 4096                   # of an entry
NX, RESERVED = -1 << 63, (1 << 63) - (1 << S.PHYSICAL_BITS)                # of an entry of 8 bytes
RSVD, INSTRUCTION = 8, 16                               # of the error code
PSE36 = OFFERS["pse36"]


# ENTRIES

@kernel
def entry_address(cpu, physical):
    """Host address of a page-table entry, or 0 where there is no RAM."""
    if physical > ALL_ONES:
        return 0
    physical &= cpu.a20
    frame = peek(cpu.read_frame + 4 * (physical >> 12), 4)
    return 0 if frame == 0 else cpu.host + ((frame - 1) << 12) + (physical & 4095)


@kernel
def entry_at(cpu, host, size):
    if host == 0:
        return ALL_ONES if size == 4 else -1
    return peek(host, 4) if size == 4 else peek(host, 8)


@kernel
def page_fault(cpu, linear, error, access, who):
    """error: P and RSVD.  I/D is there when something makes fetches differ (4.7)."""
    cpu.cr2 = linear
    if access == FETCH and (cpu.cr4 & S.SMEP or (cpu.cr4 & S.PAE and cpu.efer & S.NXE)):
        error |= INSTRUCTION
    fault(cpu, PF, error | (access & 1) << 1 | (who & 1) << 2)


@kernel
def set_bits(cpu, physical, at, entry, bits):
    """Accessed and dirty bits, where the table can be written."""
    if at == 0 or entry & bits == bits:
        return
    page = (physical & cpu.a20) >> 12
    if peek(cpu.write_frame + 4 * page, 4) == peek(cpu.read_frame + 4 * page, 4):
        poke(at, 4, (entry | bits) & 0xFFFFFFFF)
        flags = peek(cpu.page_flags + page, 1)
        poke(cpu.page_flags + page, 1, flags | S.DIRTY)
        if flags & S.CODE:
            note_stale(cpu, physical & cpu.a20, 4)


@kernel
def note_stale(cpu, physical, size):
    """`size` bytes were written where code may have been translated from here: the dispatcher looks before it goes on.  What is written
    word after word within a page is one piece."""
    last = cpu.stale[cpu.stales - 1] if cpu.stales else 0
    if last and (last & 0xFFFFFFFF) + (last >> 32) == physical and physical & 4095:
        cpu.stale[cpu.stales - 1] = last + (size << 32)
    elif cpu.stales < S.STALE:
        cpu.stale[cpu.stales] = physical | size << 32
        cpu.stales += 1
    else:
        cpu.stale[0] = -1                               # too many to remember: all of them


# THE WALK

@kernel
def load_pdptes(cpu, cr3):
    """The four entries of PAE paging are registers, loaded with CR3 (4.4.1); #GP(0) for reserved bits, and nothing has changed."""
    for turn in range(2):
        for i in range(4):
            v = entry_at(cpu, entry_address(cpu, (cr3 & 0xFFFFFFE0) + 8 * i), 8)
            if turn:
                cpu.pdpte[i] = v
            elif v & PRESENT and v & (NX | RESERVED | 0x1E6):
                fault(cpu, GP, 0)


@kernel
def walk(cpu, linear, access, who):
    """Physical address of a linear one, | MAY_WRITE | GLOBAL | OF_LARGE; #PF if the access is not allowed."""
    if cpu.cr0 & S.PG == 0:
        return (linear & cpu.a20) | MAY_WRITE
    if cpu.cr4 & S.PAE:
        size, below, reserved = 8, linear & 0x1FFFFF, RESERVED if cpu.efer & S.NXE else RESERVED | NX
        root, reserved_large = cpu.pdpte[linear >> 30], 0x1FE000
        if root & PRESENT == 0:
            page_fault(cpu, linear, 0, access, who)
        directory, place = (root & FRAME) + (linear >> 21 & 511) * 8, linear >> 12 & 511
    else:
        size, below, reserved = 4, linear & 0x3FFFFF, 0
        reserved_large = 0x3E0000 if cpu.offers & PSE36 else 0x3FE000
        directory, place = (cpu.cr3 & 0xFFFFF000) + (linear >> 22) * 4, linear >> 12 & 1023
    at = entry_address(cpu, directory)
    pde = entry_at(cpu, at, size)
    if pde & PRESENT == 0:
        page_fault(cpu, linear, 0, access, who)
    large = pde & LARGE != 0 and cpu.cr4 & (S.PSE | S.PAE) != 0
    if pde & (reserved | reserved_large if large else reserved):
        page_fault(cpu, linear, PRESENT | RSVD, access, who)
    rights, pte, table, at2 = pde, pde, directory, at
    if not large:
        table = (pde & FRAME) + place * size
        at2 = entry_address(cpu, table)
        pte = entry_at(cpu, at2, size)
        if pte & PRESENT == 0:
            page_fault(cpu, linear, 0, access, who)
        if pte & reserved:
            page_fault(cpu, linear, PRESENT | RSVD, access, who)
        rights = pde & pte
    user = who & 1
    writable = rights & WRITABLE != 0 or (user == 0 and cpu.cr0 & S.WP == 0)
    refused = (user and rights & USER == 0) or (access == WRITE and not writable) or (access == FETCH and size == 8 and (pde | pte) & NX != 0)
    if user == 0 and rights & USER and (cpu.cr4 & S.SMEP != 0 if access == FETCH else cpu.cr4 & S.SMAP != 0 and who == 0):
        refused = True                                  # the system keeps its hands off pages of users
    if refused:
        page_fault(cpu, linear, PRESENT, access, who)
    if not large:
        set_bits(cpu, directory, at, pde, ACCESSED)
    set_bits(cpu, table, at2, pte, ACCESSED | (DIRTY_BIT if access == WRITE else 0))
    if not large:
        physical = (pte & FRAME) | (linear & 4095)
    elif size == 8:
        physical = (pde & FRAME & ~0x1FFFFF) | below
    else:
        physical = (pde & 0xFFC00000) | below | (pde >> 13 & 15) << 32
    physical = physical & cpu.a20 if physical <= ALL_ONES else NOWHERE | linear & 4095
    if writable and (access == WRITE or pte & DIRTY_BIT != 0):
        physical |= MAY_WRITE
    if pte & GLOBAL_BIT and cpu.cr4 & S.PGE:
        physical |= GLOBAL
    return physical | OF_LARGE if large else physical


# THE TLBS: one of data, for each `who`, and one of code (fetch.py), the same on all tiers

@kernel
def note_large(cpu, linear):
    """The TLBs hold a piece of a large page of this 4 MiB region."""
    cpu.large[linear >> 27] |= 1 << (linear >> 22 & 31)


@kernel
def translate(cpu, linear, write, who):
    """The physical address of data, by what is remembered or by a walk."""
    entry, page = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + who * S.TLB_SIZE], linear & 0xFFFFF000
    if entry.tag != page or (write and entry.physical & MAY_WRITE == 0):
        entry.tag = entry.read = S.INVALID                   # it stays so if the walk faults (4.10.4.1)
        entry.room = 0
        entry.physical = walk(cpu, linear, write, who) & ~4095
        entry.tag = page
        if entry.physical & OF_LARGE:
            note_large(cpu, linear)
    return entry.physical & PAGE_ADDRESS | linear & 4095


@kernel
def flush_address_space(cpu, everything=True):
    """What depends on CR3 and its friends, with or without global pages: the TLBs, and what is known of jumps.   4.10.4.1.

    Of code a generation says what is still valid; `era` counts also what else makes all known jumps doubtful.  `local` lists those to
    pages that are not global, as long as they are few."""
    for i in range(3 * S.TLB_SIZE):
        entry = cpu.tlb[i]
        if entry.tag != S.INVALID and (everything or entry.physical & GLOBAL == 0):
            entry.tag = entry.read = S.INVALID
            entry.room = 0
    cpu.generation += 1
    if everything:
        cpu.global_generation += 1
        for i in range(32):
            cpu.large[i] = 0
    if everything or cpu.locals > S.LOCALS:
        cpu.era += 1
        cpu.moved = 1
    else:
        for i in range(cpu.locals):
            cpu.jumps[cpu.local[i]].tag = -1
    cpu.locals = 0


@kernel
def invalidate(cpu, linear):
    """INVLPG: this page, global or not, and all pieces of a large one that it may lie in."""
    large = cpu.large[linear >> 27] >> (linear >> 22 & 31) & 1
    first, step = (0, 1) if large else (linear >> 12 & (S.TLB_SIZE - 1), S.TLB_SIZE)
    for i in range(first, 3 * S.TLB_SIZE, step):
        entry = cpu.tlb[i]
        far = (entry.tag ^ linear) >> (22 if entry.physical & OF_LARGE else 12)
        if far == 0 and entry.tag != S.INVALID:
            entry.tag = entry.read = S.INVALID
            entry.room = 0
    if large:
        cpu.generation += 1
        cpu.global_generation += 1
    else:
        known = False
        for user in range(2):
            code = cpu.fetch[(linear >> 12 & (S.FETCH_SIZE - 1)) + user * S.FETCH_SIZE]
            if code.page == linear >> 12 | user << 20:
                code.age = -1
                known = True
        if not known:
            return
    cpu.era += 1
    cpu.moved = 1


@kernel
def set_cr3(cpu, v):
    if cpu.cr0 & S.PG and cpu.cr4 & S.PAE:
        load_pdptes(cpu, v)
    cpu.cr3 = v
    flush_address_space(cpu, cpu.cr4 & S.PGE == 0)

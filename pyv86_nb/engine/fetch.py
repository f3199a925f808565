"""Where code comes from: CS:EIP to physical addresses, and the bytes of one instruction.

Instructions of 15 bytes may lie across two pages, whose frames have nothing to do with each other; the second page is only
asked for when the instruction needs it, as a processor does.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import asks_python, device_read
from .exceptions import GP, fault
from .paging import FETCH, GLOBAL, OF_LARGE, PAGE_ADDRESS, note_large, walk
from .raw import peek

LONGEST, ROOM = 15, 32                                  # bytes of an instruction; of the buffer that decode reads


@kernel
def fetch_page(cpu, linear):
    """The physical page of code at a linear address; #PF if it may not be executed.  Jumps to a page that has to make room are
    forgotten: this is the instruction TLB, and nobody may run by a translation that is not in it."""
    user = 1 if cpu.cpl == 3 else 0
    key, entry = linear >> 12 | user << 20, cpu.fetch[(linear >> 12 & (S.FETCH_SIZE - 1)) + user * S.FETCH_SIZE]
    valid = entry.age == cpu.generation << 1 or entry.age == cpu.global_generation << 1 | 1
    if entry.page != key or not valid:
        physical = walk(cpu, linear, FETCH, user)
        if valid:
            cpu.era += 1
            cpu.moved = 1
        entry.page, entry.frame = key, (physical & PAGE_ADDRESS) >> 12
        if physical & OF_LARGE:
            note_large(cpu, linear)
        entry.age = cpu.global_generation << 1 | 1 if physical & GLOBAL else cpu.generation << 1
    return entry.frame


@kernel
def is_global(cpu, linear):
    """Whether this page of code, which the TLB has, stays when CR3 changes."""
    user = 1 if cpu.cpl == 3 else 0
    return cpu.fetch[(linear >> 12 & (S.FETCH_SIZE - 1)) + user * S.FETCH_SIZE].age & 1 != 0


@kernel
def code_byte(cpu, physical):
    frame = peek(cpu.read_frame + 4 * (physical >> 12), 4)
    if frame:
        return peek(cpu.host + ((frame - 1) << 12) + (physical & 4095), 1)
    return 0xFF if asks_python(cpu, physical) else device_read(cpu, physical, 1)


@kernel
def fetch(cpu, eip, code, second):
    """Copy the bytes at CS:eip to `code`.  Answers how many there are up to the end of the page and of the segment, or,
    if `second`, of the instruction's second page too.  #GP beyond the limit, #PF where a page cannot be executed."""
    segment = cpu.segment[S.CS]
    room = segment.limit - eip + 1
    if room <= 0:
        fault(cpu, GP, 0)
    linear = (segment.base + eip) & 0xFFFFFFFF
    in_page = 4096 - (linear & 4095)
    n = min(LONGEST, room, in_page)
    physical = fetch_page(cpu, linear) << 12 | linear & 4095
    for i in range(n):
        code[i] = code_byte(cpu, physical + i)
    if second:
        if room <= in_page:                             # the instruction goes on beyond the limit
            fault(cpu, GP, 0)
        physical = fetch_page(cpu, (linear + in_page) & 0xFFFFFFFF) << 12
        for i in range(n, min(LONGEST, room)):
            code[i] = code_byte(cpu, physical + i - n)
        n = min(LONGEST, room)
    for i in range(n, ROOM):
        code[i] = 0
    return n

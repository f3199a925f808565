"""Memory as an instruction sees it: logical addresses to linear ones, linear ones through the TLB.

A TLB entry says that the page at `read` (`write`) is plain memory at host = linear + entry.host.  The tag is compared
with the page of the access's *last* byte, the index comes from its first: an access across pages never hits.
Each host address comes from a frame of `PhysicalMemory`, so it lies in the host buffer with its whole page.

Half 0 of the TLB is for supervisor accesses, half 1 for CPL 3.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .exceptions import GP, SS, fault
from .paging import MAY_WRITE, note_stale, walk
from .raw import MEMORY_READ, MEMORY_WRITE, REGION_SHIFT, io, peek, poke

DONE, DEVICE, WATCHED = range(3)                        # what `fill` says
LINE = 5                                                # code is remembered by lines of 32 bytes


# SEGMENTS

@kernel
def logical(cpu, s, offset, size, write):
    """The linear address of `size` bytes at s:offset; #SS or #GP beyond the limit or against the rights.  The error code is 0,
    or EXT alone where an exception or interrupt was being delivered."""
    segment = cpu.segment[s]
    first, last = segment.read.first, segment.read.last
    if write:
        first, last = segment.write.first, segment.write.last
    if offset < first or offset + size - 1 > last:
        fault(cpu, SS if s == S.SS else GP, cpu.external)
    return (segment.base + offset) & 0xFFFFFFFF


# PAGES

@kernel
def overlaps_code(cpu, physical, size):
    """Whether translated code covers any of the lines (within one page)."""
    for at in range(physical >> LINE, ((physical + size - 1) >> LINE) + 1):
        if peek(cpu.code_lines + 16 * (physical >> 12) + 8 * (at >> 6 & 1), 8) >> (at & 63) & 1:
            return True
    return False


@kernel
def mark_dirty(cpu, page):
    flags = peek(cpu.page_flags + page, 1)
    if flags & S.DIRTY == 0:
        poke(cpu.page_flags + page, 1, flags | S.DIRTY)


@kernel
def fill(cpu, linear, write, user):
    """Put the page of `linear` into the TLB.  DEVICE: it is not plain memory.  WATCHED: code was translated from it, so
    each write has to be looked at.  #PF if the access is not allowed."""
    physical = walk(cpu, linear, write, user)
    page = (physical >> 12) & 0xFFFFF
    frame = peek(cpu.read_frame + 4 * page, 4)
    if frame == 0 or (write and peek(cpu.write_frame + 4 * page, 4) != frame):
        return DEVICE
    if write:
        mark_dirty(cpu, page)
    entry = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + user * S.TLB_SIZE]
    entry.read = linear & 0xFFFFF000
    entry.host = cpu.host + ((frame - 1) << 12) - (linear & 0xFFFFF000)
    flags = peek(cpu.page_flags + page, 1)
    free = flags & (S.DIRTY | S.CODE) == S.DIRTY and physical & MAY_WRITE != 0 and peek(cpu.write_frame + 4 * page, 4) == frame
    entry.write = linear & 0xFFFFF000 if free else S.INVALID
    return WATCHED if write and not free else DONE


@kernel
def host_address(cpu, linear, size, write, user):
    """Where `size` bytes are, or 0 when the TLB does not say."""
    entry = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + user * S.TLB_SIZE]
    tag = entry.write if write else entry.read
    return entry.host + linear if tag == (linear + size - 1) & 0xFFFFF000 else 0


@kernel
def device_read(cpu, physical, size):
    page = physical >> 12 & 0xFFFFF
    region = peek(cpu.region + page, 1)
    if region:
        cpu.attention = 1
        return io(cpu, MEMORY_READ | (region - 1) << REGION_SHIFT, physical & 0xFFFFFFFF, size, 0)
    frame = peek(cpu.read_frame + 4 * page, 4)
    return (1 << 8 * size) - 1 if frame == 0 else peek(cpu.host + ((frame - 1) << 12) + (physical & 4095), size)


@kernel
def device_write(cpu, physical, size, v):
    page = physical >> 12 & 0xFFFFF
    region = peek(cpu.region + page, 1)
    if region:
        cpu.attention = 1
        io(cpu, MEMORY_WRITE | (region - 1) << REGION_SHIFT, physical & 0xFFFFFFFF, size, v)
        return
    frame = peek(cpu.write_frame + 4 * page, 4)
    if frame:
        mark_dirty(cpu, page)
        poke(cpu.host + ((frame - 1) << 12) + (physical & 4095), size, v)
        if peek(cpu.page_flags + page, 1) & S.CODE and overlaps_code(cpu, physical & 0xFFFFFFFF, size):
            note_stale(cpu, physical & 0xFFFFFFFF)


@kernel
def read(cpu, linear, size, user):
    """`size` (1, 2, 4) bytes at a linear address."""
    at = host_address(cpu, linear, size, 0, user)
    if at:
        return peek(at, size)
    return read_slowly(cpu, linear, size, user)


@kernel
def read_slowly(cpu, linear, size, user):
    if (linear & 4095) + size <= 4096:
        if fill(cpu, linear, 0, user) == DONE:
            return peek(host_address(cpu, linear, size, 0, user), size)
        return device_read(cpu, walk(cpu, linear, 0, user), size)
    probe(cpu, linear, size, 0, user)
    v = 0
    for i in range(size):
        v |= device_read(cpu, walk(cpu, (linear + i) & 0xFFFFFFFF, 0, user), 1) << 8 * i
    return v


@kernel
def write(cpu, linear, size, v, user):
    at = host_address(cpu, linear, size, 1, user)
    if at:
        poke(at, size, v)
    else:
        write_slowly(cpu, linear, size, v, user)


@kernel
def write_slowly(cpu, linear, size, v, user):
    if (linear & 4095) + size <= 4096:
        if fill(cpu, linear, 1, user) == DONE:
            poke(host_address(cpu, linear, size, 1, user), size, v)
        else:
            device_write(cpu, walk(cpu, linear, 1, user), size, v)
        return
    probe(cpu, linear, size, 1, user)
    for i in range(size):
        device_write(cpu, walk(cpu, (linear + i) & 0xFFFFFFFF, 1, user), 1, v >> 8 * i & 255)


@kernel
def probe(cpu, linear, size, write, user):
    """#PF now if any byte of the access would fault: after this the access cannot fail."""
    walk(cpu, linear, write, user)
    if (linear & 4095) + size > 4096:
        walk(cpu, (linear + size - 1) & 0xFFFFF000, write, user)       # CR2 is the first byte that is missing


# SHORTHANDS FOR KERNELS

@kernel
def is_user(cpu):
    return 1 if cpu.cpl == 3 else 0


@kernel
def load(cpu, s, offset, size):
    """A read by the running program, at s:offset."""
    return read(cpu, logical(cpu, s, offset, size, 0), size, is_user(cpu))


@kernel
def store(cpu, s, offset, size, v):
    write(cpu, logical(cpu, s, offset, size, 1), size, v, is_user(cpu))


# THE STACK: sp is passed along and becomes ESP when nothing can fault any more

@kernel
def stack_offset(cpu, sp):
    return sp & (0xFFFFFFFF if cpu.segment[S.SS].rights & 0x4000 else 0xFFFF)


@kernel
def push(cpu, sp, size, v):
    """The new sp after a push of `size` bytes."""
    sp = (sp - size) & 0xFFFFFFFF
    store(cpu, S.SS, stack_offset(cpu, sp), size, v)
    return sp


@kernel
def pop(cpu, sp, size):
    return load(cpu, S.SS, stack_offset(cpu, sp), size)


@kernel
def set_sp(cpu, sp):
    mask = 0xFFFFFFFF if cpu.segment[S.SS].rights & 0x4000 else 0xFFFF
    cpu.reg[S.ESP] = (cpu.reg[S.ESP] & ~mask) | (sp & mask)

"""Memory as an instruction sees it: logical addresses to linear ones, linear ones through the TLB.

A TLB entry says that the page at `read` is plain memory at host = linear + entry.host.  The tag is compared with the page of
the access's *last* byte, the index comes from its first: an access across pages never hits.  Writes pass where they lie
among the `room` bytes from `first` on: the page, or where code was translated from it, the stretch between two pieces of code.

         |.....code.......data..........code.....|      a page: DOS and the BIOS keep their variables beside their code
                   first ^---- room ----^
Each host address comes from a frame of `PhysicalMemory`, so it lies in the host buffer with its whole page.

The TLB has a part for each `who` of paging.py.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .debug import is_watched, note_access
from .exceptions import AC, GP, NEEDS_PYTHON, SS, fault
from .isa import flags as F
from .isa.words import pick
from .paging import MAY_WRITE, note_stale, translate
from .raw import MEMORY_READ, MEMORY_WRITE, PYTHON, PYTHON_REGION, REGION_SHIFT, io, peek, poke

DONE, DEVICE, WATCHED = range(3)                        # what `fill` says


# SEGMENTS

@kernel
def misaligned(size):
    """Address bits that must be 0 for an operand of this size (vol. 3, table 6-7), the largest power of two in it, and 8 for
    80 bits.  Also read by handlers, of which `size` is the word `last` and one."""
    return (size ^ size - 1) >> 1 & 15 | pick(size == 10, 7, 0)


@kernel
def logical(cpu, s, offset, size, write):
    """The linear address of `size` bytes at s:offset; #SS or #GP beyond the limit or against the rights.  The error code is 0,
    or EXT alone where an exception or interrupt was being delivered.  #AC where alignment is checked."""
    segment = cpu.segment[s]
    first, last = segment.read.first, segment.read.last
    if write:
        first, last = segment.write.first, segment.write.last
    if offset < first or offset + size - 1 > last:
        fault(cpu, SS if s == S.SS else GP, cpu.external)
    linear = (segment.base + offset) & 0xFFFFFFFF
    if cpu.mode & S.ALIGN and linear & misaligned(size):
        fault(cpu, AC, 0)
    return linear


# PAGES

@kernel
def bits_between(first, last):
    """Bits first..last (0-63) set."""
    return -1 if last - first == 63 else ((1 << (last - first + 1)) - 1) << first


@kernel
def overlaps_code(cpu, physical, size):
    """Whether translated code covers any of the bytes (within one page)."""
    first, last = physical, physical + size - 1
    for word in range(first >> 6, (last >> 6) + 1):
        if peek(cpu.code_bits + 8 * word, 8) & bits_between(max(first - 64 * word, 0), min(last - 64 * word, 63)):
            return True
    return False


@kernel
def mark_dirty(cpu, page):
    flags = peek(cpu.page_flags + page, 1)
    if flags & S.DIRTY == 0:
        poke(cpu.page_flags + page, 1, flags | S.DIRTY)


@kernel
def free_before(cpu, physical):
    """The first byte of the stretch without translated code that ends before here, in this page."""
    word = physical >> 6
    bits = peek(cpu.code_bits + 8 * word, 8) & ((1 << (physical & 63)) - 1)
    while bits == 0:
        if word & (S.CODE_WORDS - 1) == 0:
            return word << 6
        word -= 1
        bits = peek(cpu.code_bits + 8 * word, 8)
    n = 63
    while bits >> n & 1 == 0:
        n -= 1
    return (word << 6) + n + 1


@kernel
def free_after(cpu, physical):
    """The first byte with translated code from here on, or the end of the page."""
    word = physical >> 6
    bits = peek(cpu.code_bits + 8 * word, 8) & ~((1 << (physical & 63)) - 1)
    while bits == 0:
        word += 1
        if word & (S.CODE_WORDS - 1) == 0:
            return word << 6
        bits = peek(cpu.code_bits + 8 * word, 8)
    n = 0
    while bits >> n & 1 == 0:
        n += 1
    return (word << 6) + n


@kernel
def fill(cpu, linear, size, write, user):
    """Put the page of an access within it into the TLB.  DEVICE: it is not plain memory.  WATCHED: the write goes to code.
    #PF if the access is not allowed."""
    physical = translate(cpu, linear, write, user)
    page = physical >> 12
    frame = peek(cpu.read_frame + 4 * page, 4)
    if frame == 0 or (write and peek(cpu.write_frame + 4 * page, 4) != frame) or is_watched(cpu, linear):
        return DEVICE
    if write:
        mark_dirty(cpu, page)
    entry = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + user * S.TLB_SIZE]
    entry.read = linear & 0xFFFFF000
    entry.host = cpu.host + ((frame - 1) << 12) - (linear & 0xFFFFF000)
    entry.first, entry.room = linear & 0xFFFFF000, 0
    flags = peek(cpu.page_flags + page, 1)
    if flags & S.DIRTY and entry.physical & MAY_WRITE and peek(cpu.write_frame + 4 * page, 4) == frame:
        if flags & S.OPEN == 0:
            poke(cpu.page_flags + page, 1, flags | S.OPEN)
        if flags & S.CODE == 0:
            entry.room = 4096
        elif write:
            if overlaps_code(cpu, physical, size):
                return WATCHED
            first = free_before(cpu, physical)
            entry.first = (linear & 0xFFFFF000) + (first & 4095)
            entry.room = free_after(cpu, physical) - first
    return DONE


@kernel
def host_address(cpu, linear, size, write, user):
    """Where `size` bytes are, or 0 when the TLB does not say."""
    entry = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + user * S.TLB_SIZE]
    if write:
        hit = (linear - entry.first & 0xFFFFFFFF) + size <= entry.room
    else:
        hit = entry.read == linear + size - 1 & 0xFFFFF000
    return entry.host + linear if hit else 0


@kernel
def room_from(cpu, linear):
    """How many bytes from here on may be written after `host_address` has said yes to the first."""
    entry = cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + is_user(cpu) * S.TLB_SIZE]
    return entry.room - (linear - entry.first & 0xFFFFFFFF)


@kernel
def asks_python(cpu, physical):
    """Whether a device is there that only Python can tell."""
    return peek(cpu.region + (physical >> 12), 1) > PYTHON_REGION


@kernel
def device_read(cpu, physical, size):
    page = physical >> 12
    region = peek(cpu.region + page, 1)
    if region:
        cpu.attention = 1
        v = io(cpu, MEMORY_READ | (region - 1) << REGION_SHIFT, physical, size, 0)
        if v == PYTHON:
            fault(cpu, NEEDS_PYTHON, 0)
        return v
    frame = peek(cpu.read_frame + 4 * page, 4)
    return (1 << 8 * size) - 1 if frame == 0 else peek(cpu.host + ((frame - 1) << 12) + (physical & 4095), size)


@kernel
def device_write(cpu, physical, size, v):
    page = physical >> 12
    region = peek(cpu.region + page, 1)
    if region:
        cpu.attention = 1
        if io(cpu, MEMORY_WRITE | (region - 1) << REGION_SHIFT, physical, size, v) == PYTHON:
            fault(cpu, NEEDS_PYTHON, 0)
        return
    frame = peek(cpu.write_frame + 4 * page, 4)
    if frame:
        mark_dirty(cpu, page)
        poke(cpu.host + ((frame - 1) << 12) + (physical & 4095), size, v)
        if peek(cpu.page_flags + page, 1) & S.CODE and overlaps_code(cpu, physical, size):
            note_stale(cpu, physical, size)


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
        if fill(cpu, linear, size, 0, user) == DONE:
            return peek(host_address(cpu, linear, size, 0, user), size)
        note_access(cpu, linear, size, 0)
        return device_read(cpu, translate(cpu, linear, 0, user), size)
    n, v = 4096 - (linear & 4095), 0
    note_access(cpu, linear, size, 0)
    first, second = translate(cpu, linear, 0, user), translate(cpu, (linear + n) & 0xFFFFFFFF, 0, user)
    for i in range(size):
        v |= device_read(cpu, first + i if i < n else second + i - n, 1) << 8 * i
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
        if fill(cpu, linear, size, 1, user) == DONE:
            poke(host_address(cpu, linear, size, 1, user), size, v)
        else:
            note_access(cpu, linear, size, 1)
            device_write(cpu, translate(cpu, linear, 1, user), size, v)
        return
    note_access(cpu, linear, size, 1)
    n = 4096 - (linear & 4095)
    first, second = translate(cpu, linear, 1, user), translate(cpu, (linear + n) & 0xFFFFFFFF, 1, user)
    for i in range(size):
        device_write(cpu, first + i if i < n else second + i - n, 1, v >> 8 * i & 255)


@kernel
def probe(cpu, linear, size, write, user):
    """#PF now if any byte of the access would fault: after this the access cannot fail."""
    translate(cpu, linear, write, user)
    if (linear & 4095) + size > 4096:
        translate(cpu, (linear + size - 1) & 0xFFFFF000, write, user)           # CR2 is the first byte of that page


# OPERANDS OF 8 AND 16 BYTES: for Python; compiled code has them in its handlers.  By words of 4 bytes, as the bounce buffer is filled

def read_wide(cpu, linear, size, user):
    word = min(size, 4) if (linear & 4095) + size <= 4096 else 1
    return sum((read(cpu, (linear + i) & 0xFFFFFFFF, word, user) & 0xFFFFFFFF) << 8 * i for i in range(0, size, word))


def write_wide(cpu, linear, size, v, user):
    word = min(size, 4) if (linear & 4095) + size <= 4096 else 1
    for i in range(0, size, word):
        write(cpu, (linear + i) & 0xFFFFFFFF, word, v >> 8 * i & (1 << 8 * word) - 1, user)


# SHORTHANDS FOR KERNELS

@kernel
def is_user(cpu):
    """The `who` of the running program (paging.py): 1 at CPL 3, 2 for a system that SMAP lets pass."""
    if cpu.cpl == 3:
        return 1
    return 2 if cpu.cr4 & S.SMAP and cpu.eflags & F.AC else 0


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
def can_push(cpu, sp, size, n):
    """#SS or #PF now if n pushes would fault."""
    for _ in range(n):
        sp = (sp - size) & 0xFFFFFFFF
        probe(cpu, logical(cpu, S.SS, stack_offset(cpu, sp), size, 1), size, 1, is_user(cpu))


@kernel
def pop(cpu, sp, size):
    return load(cpu, S.SS, stack_offset(cpu, sp), size)


@kernel
def set_sp(cpu, sp):
    mask = 0xFFFFFFFF if cpu.segment[S.SS].rights & 0x4000 else 0xFFFF
    cpu.reg[S.ESP] = (cpu.reg[S.ESP] & ~mask) | (sp & mask)

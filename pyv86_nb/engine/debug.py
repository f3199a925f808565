"""Debug registers.   SDM vol. 3, 17.2 and 17.3.

    DR7   31-30  29-28  ...  19-18  17-16     13   ...   7  6  ...  1  0
          LEN3   RW3         LEN0   RW0       GD         G3 L3      G0 L0

Breakpoints that are off cost nothing.  Code breakpoints are a bit of the block's mode (BREAKS): a block ends before one, and nobody
jumps to one but by way of the dispatcher, which looks.  A page with a data breakpoint has no entry that handlers may use, so each
access to it comes by `note_access`; what was hit waits in cpu.hits (as bits of DR6) for the end of the instruction.
The processor sets B0-B3 of enabled breakpoints only, and ignores LE and GE.
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .exceptions import DB
from .isa import flags as F
from .paging import flush_address_space

EXECUTE, ON_WRITE, ON_IO, ON_ACCESS = (1 << i for i in range(4))           # by the value of RW
ENABLED, GD, LOCAL_ENABLES = 0xFF, 0x2000, 0x155
BD, BS, BT = 0x2000, 0x4000, 0x8000                     # of DR6
LENGTHS = 0x4821                                        # a digit for each LEN: 1, 2, 8, 4 bytes


@kernel
def hits_of(cpu, address, size, kinds):
    """Which enabled breakpoints of these kinds the bytes touch, as bits 0-3 of DR6."""
    found, dr7 = 0, cpu.dr[7]
    for n in range(4):
        kind = dr7 >> 16 + 4 * n & 3
        if dr7 >> 2 * n & 3 and kinds >> kind & 1:
            length = LENGTHS >> 4 * (dr7 >> 18 + 4 * n & 3) & 15 if kind else 1          # of code LEN is to be 0, and means nothing
            first = cpu.dr[n] & -length
            if first < address + size and address < first + length:
                found |= 1 << n
    return found


@kernel
def armed(cpu, kinds):
    """Whether there is any breakpoint of these kinds."""
    return cpu.dr[7] & ENABLED and hits_of(cpu, 0, 1 << 32, kinds) != 0


@kernel
def is_watched(cpu, linear):
    """Whether the page has data breakpoints."""
    return cpu.dr[7] & ENABLED != 0 and hits_of(cpu, linear & 0xFFFFF000, 4096, ON_WRITE | ON_ACCESS) != 0


@kernel
def note_access(cpu, linear, size, write):
    if cpu.dr[7] & ENABLED:
        cpu.hits |= hits_of(cpu, linear, size, ON_WRITE | ON_ACCESS if write else ON_ACCESS)


@kernel
def note_port(cpu, port, size):
    if cpu.dr[7] & ENABLED and cpu.cr4 & S.DE:
        cpu.hits |= hits_of(cpu, port, size, ON_IO)


@kernel
def may_break(cpu, eip):
    """Whether a code breakpoint has this offset in its page, whatever the page: blocks are shared by all who see their memory."""
    linear = (cpu.segment[S.CS].base + eip) & 0xFFF
    for n in range(4):
        if cpu.dr[7] >> 2 * n & 3 and cpu.dr[7] >> 16 + 4 * n & 3 == 0 and cpu.dr[n] & 0xFFF == linear:
            return True
    return False


@kernel
def breaks_here(cpu):
    """#DB into cpu.vector if there is a breakpoint on the instruction at CS:EIP; RF and the instruction after MOV SS hold it off."""
    if cpu.mode & S.BREAKS == 0 or cpu.eflags & F.RF or cpu.shadow == S.AFTER_MOV_SS:
        return False
    found = hits_of(cpu, (cpu.segment[S.CS].base + cpu.eip) & 0xFFFFFFFF, 1, EXECUTE)
    cpu.dr[6] |= found
    cpu.vector, cpu.error = DB, 0
    return found != 0


@kernel
def trap_due(cpu, stepped):
    """#DB into cpu.vector if the instruction that is done now was a single step or touched a breakpoint.  After MOV SS it waits."""
    if cpu.shadow == S.AFTER_MOV_SS or not (stepped or cpu.hits):
        return False
    cpu.dr[6] |= cpu.hits | (BS if stepped else 0)
    cpu.hits = 0
    cpu.vector, cpu.error = DB, 0
    return True


@kernel
def set_debug(cpu, k, v):
    """Write DR0-DR3, DR6 or DR7: everything made under other breakpoints is dropped."""
    before = cpu.dr[7] & ENABLED
    if k == 6:
        v = v & 0xE00F | 0xFFFF0FF0
    elif k == 7:
        v = v & 0xFFFF23FF | 0x400
    if cpu.dr[k] == v:
        return
    cpu.dr[k] = v
    if k != 6 and (before or cpu.dr[7] & ENABLED):
        flush_address_space(cpu, True)
        cpu.stales = S.STALE

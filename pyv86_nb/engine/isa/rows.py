"""What a row of the opcode table says.   SDM vol. 2, 3.1.1 and appendix A; the tables are opcodes.py and opcodes_*.py."""
import re
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

from . import steps


@dataclass(frozen=True)
class Row:
    encoding: str
    name: str
    meaning: Callable | None
    operands: tuple
    step: Callable = steps.ordinary
    keep: bool = True             # the result is written back
    reads: bool = True            # the old destination is an input
    writes: str = "all"           # flags written: all, none, or as steps.write_flags says
    uses: str = ""                # flags read: "c" the carry, "all"
    sw: int = 0                   # width of the source when it is not that of the destination
    third: bool = False           # there is a third operand, an immediate
    ends: str = ""                # ends a block: jump, branch, indirect, kernel; time: and goes on behind it
    stack: str = ""               # the address in t: down = ESP - size, up = ESP, frame = EBP
    mod: str = ""                 # "r", "m": only with a register, only with memory
    lock: bool = False            # LOCK is allowed, with a destination in memory
    kernel: str = ""
    fixed: int = 0                # width, where the operand size says nothing
    fpu: int = 0                  # x87, with a handler for the ordinary case: 1, or 2 when it writes memory
    rm: tuple = tuple(range(8))   # the r/m fields of the register form, where they are part of the opcode
    pops: int = 0                 # registers of the FPU that are popped
    cc: int = 0                   # what tells handlers of one step apart
    feature: str = ""             # the CPUID feature without which the opcode is undefined (models.py)
    bits: int = 0                 # MMX, SSE: of the operand that may be in memory
    aligned: bool = False         # it must lie on 16 bytes
    unit: str = ""                # what the system must have enabled for it: "mmx", "sse"
    select: int = 0               # bits of the immediate that the host's instruction is given
    low: bool = False             # the result is the low half of DEST
    at_edi: bool = False          # the operand in memory is at DS:EDI
    bit_string: bool = False      # the operand in memory is where SRC, the number of a bit, leads from there
    host: str = ""                # the instruction of x86-64 hosts that does it,
    host_feature: str = "sse2"    # of those that have this,
    before: Callable | None = None                      # what is done to its operands
    after: Callable | None = None                       # and to its result, so that it needs no immediate


PREFIXES, MAPS = ("NP", "66", "F2", "F3"), ("", "0F ", "0F 38 ", "0F 3A ")
ENCODING = re.compile(r"(?:(NP|66|F2|F3) (?=0F))?((?:0F )?(?:3[8A] (?=[^/]))?)(..)(?:\+(.))?(?: /(.))?")
Encoding = namedtuple("Encoding", "prefix map opcode plus extension")


def parse(encoding):
    """(number of the prefix, None for any; of the map; the first opcode; what "+" adds to it, "c" or "r"; what follows "/")."""
    prefix, where, opcode, plus, extension = ENCODING.fullmatch(encoding).groups()
    return Encoding(PREFIXES.index(prefix) if prefix else None, MAPS.index(where), int(opcode, 16), plus or "", extension or "")


def op(encoding, name, operands, meaning=None, **k):
    return Row(encoding, name, meaning, tuple(operands.split()), **k)


def plain(encoding, name, operands, step, **k):
    return op(encoding, name, operands, step=step, **{"writes": "none", **k})


def kernel(encoding, name, operands="", to="", **k):
    return op(encoding, name, operands, step=steps.kernel, kernel=to or name, writes="none", ends="kernel", **k)

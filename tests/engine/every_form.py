"""Every form of every row of the opcode table, and a case in which each of them completes.

A form is what the encoding can vary of one row: the size of the code segment, operand-size and address-size prefix, register or
memory, LOCK or a repeat prefix where they are legal, the register or condition in the opcode, the ModRM register that names a
segment, control or debug register, and for x87 each opcode of the escape.  A form counts as executed on a tier when one of its cases
ran to its end there, without a fault; where the manual has it fault always, when it ended in that fault.
"""
import random
import struct
from dataclasses import dataclass

import numpy as np
from generate import STRINGS, one
from worlds import CODE0, DATA, GDT, HANDLERS, HOLE, PLAIN3, REAL, Machine, World

from pyv86_nb.engine import decode as D
from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.isa.rows import parse

REPEATED = {*STRINGS, "ins", "outs"}
COUNTED = {"loop", "loope", "loopne", "jcxz", "xlat"}    # without a memory operand in ModRM, and yet asked for the address size
CODE16, BASED = (0x48, 0, 0xFFFF, 0x9B), dict.fromkeys((S.ES, S.DS, S.FS, S.GS), (0x70, DATA, 0xFFFFFFFF, 0xC093))
REAL_CODE, NARROW = (0, 0, 0xFFFF, 0x9B), (0x14, DATA, 0x3FFF, 0x93)
SHORT16 = (0x48, 0, 0x7FFF, 0x9B)
WORLDS = {                                               # 16-bit addresses reach what is based
    32: (World("flat"), World("based", data=BASED), World("narrow stack", stack=NARROW, data=BASED), World("paged", paging=True),
         World("aligned", **PLAIN3, eflags=F.AC, cr0=S.AM)),
    16: (World("flat, 16-bit code", CODE16), World("based, 16-bit code", CODE16, data=BASED), World("short, 16-bit code", SHORT16),
         World("narrow stack, 16-bit code", SHORT16, NARROW, BASED), World("real", REAL_CODE, (0x2000, DATA, 0xFFFF, 0x93), REAL, protected=False),
         World("big real", REAL_CODE, (0x2000, DATA, 0xFFFFFFFF, 0x4093), REAL, protected=False))}
DOUBLE = ("based", "based, 16-bit code")                # where the FPU rounds to 53 bits
# SDM vol. 2, tables: what of D9-DF is reserved, by the second byte.  In DB, FNENI, FNDISI and FNSETPM of older units do
# nothing; and where processors have always done what a neighbour does (FSTP ST(i) at D9 D8, FXCH at DD C8, FFREEP at DF C0, ...)
# it is done here too: test_fpu.py asks the host's
RESERVED = {0xD9: (*range(0xD1, 0xD8), 0xE2, 0xE3, 0xE6, 0xE7, 0xEF), 0xDA: (*range(0xE0, 0xE9), *range(0xEA, 0x100)),
            0xDB: (0xE5, 0xE6, 0xE7, *range(0xF8, 0x100)), 0xDD: range(0xF0, 0x100), 0xDE: (0xD8, *range(0xDA, 0xE0)),
            0xDF: (*range(0xE1, 0xE8), *range(0xF8, 0x100))}
RESERVED_MEMORY = {0xD9: (1,), 0xDB: (4, 6), 0xDD: (5,)}
ALWAYS = {"ud": "#UD(0x0)", "rdpmc": "#GP(0x0)"}         # vol. 2, UD; RDPMC: there are no counters, so ECX names none


@dataclass(frozen=True)
class Form:
    code: int                                            # the size of the code segment
    op66: bool = False
    op67: bool = False
    memory: bool = False
    lock: bool = False
    rep: int = 0
    low: int | None = None                               # register or condition in the opcode
    reg: int | None = None                               # of ModRM, where it is more than a general register
    rm: int | None = None

    def __str__(self):
        words = [f"{self.code}-bit code", *(n for n in ("op66", "op67", "memory", "lock") if getattr(self, n)), *([f"{self.rep:X}"] if self.rep else [])]
        return " ".join(words + [f"{n}={getattr(self, n)}" for n in ("low", "reg", "rm") if getattr(self, n) is not None])


def registers(i, row):
    """(memory, reg, rm) of the ModRM bytes that are forms of their own."""
    _, where, opcode, _, ext = parse(row.encoding)
    if where == 0 and opcode >> 3 == 0x1B:               # the x87 escape: what the decoder gives to this row
        look = LOOK[D.X87, 0, (opcode & 7) << 3:(opcode & 7) + 1 << 3, :, 0]
        yield from ((False, int(reg), int(rm)) for reg, rm in zip(*np.nonzero(look == i), strict=True))
        yield from ((True, reg, None) for reg in range(8) if LOOK[0, 0, opcode, reg, 1] == i)
        return
    codes = row.operands
    modrm = bool(ext) or any(c[0] in "EGMVWUPQNSRCD" and c != "CL" for c in codes)
    named = range(8) if "Dd" in codes else (0, 2, 3, 4) if "Cd" in codes else (0, 2, 3, 4, 5) if row.name == "mov_segment" else range(6) if "Sw" in codes else (None,)
    rms = row.rm if len(row.rm) < 8 else (None,)
    for memory in (False, True):
        if memory and not (modrm and row.mod != "r" and codes[:1] != ("Rd",) and "Rd" not in codes and any(c[0] in "EMWQ" for c in codes) or row.mod == "m"):
            continue
        if not memory and row.mod == "m":
            continue
        yield from ((memory, reg, rm) for reg in named for rm in (rms if not memory else (None,)))


def forms(i, row):
    prefix, _, _, plus, _ = parse(row.encoding)
    for memory, reg, rm in registers(i, row):
        addressed = memory or row.at_edi or row.name in REPEATED | COUNTED or any(c[0] == "O" for c in row.operands)
        for code in (32, 16):
            for op66 in (False,) if prefix in (0, 1) or (prefix and row.bits) else (False, True):
                for op67 in (False, True) if addressed else (False,):
                    for rep in (0, 0xF2, 0xF3) if row.name in REPEATED else (0,):
                        for low in {"": (None,), "r": range(8), "c": range(16)}[plus]:
                            yield Form(code, op66, op67, memory, False, rep, low, reg, rm)
                            if memory and row.lock:
                                yield Form(code, op66, op67, memory, True, rep, low, reg, rm)


LOOK = D.opcode_map()
ALL = [(i, row, form) for i, row in enumerate(OPCODES) for form in forms(i, row)]


def suit(rng, case, row, form):
    """What instructions of the system need to succeed."""
    regs, name = case.regs, row.name
    here = DATA + 16 * rng.randrange(64)
    if name == "ltr":
        case.data[GDT + 0x2D] = b"\x89"                  # available
    if name in ("rdmsr", "wrmsr"):
        regs[1] = 0x174
    if name in ("sysexit",):
        regs[1], regs[2] = case.world.sp, HANDLERS
    if name == "mov_to_control" and form.rm is None:
        rm = case.code[-1] & 7
        regs[rm] = {0: case.world.control[0], 2: regs[rm], 3: 0x8000, 4: case.world.control[3]}[form.reg]
    if name == "mov_to_debug":
        regs[case.code[-1] & 7] &= 0x3FFFFFFF if form.reg < 4 else 0x400
    if name == "lmsw":
        regs[case.code[-1] & 7] |= 1
    for s, v in ((6, here), (7, here + 0x800)) if name in REPEATED else ():
        regs[s] = v
    if name in REPEATED:
        regs[1] = rng.randrange(5)


def attempt(rng, row, form, world=None):
    """A case of this form."""
    case = one(rng, world or rng.choice(WORLDS[form.code]), row, form)
    suit(rng, case, row, form)
    return case


def reserved(row, form):
    opcode = parse(row.encoding).opcode
    if parse(row.encoding).map or opcode >> 3 != 0x1B:
        return False
    return form.reg in RESERVED_MEMORY.get(opcode, ()) if form.memory else 0xC0 | form.reg << 3 | form.rm in RESERVED.get(opcode, ())


def expected(row, form):
    """The faults that this form ends in."""
    return ["#UD(0x0)"] if reserved(row, form) else [ALWAYS[row.name]] if row.name in ALWAYS else []


def machine(tier, world):
    m = Machine(tier, world)
    m.cpu.sysenter_cs, m.cpu.sysenter_esp, m.cpu.sysenter_eip = CODE0, 0x22800, HANDLERS
    if world.name in DOUBLE:
        m.cpu.fcw = 0x27F
    SEG.update_mode(m.cpu)
    m.fresh = m.p.array.copy()
    return m


def completed(outcome, row, form):
    why, faults, instructions = outcome[0], outcome[9], outcome[7]
    if expected(row, form):
        return faults == expected(row, form)
    return faults == [] and (instructions >= 1 or why == "halt")


def ticks_of(row):
    return 200 if row.name in REPEATED else 1


def fill(rng, case, row):
    """The memory of a case, with what the operand must be."""
    block = bytearray(rng.randbytes(HOLE - DATA))
    if row.name == "fxrstor":
        for at in range(0, len(block) - 32, 16):
            block[at + 8:at + 12] = struct.pack("<I", 0x1F80)
    if row.name == "lmsw":
        block[0::2] = bytes(v | 1 for v in block[0::2])
        block[1::2] = bytes(v | 1 for v in block[1::2])
    return case.memory(bytes(block))


def seeds(i, form):
    """Generators of cases, forever."""
    n = 0
    while True:
        yield random.Random(f"{OPCODES[i].encoding} {OPCODES[i].name} {form} {n}")
        n += 1


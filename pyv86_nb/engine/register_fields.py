"""Where the instructions of a native handler name its temporaries, so that pasting can name a guest's register instead.

A general register has four bits in an instruction: three in the opcode, ModRM, SIB or VEX byte, the fourth in the REX or VEX prefix
(SDM volume 2, 2.1 to 2.3).  The temporaries are among R8 to R15, so the prefix is there, and to rename one is to flip bits: the
difference of the two numbers.  None of the registers concerned has 100 or 101 below, where ModRM and SIB mean something else.

iced-x86 reads the instructions, once, when the handlers have been compiled.
"""
from dataclasses import dataclass

import iced_x86 as iced

from .emit import (
    FIXED_T,
    HOSTS,
    INDEX,
    INDEX_HOST,
    OPERANDS,
    OWN_SHIFT,
    PINNED,
    RB_IN_X,
    T_HOST,
    U_HOST,
    USES_T,
    USES_U,
)

LEGACY = 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3
CHECKED = 7, 8                                           # of HOSTS: between them, every bit of each temporary's number is flipped
KINDS = {value: name for name, value in vars(iced.OpCodeOperandKind).items() if isinstance(value, int)}


@dataclass(frozen=True)
class Field:
    """One mention of a register: flip (difference & 7) << shift in byte `low`, (difference >> 3) << bit in byte `high`."""

    low: int
    shift: int
    high: int
    bit: int


class CannotRename(Exception):
    """An instruction names the register in a way that has no four bits."""


def number(register):
    """Of a general register, whatever its width; -1 for any other."""
    full = iced.RegisterExt.full_register(register)
    return iced.RegisterExt.number(full) if iced.RegisterExt.is_gpr(full) else -1


def instructions(code):
    return list(iced.Decoder(64, code))


def mentions(code, factory):
    """Each instruction, and the general registers that it reads or writes, by name or not."""
    return [(i, {number(u.register) for u in factory.info(i).used_registers()}) for i in instructions(code)]


def explicit(i):
    """The general registers in the operands of an instruction: each register operand's, the base, the index; -1 for none."""
    operands = [i.op_register(k) if i.op_kind(k) == iced.OpKind.REGISTER else iced.Register.NONE for k in range(i.op_count)]
    return [number(r) for r in (*operands, i.memory_base, i.memory_index)]


def has_sib(i):
    """Whether its memory operand needs a SIB byte: an index, R12 or RSP as its base, or no base at all."""
    return i.memory_index != iced.Register.NONE or i.memory_base == iced.Register.NONE or number(i.memory_base) & 7 == 4


def fields_of(i, code, register):
    """The fields by which instruction i of `code` names this register."""
    mine = code[i.ip:i.ip + i.len]
    prefix = next(k for k, byte in enumerate(mine) if byte not in LEGACY)
    decoder = iced.Decoder(64, mine)
    offsets, shape = decoder.get_constant_offsets(decoder.decode()), i.op_code()
    kinds = [KINDS[shape.op_kind(k)] for k in range(shape.op_count)]
    constants = offsets.displacement_size + offsets.immediate_size + offsets.immediate_size2
    rex, vex3, vex2 = mine[prefix] >> 4 == 4, mine[prefix] == 0xC4, mine[prefix] == 0xC5
    memory = any(i.op_kind(k) == iced.OpKind.MEMORY for k in range(shape.op_count))
    sib = memory and has_sib(i)
    last = i.ip + i.len - constants - 1                  # of the bytes that say what it is
    modrm, prefix = last - (1 if sib else 0), prefix + i.ip

    def field(low, shift, letter):
        """letter: the prefix's bit R, X or B."""
        if rex:
            return Field(low, shift, prefix, "BXR".index(letter))
        if vex3 or (vex2 and letter == "R"):
            return Field(low, shift, prefix + 1, "BXR".index(letter) + 5)
        raise CannotRename(f"{i} has no prefix with room for {letter}")
    found = []
    for k, kind in enumerate(kinds):
        if i.op_kind(k) != iced.OpKind.REGISTER or number(i.op_register(k)) != register:
            continue
        if kind.endswith("_REG"):
            found.append(field(modrm, 3, "R"))
        elif kind.endswith(("_OR_MEM", "_RM")):
            found.append(field(modrm, 0, "B"))
        elif kind.endswith("_OPCODE"):
            found.append(field(last, 0, "B"))
        elif kind.endswith("_VVVV") and (vex2 or vex3):
            at = prefix + (1 if vex2 else 2)
            found.append(Field(at, 3, at, 6))
        else:
            raise CannotRename(f"{i}: {kind}")
    if memory and number(i.memory_base) == register:
        found.append(field(modrm + 1 if sib else modrm, 0, "B"))
    if memory and number(i.memory_index) == register:
        found.append(field(modrm + 1, 3, "X"))
    return found


def renamed(code, fields, difference):
    """The code with one register's fields flipped: what pasting does."""
    out = bytearray(code)
    for f in fields:
        out[f.low] ^= (difference & 7) << f.shift
        out[f.high] ^= (difference >> 3) << f.bit
    return bytes(out)


def fields(code, register, mentioned):
    """Every field of `code` that names `register`.  Raises CannotRename if there are other mentions."""
    found = []
    for i, used in mentioned:
        if register in used:
            mine = fields_of(i, code, register)
            if not mine:
                raise CannotRename(f"{i} uses the register without naming it")
            found += mine
    before = [i for i, _ in mentioned]
    for other in CHECKED:
        check(before, renamed(code, found, register ^ other), register, other)
    return found


def check(before, changed, register, other):
    """Raise CannotRename unless the code `changed` is what was `before` with `other` in the place of `register`, and nothing else."""
    for i, j in zip(before, instructions(changed), strict=True):
        if (i.code, i.len) != (j.code, j.len) or [other if n == register else n for n in explicit(i)] != explicit(j):
            raise CannotRename(f"{i} became {j}")


def check_assignment(codes, where):
    """Raise RuntimeError unless LLVM passes each register where emit.py says."""
    for guest, host in zip(PINNED, HOSTS, strict=True):
        for temporary, register in (("t", T_HOST), ("u", U_HOST)):
            i, = instructions(codes[where[f"{temporary}_from_{guest}"]])
            if (number(i.op0_register), number(i.op1_register)) != (register, host):
                raise RuntimeError(f"this LLVM passes registers elsewhere: {i} moves guest register {guest} to {temporary}")


def table(codes, moves):
    """(moves, rows): moves with what must not be renamed, and the fields of all handlers.

    codes: the handlers' bytes.  rows: handler, low, shift, high, bit, and which temporary: 0 t, 1 u, 2 the index's.
    """
    factory, rows, out = iced.InstructionInfoFactory(), [], list(moves)
    for n, code in enumerate(codes):
        if not moves[n] & OPERANDS:
            continue
        mentioned = mentions(code, factory)
        named = set().union(*(used for _, used in mentioned))
        for guest, register in zip(PINNED, HOSTS, strict=True):
            if register in named and not (moves[n] & RB_IN_X and guest == INDEX):
                out[n] |= 1 << OWN_SHIFT + guest
        for which, (register, bits) in enumerate(((T_HOST, USES_T), (U_HOST, USES_U), (INDEX_HOST, RB_IN_X))):
            if not moves[n] & bits:
                continue
            try:
                rows += [(n, f.low, f.shift, f.high, f.bit, which) for f in fields(code, register, mentioned)]
            except CannotRename:
                if bits == RB_IN_X:
                    raise
                out[n] |= FIXED_T << which
    return out, rows

"""The decoder against iced-x86 over random bytes: the same length, and the same opinion on what is an instruction.

Compared are the opcodes that the table claims; iced knows later ones too.  Where they differ, and why ours is right:

    82          iced takes it for an alias of 80 as we do; in 64-bit mode only it is gone
    0F 20-23    a control register that does not exist is #UD when it is executed; decoding does not look
    8E /1       MOV CS: #UD when it is executed
    D8-DF       what is undefined there is for the FPU to say, after #NM
    LOCK        before what cannot be locked: #UD, found in decoding; iced decodes it only if asked not to check
"""
import random

import iced_x86 as X
import pytest

from pyv86_nb.engine import decode as D
from pyv86_nb.engine import forms
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.isa.rows import PREFIXES as MANDATORY

where, _ = forms.plan()
LOOK, ROWS, _, _ = D.tables(where)
ROWS = ROWS.tolist()
PREFIXES = (0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
# opcodes of later processors, or of coprocessors, in places that we leave undefined or give away as a whole
LATER = {(0, 0xC4), (0, 0xC5), (0, 0x62), (0, 0x8F)}
MISSING_REGISTER = {(1, 0x20), (1, 0x21), (1, 0x22), (1, 0x23), (0, 0x8E), (0, 0x8C)}


def opcode(code):
    p = 0
    while p < len(code) and code[p] in PREFIXES:
        p += 1
    rest, which = code[p:p + 4] + bytes(4), 0
    if rest[0] == 0x0F:
        which = {0x38: 2, 0x3A: 3}.get(rest[1], 1)
        rest = rest[1 if which == 1 else 2:]
    return (which, rest[0]), rest[1], code[:p]


def ours(code, big):
    d = [0] * D.FIELDS
    answer = D.decode(code + bytes(32 - len(code)), 15, big, big, LOOK, ROWS, d)
    return answer, d


def claimed(op, modrm, prefixes):
    repeats = [p for p in prefixes if p in (0xF2, 0xF3)]
    must = MANDATORY.index(f"{repeats[-1]:02X}") if repeats else int(0x66 in prefixes)
    row = LOOK[op[0], must, op[1], modrm >> 3 & 7, int(modrm >> 6 != 3)]
    return row >= 0 and (modrm < 0xC0 or modrm & 7 in OPCODES[row].rm or (op[0] == 0 and op[1] >> 3 == 0x1B))


@pytest.mark.parametrize("bits", [16, 32])
def test_lengths_and_validity(bits):
    rng, counted, valid = random.Random(bits), 0, 0
    for i in range(60000):
        code = bytearray(rng.randbytes(15))
        if i % 3 == 0:
            code[0] = 0x0F
        if i % 5 == 0:
            code = bytearray(rng.choice(PREFIXES) for _ in range(rng.randrange(1, 15))) + code
        code = bytes(code[:15])
        op, modrm, prefixes = opcode(code)
        if op in LATER or not claimed(op, modrm, prefixes):
            continue
        if op[0] and set(prefixes) & {0x66, 0xF2, 0xF3} and op[1] in (0xB8, 0xBC, 0xBD, 0xC7, 0x09, 0x01):
            continue                                     # mandatory prefixes of later instructions
        answer, d = ours(code, int(bits == 32))
        i = next(iter(X.Decoder(bits, code)))
        counted += 1
        if i.is_invalid:
            if op in MISSING_REGISTER or OPCODES[d[D.ROW]].kernel == "x87":
                continue
            assert answer != D.OK, (code.hex(), OPCODES[d[D.ROW]], i)
        else:
            assert answer == D.OK and d[D.LEN] == i.len, (code.hex(), answer, d[D.LEN], f"{i:n}", i.len)
            valid += 1
    print(bits, counted, "compared,", valid, "valid")
    assert valid > 25000


@pytest.mark.parametrize("bits", [16, 32])
def test_operands(bits):
    """Immediates, displacements, segments and branch targets."""
    rng, counted = random.Random(bits), 0
    for _ in range(30000):
        code = rng.randbytes(15)
        op, modrm, _ = opcode(code)
        answer, d = ours(code, int(bits == 32))
        i = next(iter(X.Decoder(bits, code, ip=0x1000)))
        if op in LATER or answer != D.OK or i.is_invalid or d[D.LEN] != i.len:
            continue
        row = OPCODES[d[D.ROW]]
        counted += 1
        if d[D.MEM] and row.operands and not row.kernel:
            mask = 0xFFFFFFFF if d[D.AW] else 0xFFFF
            assert d[D.DISP] & mask == i.memory_displacement & mask, (code.hex(), f"{i:n}")
            if row.name != "lea":
                want = {X.Register.ES: 0, X.Register.CS: 1, X.Register.SS: 2, X.Register.DS: 3, X.Register.FS: 4, X.Register.GS: 5}[i.memory_segment]
                assert d[D.SEG] == want, (code.hex(), f"{i:n}")
        if row.ends in ("jump", "branch") and "J" in row.operands[0]:
            to = 0x1000 + d[D.LEN] + d[D.IMM] & (0xFFFF if d[D.WI] == 1 else 0xFFFFFFFF)
            assert to == i.near_branch_target, (code.hex(), f"{i:n}")
    assert counted > 15000


def test_every_row_is_reached():
    """No row hides another: each is what some bytes decode to."""
    reached = set(LOOK.ravel().tolist()) - {-1}
    assert reached == set(range(len(OPCODES))), [OPCODES[i] for i in set(range(len(OPCODES))) - reached]


def test_fifteen_bytes_are_the_most():
    assert ours(b"\x66" * 14 + b"\x90", 1)[0] == D.OK
    assert ours(b"\x66" * 15, 1)[0] == D.TOO_LONG
    assert ours(b"\x66" * 11 + b"\x05\x00\x00", 1)[0] == D.OK
    assert ours(b"\x36" * 11 + b"\x05\x00\x00\x00\x00", 1)[0] == D.TOO_LONG

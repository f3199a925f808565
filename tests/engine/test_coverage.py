"""What the cases of test_unicorn.py cover of the opcode table: every row, and every form of every row that has a step.

A form is a width, the kinds of both operands, the condition, and the width of the stack or of the count.  It runs on all
three tiers, because every case does.
"""
import random

import pytest
from generate import ROWS, one
from test_unicorn import BLOCK, EACH
from worlds import WORLDS

from pyv86_nb.engine import decode as D
from pyv86_nb.engine import forms as FM
from pyv86_nb.engine.isa import steps
from pyv86_nb.engine.isa.opcodes import OPCODES

KINDS = "-rlhmicx"
where, _ = FM.plan()
LOOK, FACTS, _, _ = D.tables(where)
FACTS = FACTS.tolist()


def form(row, w, dst, src, cc, stack, aw):
    """A form as far as it makes a handler; operands in memory of stack instructions go through a register."""
    if row.stack:
        dst, src = ("-" if dst == "m" else dst), ("r" if src == "m" else src)
    if row.bits:
        w = 0                                           # the row says it
    one_cc = "+c" not in row.encoding and row.step is not steps.loop
    return w, dst, src, 0 if one_cc else cc, stack if row.stack else 32, aw if row.step is steps.loop else 32


@pytest.fixture(scope="module")
def reached():
    seen, d = {i: set() for i in range(len(OPCODES))}, [0] * D.FIELDS
    for world in WORLDS:
        rng = random.Random(world.name)
        for row in ROWS:
            for _ in range(EACH):
                case = one(rng, world, row)
                rng.randbytes(BLOCK)
                code = case.code + bytes(32 - len(case.code))
                assert D.decode(code, 15, int(world.width == 32), int(world.stack_width == 32), LOOK, FACTS, d) == D.OK or "Sw" in row.operands, str(case)
                r = OPCODES[d[D.ROW]]
                seen[d[D.ROW]].add(form(r, 8 << d[D.WI], KINDS[d[D.DK]], KINDS[d[D.SK]], d[D.CC], 32 if d[D.STACKED] else 16, 32 if d[D.AW] else 16))
    return seen


def test_every_row(reached):
    never = [f"{r.encoding} {r.name}" for i, r in enumerate(OPCODES) if not reached[i] and r in ROWS]
    assert never == []


def test_every_form_of_a_step(reached):
    never, count = [], 0
    for i, row in enumerate(OPCODES):
        wanted = {form(row, f.w, f.dst, f.src, f.cc, f.stack, f.aw) for f in FM.forms(row)} if row in ROWS else set()
        count += len(wanted)
        for part in (lambda f: (*f[:3], *f[4:]), lambda f: f[3]):          # conditions apart: sixteen for each of the other forms
            there = {part(f) for f in reached[i]}
            never += [(row.encoding, row.name, f) for f in {part(f) for f in wanted} - there]
    print(count, "forms")
    assert never == []

"""What has been executed: rows of the opcode table x operand forms x tiers, and of the compiled tiers handler by handler.

`every_form.py` says what a form is and finds for each a case that runs to its end; here it runs on all three tiers, which must agree
to the bit.  The reports list what has never been executed, and must be empty.
"""
import collections
import random

import every_form as E
import numpy as np
import pytest

from pyv86_nb.engine import forms as FM
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.processor import TIERS

PARTS, TRIES = 4, 200
WORLDS = [w for worlds in E.WORLDS.values() for w in worlds]
DEAD = b"\x39\xc0"                                       # CMP EAX, EAX: the flags before it are not wanted
SHOWN = b"\x50\x58" + DEAD                               # PUSH EAX, POP EAX: only a fault would show them
READ = b"\x9f" + DEAD                                    # LAHF
CARRIED = b"\x14\x00" + DEAD                             # ADC AL, 0: no more than the carry is
SHORT = b"\x50\x58\x0f\x92\xc0" + DEAD                 # PUSH, POP, SETB AL: the carry, and a fault would show the others
# what the second report leaves out: no handlers of a row.  The stubs are how handlers leave; there is no scale in 16-bit addresses (SDM
# vol. 2, table 2-1), and no instruction writes a word of the state by way of a temporary but those with handlers of their own
NO_ROW = {n for n in FM.SPECIAL if n.startswith("exit_") or n[-6:-1] in ("ea16_",) and n[-1] in "123"} | {"t_to_8", "u_to_8"}
OF_KERNELS = ("8E /r", "07", "17", "1F", "0F A1", "C4 /r", "C5 /r", "FA", "FB", "8F /0", "E9", "0F 80+c", "A4", "A5",
              "AC", "AE")      # rows that have special ones


def run(m, case, memory, ticks):
    m.start(memory, case.regs, case.world.eip, case.eflags, False, case.xmm)
    return m.run(ticks)


def different(a, b):
    return [(k, x, y) for k, (x, y) in enumerate(zip(a, b, strict=True)) if x != y and k != 12] or a[12] != b[12]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_form_on_every_tier(part):
    machines = {(t, w.name): E.machine(t, w) for t in TIERS for w in WORLDS}
    executed = collections.Counter()
    mine = [f for f in E.ALL if f[0] % PARTS == part]
    for i, row, form in mine:
        for _, rng in zip(range(TRIES), E.seeds(i, form), strict=False):
            case = E.attempt(rng, row, form)
            memory = E.fill(rng, case, row)
            first = run(machines["native", case.world.name], case, memory, E.ticks_of(row))
            if not E.completed(first, row, form):
                continue
            executed[i, form, "native"] += 1
            for tier in ("python", "threaded"):
                other = run(machines[tier, case.world.name], case, memory, E.ticks_of(row))
                assert other == first, (tier, str(case), different(other, first))
                executed[i, form, tier] += E.completed(other, row, form)
            break
    never = [(row.encoding, row.name, str(form), tier) for i, row, form in mine for tier in TIERS if not executed[i, form, tier]]
    print(f"{len({i for i, _, _ in mine})} rows, {len(mine)} forms, {len(TIERS)} tiers: never executed: {never or 'none'}")
    assert never == []


@pytest.mark.parametrize("tier", ["threaded", "native"])
def test_every_handler(tier):
    """The translator chooses a handler by more than the encoding: whether the flags are wanted, what follows, the limit of CS, the width
    of the stack, the precision of the FPU."""
    where, todo = FM.plan()
    machines = {w.name: E.machine(tier, w) for w in WORLDS}
    executed, of_row, fused = np.zeros(len(todo), bool), collections.defaultdict(list), collections.defaultdict(set)
    for i, _, form in E.ALL:
        of_row[i].append(form)
    for f in FM.fused_forms():
        fused[id(f.row)].add(where[f.key()])
    # moves of registers, and XCHG AL, AH by a handler of its own: only where operands are not in the record, and of the moves only
    # those of registers that LLVM gives to a handler with such an operand
    idle = {where[n] for n in FM.SPECIAL if n[1:4] in ("_fr", "_to") or (n == "swap_halves" and tier == "threaded")}
    specials = {where[n] for n in FM.SPECIAL} - {where[n] for n in NO_ROW}
    for i, row in enumerate(OPCODES):
        wanted = {where[f.key()] for f in FM.forms(row)} | fused[id(row)] | (specials if row.encoding in OF_KERNELS else set())
        if row.encoding in ("8B /r", "86 /r"):           # every kind of address; XCHG AL, AH
            wanted |= {where[n] for n in FM.SPECIAL if n.startswith("ea32_" if row.encoding == "8B /r" else "swap_halves")}
        rng = random.Random(row.encoding)
        for _ in range(2500 if wanted - specials else 150):
            if not of_row[i] or executed[list(wanted - idle)].all():
                break
            form = rng.choice(of_row[i])
            case = E.attempt(rng, row, form)
            second = case.world.eip + len(case.code)
            jumps = bool(fused[id(row)]) and rng.random() < .9
            case.code += bytes([0x70 + rng.choice(FM.FUSED_CC), 0x20]) if jumps else rng.choice((READ, DEAD, SHOWN, CARRIED, SHORT))
            m, memory = machines[case.world.name], E.fill(rng, case, row)
            if not E.completed(run(m, case, memory, E.ticks_of(row)), row, form):
                continue                                 # it may not have reached the end of its handler
            run(m, case, memory, 300)
            code = m.p._code[0]
            records = code["records"][1:code["nrec"]]
            executed[records["sid"][(records["eip"] == case.world.eip) | (records["eip"] == second) & jumps]] = True
    names = {v: k for k, v in where.items()}
    left_out = NO_ROW | {names[k] for k in idle}
    never = [str(names[k]) for k in range(len(todo)) if not executed[k] and names[k] not in left_out]
    print(f"{tier}: {len(todo)} handlers, {len(left_out)} of them of no row: never executed: {never or 'none'}")
    assert never == []

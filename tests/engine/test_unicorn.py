"""Every row of the opcode table on every tier against Unicorn: registers, defined flags, segments, CR2, memory, faults, counts.

Each case is run cut to its length, whole with blocks kept, and again on the blocks that are there.  All of that must agree
between the tiers to the bit; one of them is compared with Unicorn.  SETTLED lists where Unicorn is not asked, or was asked and is
wrong: one by one, with what the manual says.  `every_form.py` has each form of each row; the last test here asks about all of them.
"""
import collections
import random

import every_form
import numpy as np
import pytest
from generate import ROWS, STRINGS, one, sequence
from oracle import Oracle
from worlds import CODE, DATA, GDT, HOLE, TABLES, WORLDS, machines

from pyv86_nb.engine.isa import flags as F

BLOCK = HOLE - DATA
EACH = 8                                                # cases of a row in a world
APPROXIMATE = ("rcpps", "rcpss", "rsqrtps", "rsqrtss")
LIMITS = ("#GP(0x0)", "#SS(0x0)")
NOT_ASKED = {"sse4_1", "sse4_2"}                        # features


def prepare(tiers):
    for m in tiers:
        m.fresh["idt_limit"] = 0
    return tiers


def settle(outcome, memory, case):
    """(registers, EIP, EFLAGS, selectors, CR2, fault, memory, instructions, XMM and MMX registers), HLT at the end left out."""
    why, regs, eip, eflags, segments, _, control, instructions, _, faults, _, _, after, xmm, _, _ = outcome
    linear = segments[1][1] + eip & 0xFFFFFFFF
    if why == "halt":
        eip, instructions, faults = eip - 1, instructions - 1, []
    elif faults and faults[0] == "#GP(0x0)" and memory[linear:linear + 1] == b"\xf4" and linear != CODE:
        faults = []                                      # HLT of the user
    if why == "budget":
        faults = []
    return regs, eip, eflags & ~F.RF, [s[0] for s in segments[:6]], control[1], faults[0] if faults else None, after, instructions, xmm


def run_all(tiers, case, memory):
    """The outcomes of the ways to run a case; all tiers agree on each."""
    repeated = case.rows[0].name in STRINGS
    ways = [("whole", 3000, False), ("again", 3000, True)] + ([("cut", len(case.rows), False)] if not repeated else [("cut", 3, False)])
    out = {}
    for way, ticks, keep in ways:
        results = []
        for m in tiers:
            m.start(memory, case.regs, case.world.eip, case.eflags, keep, case.xmm)
            results.append(m.run(ticks))
        if way == "again" and case.world.paging:         # the TLB is warm though the tables are new: A and D say nothing
            results = [(*r[:12], r[12][:TABLES] + r[12][TABLES + 0x2000:], *r[13:]) for r in results]
        first = results[0]
        for m, r in zip(tiers, results, strict=True):
            assert r == first, ("tiers differ", way, m.tier, str(case), [(a, b) for a, b in zip(r[:12], first[:12], strict=True) if a != b],
                                [(hex(i), a, b) for i, (a, b) in enumerate(zip(r[12], first[12], strict=True)) if a != b][:8])
        out[way] = first
    return out


# Why a case, or a part of its state, is not compared.  Sections of the SDM
SETTLED = {
    "limits": "Unicorn has no segment limits: a #GP(0) or #SS(0) in a world with limits, where it goes on (vol. 3, 5.3)",
    "limit of a return": "nor those of the segment that a far return or IRET leads to (vol. 2, RET, IRET: EIP not within the limit)",
    "above 4 GiB": "an access across the last byte of a flat segment is #GP(0) or #SS(0) (vol. 3, 5.3); it wraps",
    "RET imm16": "unsigned (vol. 2, RET: SP + SRC); it takes the immediate for signed",
    "TEST /1": "F6 /1 and F7 /1 are TEST (vol. 2, table A-6: a gap; all processors do it); it knows only /0",
    "SMSW r32": "the upper half is undefined (vol. 2, SMSW), and CR0's on processors",
    "code or tables": "the case overwrites itself or its page tables (vol. 3, 4.10.4 and 11.6: what is seen when is up to the processor)",
    "again": "a store into the instruction that does it: it begins the instruction again (vol. 3, 11.6: it is done once)",
    "ARPL": "writes only if RPL changes (vol. 2, ARPL); it writes, and so faults, always",
    "POPA": "a fault of the stack leaves all registers as they were (vol. 3, 6.5: restartable); it has loaded some",
    "PUSHFD in VM86": "the image has VM clear (vol. 2, PUSHF); it shows VM",
    "MOV r, CR0 in real mode": "ET is 1 (vol. 3, 2.5); it shows 0",
    "stopped short": "Unicorn's count has ended one instruction early",
    "ENTER": "touches the new top of the stack (vol. 2, ENTER: #PF); it does not",
    "reads 16 bytes": "of vectors of less than 16 bytes in memory (vol. 2: m32, m64); it reads 16, and faults there",
    "32 bits in 16-bit code": "POPCNT, LZCNT, MOVBE, CRC32 have 16-bit operands there (vol. 2); it takes 32 bits",
    "LOCK NEG": "its flags are wrong (vol. 2, NEG: as of 0 - DEST)",
    "MOV r, CR5": "at CPL 3 too #UD comes first: there is no such register (vol. 3, 6.9); it raises #GP(0)",
    "fetched more": "it has fetched beyond what it was to do, and faults there",
    "alignment": "of operands of 16 bytes: #GP(0) (vol. 1, 10.4.1.1); it does not look",
    "MASKMOV, CLFLUSH, LDMXCSR": "masked stores ask for all bytes here (vol. 2: up to the processor); CLFLUSH checks as a load does; a reserved bit of "
                                 "MXCSR is #GP(0) (vol. 1, 10.2.3): it does nothing of the kind",
    "RCPPS, RSQRTPS": "within 1.5 * 2**-12 (vol. 2); it computes exactly.  test_sse.py has the bound",
    "CMPPS, predicate above 7": "reserved, and cut to three bits by processors without AVX (vol. 2, CMPPS: imm8[2:0]); #UD to it",
    "PHADD of itself": "of a register with itself it overwrites what it has not read (vol. 2, PHADDW)",
    "hints": "0F 18 to 0F 1F with a register are reserved NOPs (vol. 2, table A-3); #UD to it",
    "STMXCSR in sequences": "it sets no flags of MXCSR (vol. 1, 10.2.3.1)",
    "SSE4": "SSE4.1 and SSE4.2: it ends the process in string compares, and DPPD is wrong.  The host's processor is asked, test_sse.py",
    # parts of the state
    "EIP of a faulting string instruction": "EIP is at the instruction (vol. 2, REP); it is beyond, of some",
    "flags at a fault": "those of the instruction before it (vol. 3, 6.5); its are partly those of the faulting one: asked again, to stop before it",
    "RF, VIF, VIP": "in the image of a fault RF is 1 (vol. 3, 17.3.1.1); it has no VME, so VIF and VIP are lost",
    "CR2 of two bad pages": "which of two faults of one instruction is first is up to the processor: of a read-modify-write on a page that is read only and then one "
                            "of the supervisor's, of the operands of CMPS, of the frame of PUSHA",
    "accessed bit of CS": "a load of CS sets it (vol. 3, 3.4.5.1); it does not in far transfers",
    "A and D by speculation": "A is set for pages that were not needed, too (vol. 3, 4.8: \"speculatively\"); D before a fault of a later page",
    "store across pages": "nothing is written if the second page faults (vol. 3, 6.5); it has written the part on the first",
}


def differences(got, want, case, memory):
    """What differs of ours and Unicorn's, without what is settled; the key of SETTLED where Unicorn is not asked."""
    vector = want[5]
    ours = got[5]
    limited = any(s[2] != 0xFFFFFFFF for s in case.world.segments) or b"\x2e" in case.code
    first, names = case.rows[0].name, [r.name for r in case.rows]
    if vector == "lost" or (limited and ours in LIMITS):
        return "limits"
    if "Iw" in case.rows[-1].operands and case.code[-1] > 127:
        return "RET imm16"
    if case.rows[0].encoding in ("F6 /1", "F7 /1"):
        return "TEST /1"
    if case.rows[0].encoding == "0F 01 /4":
        return "SMSW r32"
    if any(changed(memory, m, case) for m in (got[6], want[6])):
        return "code or tables"
    if vector is None and want[1] == case.world.eip:
        return "again"
    if first == "arpl" and (ours or vector):
        return "ARPL"
    if first == "popa" and ours and vector:
        return "POPA"
    if first == "pushf" and case.world.eflags & F.VM:
        return "PUSHFD in VM86"
    if first == "mov_from_control" and not case.world.protected:
        return "MOV r, CR0 in real mode"
    if vector is None and len(case.rows) > 1 and want[1] == case.world.eip + case.at[-1]:
        return "stopped short"
    if ours == "#GP(0x0)" and vector is None and first in ("ret_far", "iret"):
        return "limit of a return"
    if ours and vector is None and first == "enter":
        return "ENTER"
    if ours is None and vector == 14 and any(0 < r.bits < 128 for r in case.rows):
        return "reads 16 bytes"
    if case.world.width == 16 and any(n in ("popcnt", "lzcnt", "movbe", "crc32") for n in names):
        return "32 bits in 16-bit code"
    if b"\xf0" in case.code and "neg" in names:
        return "LOCK NEG"
    if ours == "#UD(0x0)" and vector == 13 and first == "mov_from_control":
        return "MOV r, CR5"
    if ours is None and vector in (14, 8) and got[1] == want[1] != case.world.eip:
        return "fetched more"
    if ours in LIMITS and (vector in (14, 8) or case.regs[4] < 16 or max(case.regs[4:6]) >= 0xFFFFFFF0):
        return "above 4 GiB"
    if ours == "#GP(0x0)" and any(r.aligned for r in case.rows):
        return "alignment"
    if ours and any(n in ("maskmovdqu", "maskmovq", "clflush", "ldmxcsr") for n in names):
        return "MASKMOV, CLFLUSH, LDMXCSR"
    if any(n in APPROXIMATE for n in names):
        return "RCPPS, RSQRTPS"
    if vector == 6 and any(r.name[:3] == "cmp" and r.bits for r in case.rows):
        return "CMPPS, predicate above 7"
    if any(n[:3] in ("pha", "phs") for n in names):
        return "PHADD of itself"
    if vector == 6 and "nop" in names:
        return "hints"
    if len(case.rows) > 1 and "stmxcsr" in names:
        return "STMXCSR in sequences"
    names = {14: "#PF", 8: "#PF", 13: "#GP", 12: "#SS", 6: "#UD", 0: "#DE", 5: "#BR", 11: "#NP", 10: "#TS", 4: "#OF", 3: "#BP", 1: "#DB"}
    out = []
    if (ours.split("(")[0] if ours else None) != names.get(vector, vector):
        return [("fault", ours, vector)]
    for i, name in ((0, "registers"), (1, "eip"), (3, "selectors")):
        if got[i] != want[i] and not (i == 1 and case.rows[0].name in STRINGS and vector is not None):
            out.append((name, *([hex(v) for v in x[i]] if isinstance(x[i], list) else hex(x[i]) for x in (got, want))))
    if got[8] != want[7] and vector is None:
        out.append(("xmm", [hex(v) for v in got[8]], [hex(v) for v in want[7]]))
    rotates = vector is not None and any(r.name in ("rcl", "rcr") for r in case.rows)
    undefined = case.undefined if vector is None else case.ever
    if len(case.rows) > 1 and vector is not None:
        rotates = True                                   # they are compared after the instructions before the fault
    if (got[2] ^ want[2]) & ~undefined & ~(F.RF | F.VIF | F.VIP) and not rotates:
        out.append(("eflags", hex(got[2]), hex(want[2]), hex(case.undefined)))
    both = {got[4] & ~4095, want[4] & ~4095} == {0x25000, 0x26000} or any(r.name in ("cmps", "pusha") for r in case.rows)
    if ours and ours.startswith("#PF") and got[4] != want[4] and not both:
        out.append(("cr2", hex(got[4]), hex(want[4])))
    if got[6] != want[6]:
        a, b = (np.frombuffer(m, np.uint8) for m in (got[6], want[6]))
        where = [int(i) for i in np.nonzero(a != b)[0] if not (GDT <= i < CODE and i & 7 == 5 and (got[6][i] ^ want[6][i]) == 1)]
        if case.world.paging:                            # accessed bits are set by speculation too
            free = 0x60 if vector is not None or any(r.name in ("arpl", "enter", "maskmovdqu", "maskmovq") for r in case.rows) else 0x20
            where = [i for i in where if i != TABLES + 0x1000 + 4 * (GDT >> 12) and not (TABLES <= i < TABLES + 0x2000 and (got[6][i] ^ want[6][i]) & ~free == 0)]
        if vector is not None:                           # the first part of a store across pages
            where = [i for i in where if i & 4095 < 4096 - 31 or i >= 0x28000]
        if where:
            out.append(("memory", [(hex(i), hex(got[6][i]), hex(want[6][i])) for i in where[:8]]))
    return out


def agreed(answer):
    return answer == [] or (isinstance(answer, str) and answer in SETTLED)


def changed(before, after, case):
    """Code of the case or the page tables (but for A and D) were written."""
    if before[CODE:CODE + 128] != after[CODE:CODE + 128]:
        return True
    a, b = (np.frombuffer(m, np.uint32, 2048, TABLES) for m in (before, after))
    return case.world.paging and bool(((a ^ b) & ~np.uint32(0x60)).any())


def check(oracle, tiers, case, block):
    memory = case.memory(block)
    outcomes = run_all(tiers, case, memory)
    whole = settle(outcomes["whole"], memory, case)
    again = settle(outcomes["again"], memory, case)
    if whole[6][CODE:CODE + 64] == memory[CODE:CODE + 64]:
        loose = ~0x60 if case.world.paging else -1       # a page table entry may be what was read
        assert [v & loose for v in whole[0]] == [v & loose for v in again[0]], ("again", str(case), whole[:6], again[:6])
        assert whole[1:4] == again[1:4] and whole[5:6] == again[5:6] and whole[7] == again[7], ("again", str(case), whole[:6], again[:6])
    if any(r.feature in NOT_ASKED for r in case.rows):
        return whole, "SSE4"
    repeated = case.rows[0].name in STRINGS
    if not repeated:
        cut = settle(outcomes["cut"], memory, case)
        assert whole[:6] == cut[:6] or whole[7] != cut[7] or whole[5] != cut[5], ("cut", str(case), whole[:6], cut[:6])
        whole = cut
    end = case.world.eip + len(case.code)
    want = oracle.run(memory, case.regs, case.eflags, 0 if repeated else len(case.rows), end if repeated else 0x3F000, case.xmm)
    bad = differences(whole, want, case, memory)
    if bad == [] and whole[5] and 0 < whole[7] < len(case.rows):
        before = oracle.run(memory, case.regs, case.eflags, whole[7], 0x3F000, case.xmm)
        if (before[2] ^ whole[2]) & ~case.ever & ~F.RF:
            bad = [("eflags at the fault", hex(whole[2]), hex(before[2]))]
    return whole, bad


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_single_instructions(world):
    rng, oracle, tiers, asked, count = random.Random(world.name), Oracle(world), prepare(machines(world)), 0, 0
    for row in ROWS:
        for _ in range(EACH):
            case = one(rng, world, row)
            got, bad = check(oracle, tiers, case, rng.randbytes(BLOCK))
            assert agreed(bad), (str(case), bad)
            count, asked = count + 1, asked + (bad == [])
    print(f"{world.name}: {count} cases, {asked} of them asked of Unicorn")
    assert asked > count // 2


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_sequences(world):
    rng, oracle, tiers = random.Random(world.name), Oracle(world), prepare(machines(world))
    for n in [6] * 150 + [20] * 50:
        case = sequence(rng, world, n)
        _, bad = check(oracle, tiers, case, rng.randbytes(BLOCK))
        assert agreed(bad), (str(case), bad)


# EVERY FORM OF EVERY ROW, where it succeeds (faults: above)

# not rows of ROWS: what their results are compared with instead
OTHER_ORACLES = {
    "x87 wait fxsave fxrstor": "test_fpu.py: the host's FPU", "in out ins outs": "test_tasks.py, tests/board: vol. 1, 19, and the chips",
    "rdtsc rdtscp rdmsr wrmsr cpuid rdpmc rdrand rdseed sysenter sysexit": "test_models.py: vol. 2 and 4",
    "mov_to_control mov_to_debug mov_from_debug lmsw invd wbinvd lgdt lidt clac hlt": "test_system_instructions.py, test_debug.py, test_pae.py: vol. 3, 2.5 and 17.2",
    "int int3 into int1 ud": "test_interrupts.py: vol. 3, 6.12", "ltr": "test_tasks.py: vol. 2, LTR"}
ALWAYS_SETTLED = {"LOCK NEG", "32 bits in 16-bit code", "SMSW r32", "hints", "MOV r, CR0 in real mode"}      # for a form, in each of its cases
NEVER = {"SSE4", "TEST /1", "RCPPS, RSQRTPS", "PHADD of itself"}          # of SETTLED, what holds for a row whatever its operands


@pytest.mark.parametrize("part", range(4))
def test_every_form(part):
    oracles = {w.name: Oracle(w) for worlds in every_form.WORLDS.values() for w in worlds if w.name != "big real"}    # it has no such mode
    machines = {n: prepare([every_form.machine("native", o.world)])[0] for n, o in oracles.items()}       # test_coverage.py: all tiers do the same
    settled, left, forms = collections.Counter(), [], 0
    for i, row, form in every_form.ALL:
        if i % 4 != part or row not in ROWS or row.feature in NOT_ASKED:
            continue
        forms, why = forms + 1, None
        for _, rng in zip(range(150), every_form.seeds(i, form), strict=False):
            case = every_form.attempt(rng, row, form)
            if case.world.name not in oracles:
                continue
            memory, m = every_form.fill(rng, case, row), machines[case.world.name]
            m.start(memory, case.regs, case.world.eip, case.eflags, False, case.xmm)
            outcome = m.run(200 if row.name in STRINGS else 1)
            if not every_form.completed(outcome, row, form):
                continue
            end = case.world.eip + len(case.code)
            repeated = row.name in STRINGS
            want = oracles[case.world.name].run(memory, case.regs, case.eflags, 0 if repeated else 1, end if repeated else 0x3F000, case.xmm)
            why = differences(settle(outcome, memory, case), want, case, memory)
            assert agreed(why), (str(case), why)
            if why == [] or why in NEVER:
                break
        settled[why or "compared"] += 1
        if why and why not in NEVER:
            left.append((row.encoding, row.name, str(form), why))
    print(f"{forms} forms: {dict(settled)}; other oracles: {OTHER_ORACLES}")
    by_row = {(e, n, w) for e, n, _, w in left}
    assert {w for _, _, w in by_row} <= ALWAYS_SETTLED, sorted(by_row)

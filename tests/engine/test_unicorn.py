"""Every row of the opcode table on every tier against Unicorn: registers, defined flags, segments, CR2, memory, faults, counts.

Each case is run cut to its length, whole with blocks kept, and again on the blocks that are there.  All of that must agree
between the tiers to the bit; one of them is compared with Unicorn.   Where it was right to differ:

    segment limits      Unicorn has none: a #GP(0) or #SS(0) of ours in a world with limits is not compared, nor where a far return
                        leads beyond those of its target
    ENTER               does not ask for the page at the new top of the stack;   vectors of less than 16 bytes: it reads 16 of some
    code as data        it writes to code segments, in protected mode too
    RET imm16           it takes the immediate for signed
    TEST F6/F7 /1       an alias of /0, it knows only that
    SMSW r32            the upper half, undefined, is CR0's on processors
    alignment           of operands of 16 bytes: it does not look;   CLFLUSH is nothing to it
    MXCSR               it takes reserved bits, and sets no flags;   CMPPS with a predicate above 7 is #UD to it, the processor cuts it
    RCPPS, RSQRTPS      it computes exactly: test_sse.py has the bound
    0F 18, a register   reserved for hints, #UD to it;   POPCNT, LZCNT, MOVBE are 32 bits wide in 16-bit code, and VIF is lost: no VME
    PHADDW ...          of a register with itself: it overwrites what it has not read;   CRC32 takes 32 bits in 16-bit code
    MASKMOVDQU          touches nothing but the bytes that are chosen (the manual leaves it open; ours asks for all 16)
    self-modification   of the instruction itself: it begins again
    ARPL                it writes the operand even if it does not change; before a fault on the second of two pages ours
                        marks the first one dirty
    RCL, RCR m          it has changed the flags when the store faults;   LOCK NEG m: its flags are wrong
    POPA                some registers are loaded when the stack faults
    PUSHFD in VM86      it shows VM, which is cleared in the image;   MOV r, CR0 in real mode: its ET is 0
    CMPXCHG8B           its AF is lost after an ADD; not in sequences, nor TEST /1, SMSW, MOV r, CRn, POP to a segment
    lazy flags          at a fault they are partly those of the faulting instruction: it is asked again, to stop before it
    MOV r, CR5          at CPL 3: #UD comes first, as there is no such register
    two bad pages       of a read-modify-write: read only and then supervisor's; it reads first; of CMPS it
                        reads DI first, and PUSHA it begins at the lowest address
    page tables         a case that overwrites them or its own code is not compared
    accessed bit        of a descriptor: it does not set that of CS in far transfers
    SSE4.1, SSE4.2      not asked: it ends the process in string compares, and DPPD is wrong; the host's processor is asked (test_sse.py)
    page-crossing store the part on the first page is written before the fault of the second; ours writes nothing
    shutdown            our IDT is empty, so that an exception stops the processor with its state as the handler would find it
"""
import random

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


def differences(got, want, case, memory):
    """What differs of ours and Unicorn's, without what the manual leaves open; None where Unicorn cannot be asked."""
    vector = want[5]
    ours = got[5]
    limited = any(s[2] != 0xFFFFFFFF for s in case.world.segments) or b"\x2e" in case.code
    if vector == "lost" or (limited and ours in LIMITS) or ("Iw" in case.rows[-1].operands and case.code[-1] > 127):
        return None
    if case.rows[0].encoding in ("F6 /1", "F7 /1", "0F 01 /4") or any(changed(memory, m, case) for m in (got[6], want[6])):
        return None
    if vector is None and want[1] == case.world.eip or case.rows[0].name == "arpl" and (ours or vector):
        return None                                      # it has begun again
    first = case.rows[0].name
    if (first == "popa" and ours and vector) or (first == "pushf" and case.world.eflags & F.VM) or (first == "mov_from_control" and not case.world.protected):
        return None
    if vector is None and len(case.rows) > 1 and want[1] == case.world.eip + case.at[-1]:
        return None                                      # it has stopped one short
    if (ours == "#GP(0x0)" and vector is None and first in ("ret_far", "iret")) or (ours and vector is None and first == "enter"):
        return None
    if ours is None and vector == 14 and any(0 < r.bits < 128 for r in case.rows):
        return None
    if case.world.width == 16 and any(r.name in ("popcnt", "lzcnt", "movbe") for r in case.rows):
        return None
    if b"\xf0" in case.code and "neg" in [r.name for r in case.rows]:
        return None
    if ours == "#UD(0x0)" and vector == 13 and case.rows[0].name == "mov_from_control":
        return None
    if ours is None and vector in (14, 8) and got[1] == want[1] != case.world.eip:
        return None                                      # it has fetched more than it was asked to do
    if ours in LIMITS and (vector in (14, 8) or case.regs[4] < 16 or max(case.regs[4:6]) >= 0xFFFFFFF0):
        return None                                      # beyond 4 GiB
    if (ours == "#GP(0x0)" and any(r.aligned for r in case.rows)) or (ours and any(r.name in ("maskmovdqu", "maskmovq", "clflush", "ldmxcsr") for r in case.rows)):
        return None
    if any(r.name in APPROXIMATE for r in case.rows) or (vector == 6 and any(r.name[:3] == "cmp" and r.bits for r in case.rows)):
        return None
    if any(r.name[:3] in ("pha", "phs") for r in case.rows) or (case.world.width == 16 and any(r.name == "crc32" for r in case.rows)):
        return None
    if vector == 6 and any(r.name == "nop" for r in case.rows):
        return None
    if len(case.rows) > 1 and any(r.name == "stmxcsr" for r in case.rows):
        return None
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
        return whole, None
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
            assert not bad, (str(case), bad)
            count, asked = count + 1, asked + (bad is not None)
    print(f"{world.name}: {count} cases, {asked} of them asked of Unicorn")
    assert asked > count // 2


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_sequences(world):
    rng, oracle, tiers = random.Random(world.name), Oracle(world), prepare(machines(world))
    for n in [6] * 150 + [20] * 50:
        case = sequence(rng, world, n)
        _, bad = check(oracle, tiers, case, rng.randbytes(BLOCK))
        assert not bad, (str(case), bad)

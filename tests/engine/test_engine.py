"""What the tiers must agree on beyond single instructions: budgets, self-modifying code, bounces, flags around faults, capacities.

Oracle: the plain reader, which has no blocks; and arithmetic done by hand where a number is written out.
"""
import random

import numpy as np
import pytest
from worlds import CODE, DATA, HOLE, RAM, TABLES, WORLDS, Machine

from pyv86_nb.engine import code as C
from pyv86_nb.engine.isa import alu
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.engine.processor import TIERS, Processor

FLAT, PAGED, REAL = WORLDS[0], WORLDS[1], next(w for w in WORLDS if w.name == "real")
COMPILED = ["threaded", "native"]
START = [3, 0, 0, 0, 0x22800, 0, 0x80000000, 0]
LOOP = bytes.fromhex("b9 07000000"            # mov ecx, 7
                     "01 c8 69d0 05000000"    # a: add eax, ecx; imul edx, eax, 5
                     "89 15 00100200"         #    mov [21000h], edx
                     "f6 c1 01 74 05"         #    test cl, 1; jz b
                     "e8 04000000"            #    call f
                     "49 75 e5 f4"            # b: dec ecx; jnz a; hlt
                     "50 11 d6 0f95c3 58 c3".replace(" ", ""))          # f: push eax; adc esi, edx; setne bl; pop eax; ret


def h(text):
    return bytes.fromhex(text.replace(" ", ""))


def memory(world, code, at=CODE, **more):
    m = bytearray(world.image)
    m[at:at + len(code)] = code
    for a, b in more.get("data", {}).items():
        m[a:a + len(b)] = b
    return bytes(m)


def boot(tier, code, world=FLAT, regs=START, flags=2, data=None, machine=None, keep=False, at=CODE):
    m = machine or Machine(tier, world)
    m.start(memory(world, code, at, data=data or {}), regs, at - world.code[1], flags | world.eflags, keep)
    return m


def on_all(code, ticks=5000, **k):
    """The outcome, the same on all tiers."""
    machines = [boot(t, code, **k) for t in TIERS]
    results = [m.run(ticks) for m in machines]
    for t, r in zip(TIERS, results, strict=True):
        assert r == results[0], (t, [(a, b) for a, b in zip(r[:12], results[0][:12], strict=True) if a != b],
                                 [hex(i) for i in range(RAM) if r[12][i] != results[0][12][i]][:8])
    return results[0]


# TIME

def test_stops_after_exactly_n_everywhere():
    """Cold, and with all the blocks there."""
    machines = [boot(t, LOOP) for t in TIERS]
    total = [m.run(1000) for m in machines][0][7]
    for n in range(1, total + 3):
        results = []
        for m in machines:
            results.append(boot(None, LOOP, machine=m).run(n))
            boot(None, LOOP, machine=m).run(1000)
            results.append(boot(None, LOOP, machine=m, keep=True).run(n))
        assert all(r == results[0] for r in results), n
        assert results[0][7] == min(n, total)


@pytest.mark.parametrize("tier", TIERS)
def test_single_steps_equal_one_run(tier):
    a, b = boot(tier, LOOP), boot(tier, LOOP)
    whole = a.run(1000)
    for _ in range(whole[7] - 1):
        b.p.run(1)
    assert b.run(1) == whole


def test_repeated_instructions_are_cut_anywhere():
    code = h("b9 20000000 be 00000200 bf 80000200 f3 a4  b9 10000000 bf 00020200 f3 66 ab  b9 30000000 f3 a6  b9 30000000 f3 ad  b9 30000000 f2 ae f4")
    total = on_all(code)[8]
    for n in range(1, total + 2, 3):
        on_all(code, n)
    pieces = []
    for t in TIERS:
        m = boot(t, code)
        while not m.cpu.halted:
            m.p.run(7)
        m.cpu.halted = 1
        pieces.append([m.cpu.reg[i] for i in range(8)] + [m.p.instructions, m.cpu.eip])
    assert pieces[0] == pieces[1] == pieces[2]


# SELF-MODIFYING CODE

def test_code_that_rewrites_its_own_block():
    r = on_all(h("b9 03000000 fe 05 10600000 83c0 00 90 05 00000000 49 75 ee f4"), regs=[0] * 4 + [0x22800, 0, 0, 0])
    assert (r[1][0], r[7]) == (1 + 2 + 3, 1 + 6 * 3 + 1)


def test_rewriting_code_that_is_linked_to():
    # l: call f; mov [imm], 5; dec ecx; jnz l; hlt;   f: mov eax, imm; add ebx, eax; ret
    r = on_all(h("e8 0b000000 c605 11600000 05 49 75 f1 f4 b8 03000000 01c3 c3"), regs=[0, 3, 0, 0, 0x22800, 0, 0, 0])
    assert r[1][3] == 3 + 5 + 5


def test_rewriting_code_on_another_page_and_across():
    """inc byte of an immediate that lies across two pages, in an instruction that does."""
    at = 0x6FF8                                          # mov ecx, 5; nop..: l: add eax, imm32 (6FFEh-7002h); inc byte [7000h]; loop l
    code = h("b9 05000000 90 05 00000000 fe05 00700000 e2 f3 f4")
    r = on_all(code, at=at, regs=[0] * 4 + [0x22800, 0, 0, 0])
    assert r[1][0] == (0 + 1 + 2 + 3 + 4) << 8 and r[0] == "halt"


def test_string_instructions_that_write_code():
    r = on_all(h("b0 77 bf 10600000 b9 04000000 f3 aa 90 b8 11223344 f4"))
    assert r[1][0] == 0x77777777


@pytest.mark.parametrize("tier", COMPILED)
def test_a_page_of_code_overwritten_by_a_string_instruction_costs_that_page_alone(tier):
    """A kernel clears pages that held programs, word by word: what was translated from other pages stays.  SDM volume 3, 12.6, for the result."""
    page = 0x8000                                        # call f; mov edi, f; mov ecx, 1024; mov eax, 90909090h; rep stosd; mov [f], C3h; call f; hlt
    code = h("e8 fb1f0000 bf 00800000 b9 00040000 b8 90909090 f3ab c605 00800000 c3 e8 de1f0000 f4")
    m = boot(tier, code, at=0x6000, data={page: b"\x40" * 2048 + b"\xc3"})
    m.p.run(100)
    before = m.p._code[0]["flushes"]
    m.p.run(5000)
    assert m.cpu.reg[0] == 0x90909090 and m.p.get("eip") == 0x6000 + len(code)
    assert bytes(m.ram[page:page + 4096]) == b"\xc3" + b"\x90" * 4095 and m.p._code[0]["flushes"] == before


@pytest.mark.parametrize("tier", TIERS)
def test_code_written_from_outside(tier):
    m = boot(tier, h("b8 01000000 eb f9"))
    m.p.run(100)
    m.p.memory.write(CODE + 1, b"\x02")
    m.p.run(10)
    assert m.cpu.reg[0] == 2


@pytest.mark.parametrize("tier", COMPILED)
def test_endless_self_modification_stays_in_bounds(tier):
    m = boot(tier, h("fe05 00680000 ebf8"))
    m.p.run(600000)
    assert m.ram[0x6800] == (0xF4 + 300000) & 255
    t = m.p._code[0]
    assert t["nrec"] <= C.RECORDS and t["nblock"] <= C.BLOCKS and t["cold"] <= C.ARENA and t["hot"] <= C.COLD_AT


@pytest.mark.parametrize("tier", COMPILED)
def test_a_full_code_cache_is_flushed(tier):
    """More code than there are records: kilobytes of short blocks, each executed three times."""
    rng = random.Random(1)
    size = 1 << 20
    code = b"".join(b"\x05" + rng.randbytes(4) + b"\xeb\x00" for _ in range(80000)) + b"\xe9" + (-(80000 * 7 + 5) & 0xFFFFFFFF).to_bytes(4, "little")
    m = Machine(tier, FLAT, size)
    m.start(memory(FLAT, b""), START, CODE, 2)
    m.ram[0x40000:0x40000 + len(code)] = np.frombuffer(code, np.uint8)
    m.cpu.eip = 0x40000
    m.p.run(3 * 160001)
    want = START[0]
    for i in range(80000):
        want += int.from_bytes(code[7 * i + 1:7 * i + 5], "little")
    assert m.cpu.reg[0] == (START[0] + 3 * (want - START[0])) & 0xFFFFFFFF
    assert m.p._code[0]["flushes"] > 1


# FAULTS AND RESTARTS

def test_a_fault_leaves_everything_and_can_be_restarted():
    """add eax, 1; adc [24000h], eax; adc edx, 0; hlt: the flags are wanted though only a fault could see them."""
    code = h("05 01000000 11 05 00400200 83d2 00 f4")
    regs = [0xFFFFFFFF, 0, 7, 0, 0x22800, 0, 0, 0]
    r = on_all(code, world=PAGED, regs=regs)
    assert r[9] == ["#PF(0x2)"] and r[6][1] == HOLE and r[1][0] == 0
    frame = [int.from_bytes(r[12][r[1][4] + 4 * i:r[1][4] + 4 * i + 4], "little") for i in range(4)]
    assert frame[:3] == [2, CODE + 5, 8] and frame[3] & (F.CF | F.ZF | F.AF | F.PF) == F.CF | F.ZF | F.AF | F.PF
    for t in TIERS:
        m = boot(t, code, world=PAGED, regs=regs)
        m.p.run(1)
        m.p.run(1)
        assert m.cpu.eip == 0x4000 + 4 * 14
        entry = TABLES + 0x1000 + 4 * 0x24
        m.p.memory.write(entry, (HOLE | 7).to_bytes(4, "little"))
        m.p.memory.write(HOLE, b"\xff" * 4)
        m.p.memory.write(0x4000 + 4 * 14, h("83c4 04 cf"))                 # add esp, 4; iret
        m.p.run(5)
        assert m.cpu.halted and m.cpu.reg[2] == 8 and not m.ram[HOLE:HOLE + 4].any(), t


@pytest.mark.parametrize("op,want", [("f7 35 00000200", "#DE(0x0)"), ("ff 35 00400200", "#PF(0x0)"), ("8f 05 00400200", "#PF(0x2)"), ("d4 00", "#DE(0x0)")])
def test_flags_are_there_when_something_may_fault(op, want):
    """sub eax, ebx; <what faults>; sub eax, ebx: nobody reads the first flags but the frame."""
    r = on_all(h("29d8 " + op + " 29d8 f4"), world=PAGED, regs=[1, 0, 0, 2, 0x22800, 0, 0, 0], data={DATA: bytes(8)})
    assert r[9] == [want]
    error = want[1:3] in ("PF",)
    image = int.from_bytes(r[12][r[1][4] + 8 + 4 * error:][:4], "little")
    assert image & F.MASK == F.CF | F.SF | F.AF | F.PF and image & F.RF


BOUNCES = {
    "add [x], eax": "01 05 fe0f0200", "xchg [x], eax": "87 05 ff0f0200", "push [x]": "ff 35 fd0f0200", "pop [x]": "8f 05 fe0f0200",
    "inc [x]": "ff 05 ff0f0200", "mov eax, [x]": "a1 ff0f0200", "mov [x], eax": "a3 fd0f0200", "cmpxchg": "0fb1 1d ff0f0200",
    "push": "83ec 02 50", "pop eax": "58", "call [x]": "ff15 fe1f0200", "shld": "0fa4 05 ff0f0200 05", "imul": "0faf 05 fd0f0200",
    "movzx": "0fb7 05 ff0f0200", "call": "83ec 02 e8 00000000", "leave": "bd fe0f0200 c9", "bts": "0fba2d fe0f0200 1f", "pushf": "83ec 02 9c",
    "lock xadd": "f00fc1 05 fd0f0200", "not": "f7 15 fe0f0200", "setc": "0f92 05 ff0f0200", "mov ds": "8e 1d ff0f0200",
}


@pytest.mark.parametrize("name", BOUNCES)
@pytest.mark.parametrize("world", [FLAT, PAGED], ids=["flat", "paged"])
def test_accesses_across_pages(name, world):
    """Between two pages, with the stack across them too; then with the second page missing or read only."""
    rng = random.Random(name)
    block = bytearray(rng.randbytes(0x4000))
    block[0x1FFE:0x2002] = (0x4090).to_bytes(4, "little")
    block[0xFFF:0x1001] = b"\x10\x00"
    for esp in (0x21002, 0x21FFD, 0x20FFE):
        on_all(h(BOUNCES[name] + " 90 f4"), world=world, regs=[0x12345678, 2, 3, 4, esp, 6, 7, 8], data={DATA: bytes(block)})
    if world.paging:
        for page in (0, 0x21005, 0x21003):
            table = {TABLES + 0x1000 + 4 * 0x21: page.to_bytes(4, "little")}
            on_all(h(BOUNCES[name] + " 90 f4"), world=world, regs=[0x12345678, 2, 3, 4, 0x22800, 6, 7, 8], data={DATA: bytes(block), **table})


def test_accesses_in_a_page_of_code():
    """RMW, push and pop where translated code is, in the line of the running code and beside it."""
    for at in (0x6010, 0x6080, 0x6FFE, 0x5FFE):
        address = at.to_bytes(4, "little").hex()
        on_all(h(f"01 05 {address} 87 05 {address} ff 05 {address} ff 35 {address} 8f 05 {address} f4"))
        on_all(h("bc 40600000 50 58 51 9c f4"))


# WHAT HOLDS OFF INTERRUPTS AND TRAPS


def test_single_step_traps_after_each_instruction():
    for code in ("90 40 f4", "31c0 7400 f4", "9c 9d f4"):
        r = on_all(h(code), flags=2 | F.TF)
        assert r[9] == ["#DB(0x0)"] and r[11][0] & 0x4000 and r[7] == 2
    r = on_all(h("f3 aa f4"), flags=2 | F.TF, regs=[0, 5, 0, 0, 0x22800, 0, 0, DATA])
    assert r[9] == ["#DB(0x0)"] and r[1][1] == 4        # after one element
    frame = int.from_bytes(r[12][r[1][4]:r[1][4] + 4], "little")
    assert frame == CODE


def test_mov_ss_holds_off_the_trap_and_sti_does_not():
    frame = lambda r: int.from_bytes(r[12][r[1][4]:r[1][4] + 4], "little")
    assert frame(on_all(h("8ed0 90 90 f4"), flags=2 | F.TF, regs=[0x10] + START[1:])) == CODE + 3
    assert frame(on_all(h("17 90 90 f4"), flags=2 | F.TF, regs=START[:4] + [0x22000] + START[5:], data={0x22000: b"\x10\0\0\0"})) == CODE + 2
    assert frame(on_all(h("fb 90 90 f4"), flags=2 | F.TF)) == CODE + 1


# BETWEEN THE PIECES

def test_fused_conditions_are_the_conditions():
    """condition_cmp against condition."""
    for cc in range(16):
        for x in range(0, 256, 3):
            for y in (0, 1, 127, 128, 129, 255, x, x ^ 128, x + 1 & 255):
                r, cf, c = alu.sub(x, y, 0, 8)
                assert F.condition(cc, cf, F.widen_carries(c, 8), F.cut(F.sx(r, 8), 32)) == F.condition_cmp(cc, x, y, 8), (cc, x, y)


def test_any_flags_image_survives():
    for x in range(1 << 12):
        assert F.image(*F.from_image(x), 0) & F.MASK == x & F.MASK


def test_no_page_is_writable_and_executable():
    """W^X: the arena is two mappings; making and running a machine adds no page that is both."""
    both = {line for line in open("/proc/self/maps") if line.split()[1].startswith("rwx")}
    boot("native", LOOP).run(1000)
    arena = [line for line in open("/proc/self/maps") if "memfd:pyv86_nb" in line]
    assert {line.split()[1][:3] for line in arena} == {"rw-", "r-x"}
    assert {line for line in open("/proc/self/maps") if line.split()[1].startswith("rwx")} <= both


# STRING INSTRUCTIONS, MANY ELEMENTS AT ONCE

@pytest.mark.parametrize("size", [1, 2, 4])
def test_stores_of_any_length(size):
    """REP STOS of few elements and many, from any byte of a page on.   Oracle: the same bytes laid out by Python."""
    code = {1: "f3 aa", 2: "66 f3 ab", 4: "f3 ab"}[size] + "f4"
    rng, world = random.Random(size), bytearray(FLAT.image)
    for n in (1, 3, 4, 5, 15, 16, 17, 31, 33, 255, 1000, 2049):
        at, value = DATA + rng.randrange(64), rng.getrandbits(32)
        after = on_all(h(code), regs=[value, n, 0, 0, 0x22800, 0, 0, at])[12]
        want = world.copy()
        want[at:at + n * size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little") * n
        assert after[at:at + n * size + 64] == want[at:at + n * size + 64] and after[at - 8:at] == want[at - 8:at], (size, n, hex(at))


@pytest.mark.parametrize("tier", TIERS)
def test_a_copy_between_pages_that_share_an_entry_of_the_tlb(tier):
    """Pages 4 MiB apart: each is where the other's translation was.   Oracle: the bytes."""
    memory = PhysicalMemory(8 << 20)
    memory.map(0, 8 << 20, 0, 0)
    p, data = Processor(memory, tier), random.Random(1).randbytes(9000)
    p.flat()
    memory.write(0x1000, h("f3 a4 f4"))
    memory.write(0x3000 + 5, data)
    for name, v in (("esi", 0x3005), ("edi", 0x403005), ("ecx", 9000), ("eip", 0x1000)):
        p.set(name, v)
    p.run(20000)
    assert bytes(memory.ram[0x403005:0x403005 + 9000]) == data and p.get("ecx") == 0 and p.cpu.halted

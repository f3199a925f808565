"""The ends of things: code segments, pages, the 4 GiB, instruction length, LOCK, HLT, shutdown, ports without a board.

Each expectation is the SDM's, named where it is used; all tiers agree on the rest.
"""
import pytest
from test_engine import FLAT, PAGED, REAL, START, boot, h, memory, on_all
from worlds import CODE, DATA, HANDLERS, RAM, TABLES, WORLDS, Machine

from pyv86_nb.engine import reasons
from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.paging import flush_address_space
from pyv86_nb.engine.processor import TIERS

SEGMENTS = next(w for w in WORLDS if w.name == "segments")
NUMBERS = {"ES": 0, "SS": 2, "DS": 3, "FS": 4, "GS": 5}


def handler(r):
    """The vector whose handler the run ended in."""
    return (r[2] - 1 - HANDLERS) // 4 if r[0] == "halt" and HANDLERS <= r[2] < HANDLERS + 256 else None


def frame(r, n=3):
    at = r[4][2][1] + r[1][4]
    return [int.from_bytes(r[12][at + 4 * i:at + 4 * i + 4], "little") for i in range(n)]


# THE CODE SEGMENT

@pytest.mark.parametrize("code", ["e9 00a00100", "e8 00a00100", "b8 00000200 ffe0", "b8 00000200 ffd0", "68 00000200 c3", "31c0 0f84 00a00100", "eb 00 e9 00a00100"])
def test_jumps_beyond_the_limit(code):
    """#GP(0) by the jump, which has not happened and has pushed nothing.   SDM vol. 2, JMP, CALL, RET, Jcc."""
    r = on_all(h(code + " f4"), world=SEGMENTS, regs=START[:4] + [0x2800] + START[5:])
    assert r[9] == ["#GP(0x0)"] and handler(r) == 13
    assert frame(r)[1] >= CODE


def test_running_off_the_end_of_the_segment():
    """The last instruction that fits runs; the one that lies across the limit, or begins behind it, is #GP(0)."""
    for limit, retired in ((CODE + 3, 2), (CODE + 2, 1), (CODE, 1)):
        machines = [Machine(t, FLAT) for t in TIERS]
        results = []
        for m in machines:
            m.start(memory(FLAT, h("40 83c005 f4")), START, CODE, 2)
            SEG.set_segment(m.cpu, S.CS, 8, 0, limit, 0x409B)
            SEG.update_mode(m.cpu)
            results.append(m.run(10))
        assert results[0] == results[1] == results[2], limit
        assert results[0][9][0] == "#GP(0x0)"
        assert results[0][7] == retired + 1          # and HLT of the handler


# PAGES

def test_an_instruction_on_two_pages_follows_its_second_page():
    """The second page is mapped elsewhere between two executions: what is executed is what is there then."""
    at = 0x6FFE                                          # mov eax, imm32: the immediate is on the second page but for a byte
    code = h("b8 11 223344 f4")
    for t in TIERS:
        m = boot(t, code, world=PAGED, at=at, data={0x2A000: b"\x55\x66\x77\xf4"})
        m.p.run(100)
        assert m.cpu.reg[0] == 0x44332211
        m.p.memory.write(TABLES + 0x1000 + 4 * 7, (0x2A007).to_bytes(4, "little"))
        flush_address_space(m.cpu)
        m.cpu.halted, m.cpu.eip, m.cpu.attention = 0, at, 1
        m.p.run(100)
        assert m.cpu.reg[0] == 0x77665511, t
        m.p.memory.write(TABLES + 0x1000 + 4 * 7, (0).to_bytes(4, "little"))
        flush_address_space(m.cpu)
        m.cpu.halted, m.cpu.eip, m.cpu.attention = 0, at, 1
        m.p.run(1)
        m.p.run(1)
        assert m.p.faults == ["#PF(0x0)"] and m.cpu.cr2 == 0x7000, t


PAGE_FAULTS = [(entry, user, write, wp) for entry in (0, 1, 3, 5, 7) for user in (0, 1) for write in (0, 1) for wp in (0, 1)]


@pytest.mark.parametrize("entry,user,write,wp", PAGE_FAULTS)
def test_page_rights_and_error_codes(entry, user, write, wp):
    """SDM vol. 3, 4.6 and 4.7: P, W, U of the error code; CR0.WP for the supervisor's writes."""
    world = next(w for w in WORLDS if w.name == ("user" if user else "paged" if wp else "paged without WP"))
    present, writable, users = entry & 1, entry & 2, entry & 4
    allowed = present and (users or not user) and (not write or writable or (not user and not (world.cr0 & S.WP)))
    r = on_all(h(("a3" if write else "a1") + "00100200 90 f4"), world=world, data={TABLES + 0x1000 + 4 * 0x21: (0x21000 | entry).to_bytes(4, "little")})
    if allowed:
        assert not r[9] or r[9] == ["#GP(0x0)"]          # HLT of the user
    else:
        assert r[9] == [f"#PF({present | write << 1 | user << 2:#x})"] and r[6][1] == 0x21000


def test_accessed_and_dirty():
    read = on_all(h("a1 00100200 f4"), world=PAGED)[12][TABLES + 0x1084]
    written = on_all(h("a3 00100200 f4"), world=PAGED)[12][TABLES + 0x1084]
    assert read & 0x60 == 0x20 and written & 0x60 == 0x60


def test_a20():
    """With the gate shut address bit 20 is 0: for data, code and page tables."""
    for t in TIERS:
        m = boot(t, h("a1 00001200 a3 04001200 f4"), world=FLAT, data={DATA: h("11223344")})
        m.cpu.a20 = 0xFFFFFFFF & ~(1 << 20)
        flush_address_space(m.cpu)
        SEG.update_mode(m.cpu)
        m.cpu.board_io = None
        m.cpu.attention = 0
        m.cpu.end = m.cpu.target = 2
        m.cpu.budget = 2
        why = m.p.plain.run if t == "python" else None
        if why:
            for _ in range(2):
                m.p.plain.one()
        else:
            m.p._run(m.p.address, m.p._code.ctypes.data, 0, 0, 0)
        assert m.ram[DATA + 4:DATA + 8].tobytes() == h("11223344"), t


# 4 GIB, AND BEYOND THE RAM

@pytest.mark.parametrize("code", ["a1 feffffff", "a3 ffffffff", "ff05 fdffffff", "a0 ffffffff", "66a1 ffffffff", "668705 ffffffff", "ff35 feffffff", "8f05 feffffff"])
def test_accesses_at_the_end_of_the_address_space(code):
    """One that wraps is beyond the limit of a flat segment."""
    for world in (FLAT, PAGED):
        r = on_all(h(code + " f4"), world=world)
        if code[:2] != "a0":
            assert r[9] == ["#GP(0x0)"]
    assert on_all(h("50 f4"), regs=START[:4] + [2] + START[5:])[9][0] == "#SS(0x0)"


def test_nothing_reaches_beyond_the_host_buffer():
    """At the end of the RAM, in holes and at 4 GiB: reads give FFh, writes vanish, and the page behind the buffer stays zero."""
    ends = [RAM - k for k in (1, 2, 3, 4)] + [RAM, RAM + 0xFFF, 0x7FFFFFFF, 0xFFFFF000, 0xFFFFFFFC]
    for at in ends:
        a = at.to_bytes(4, "little").hex()
        code = h(f"a1 {a} 0105 {a} 8705 {a} c705 {a} 12345678 be {a} bf {a} b9 01000000 f3a5 be {a} bf 00000200 b9 40000000 f3a4 bf {a} b9 03000000 f3aa f4")
        r = on_all(code, world=FLAT)
        assert r[0] == "halt"
        for t in TIERS:
            m = boot(t, code)
            m.run()
            assert not m.p.memory.host[RAM:].any(), (t, hex(at))


def test_rom_and_holes():
    """A ROM is read and not written; where nobody answers there is FFh."""
    for t in TIERS:
        m = Machine(t, FLAT)
        m.p.memory.map(0x30000, 0x1000, 0x30000, None)
        m.p.memory.unmap(0x31000, 0x1000)
        m.start(memory(FLAT, h("a1 fc0f0300 ff05 fc0f0300 8b1d fc0f0300 8b0d fe0f0300 8b15 00100300 ff05 00100300 f4"), data={0x30FFC: h("01020304")}), START, CODE, 2)
        flush_address_space(m.cpu)
        m.run()
        assert [m.cpu.reg[i] for i in (0, 3, 1, 2)] == [0x04030201, 0x04030201, 0xFFFF0403, 0xFFFFFFFF], t


# INSTRUCTIONS THAT ARE NONE

def test_fifteen_bytes():
    """#GP(0) for what is longer, wherever the pages are.   SDM vol. 3, 6.15, #GP."""
    for at in (CODE, 0x6FF8):
        assert on_all(b"\x26" * 14 + b"\x40\xf4", at=at)[0:1] == ("halt",)
        assert handler(on_all(b"\x26" * 15 + b"\x40\xf4", at=at)) == 13
        assert handler(on_all(b"\x66" * 10 + h("c705 00000200 0000 f4"), at=at)) == 13


def test_lock():
    """#UD unless the instruction may be locked and its destination is in memory.   SDM vol. 2, LOCK."""
    allowed = {"add", "or", "adc", "sbb", "and", "sub", "xor", "inc", "dec", "not", "neg", "bts", "btr", "btc", "xchg", "xadd", "cmpxchg", "cmpxchg8b"}
    assert {r.name for r in OPCODES if r.lock} == allowed
    assert on_all(h("f0 0105 00000200 f4"))[9] == []
    for code in ("f0 01c0", "f0 90", "f0 0305 00000200", "f0 3905 00000200", "f0 8905 00000200", "f0 0fa305 00000200", "f0 f605 00000200 01", "f0 a4", "f0 d105 00000200", "f0 f4"):
        r = on_all(h(code + " f4"))
        assert r[9] == ["#UD(0x0)"] and r[7] == 1, code
    for code in ("f0 8605 00000200", "f0 0fba2d 00000200 05", "f0 0fc70d 00000200", "f0 ff05 00000200", "f0 f715 00000200"):
        assert on_all(h(code + " f4"))[9] == [], code


# HLT, SHUTDOWN, PORTS

def test_hlt():
    r = on_all(h("40 f4 40"), ticks=10)
    assert r[0] == "halt" and r[1][0] == 4 and r[7] == 2 and r[2] == CODE + 2
    for t in TIERS:
        m = boot(t, h("f4 40"))
        assert m.p.run(10) == reasons.HALTED
        m = boot(t, h("f4 40"), flags=0x202)             # an interrupt could come: time goes by
        assert m.p.run(10) == reasons.BUDGET and m.p.now == 10 and m.p.instructions == 1, t


def test_shutdown_and_what_led_to_it():
    """#PF, then nothing in the IDT, then #DF, then nothing.   SDM vol. 3, table 6-5."""
    for t in TIERS:
        m = boot(t, h("a1 00400200 f4"), world=PAGED)
        m.cpu.idt_limit = 0
        assert m.p.run(100) == reasons.TRIPLE_FAULT
        assert [f.split("(")[0] for f in m.p.faults] == ["#PF", "#GP", "#DF", "#GP"], m.p.faults
        m.p.reset()
        assert (m.cpu.eip, m.p.get("cs"), m.cpu.external) == (0xFFF0, 0xF000, 0)


def test_ports_without_a_board():
    """They float."""
    r = on_all(h("e4 60 66ba f803 66ed ed ee e6 80 ec f4"), regs=[0x12345678] + START[1:])
    assert r[1][0] == 0xFFFFFFFF and r[0] == "halt"
    r = on_all(h("bf 00000200 b9 04000000 f3 6d be 00000200 b9 02000000 f3 66 6f f4"))
    assert r[12][DATA:DATA + 16] == b"\xff" * 16
    user = next(w for w in WORLDS if w.name == "user")
    assert on_all(h("e4 60 f4"), world=user)[9][0] == "#GP(0x0)"          # the bitmap is beyond the limit of the TSS
    assert on_all(h("e4 60 f4"), world=next(w for w in WORLDS if w.name == "user, IOPL 3"))[1][0] & 255 == 255


# LIMITS OF DATA SEGMENTS

@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("s", ["ES", "SS", "DS", "FS", "GS"])
def test_segment_limits(s, size, down):
    """The first and last offsets, and those just outside; #SS of the stack, else #GP.   SDM vol. 3, 5.3."""
    limit, k = 0x2FFF, NUMBERS[s]
    last = 0xFFFF if down else limit
    prefix = {"ES": "26", "SS": "36", "DS": "3e", "FS": "64", "GS": "65"}[s]
    op = {1: "a0", 2: "66a1", 4: "a1"}[size]
    for at in (limit + 1 - size, limit + 2 - size, limit, limit + 1, last - size + 1, last - size + 2, 0):
        fits = (limit < at and at + size - 1 <= last) if down else at + size - 1 <= last
        results = []
        for t in TIERS:
            m = boot(t, h(prefix + op) + at.to_bytes(4, "little") + b"\xf4")
            SEG.set_segment(m.cpu, k, 0x10, 0x20000, limit, 0x97 if down else 0x93)
            SEG.update_mode(m.cpu)
            m.cpu.idt_limit = 0
            results.append(m.run(100))
        assert results[0] == results[1] == results[2], (s, hex(at))
        assert results[0][9][:1] == ([] if fits else ["#SS(0x0)" if s == "SS" else "#GP(0x0)"]), (s, hex(at))


def test_real_mode_wraps_and_limits():
    """A word at FFFFh is #GP in real mode; #SS on the stack.   SDM vol. 3, 20.1.6 and 6.15."""
    assert handler(on_all(h("a1 ffff f4"), world=REAL)) == 13
    assert handler(on_all(h("bdffff 8b4600 f4"), world=REAL)) == 12
    assert on_all(h("a0 ffff f4"), world=REAL)[9] == []

"""What comes before what: SDM volume 2, CALL, JMP, RET, INT (pseudo-code): the target's limit is checked when there is room on the stack
and before anything is pushed; volume 3, 7.3: a fault between two tasks; 6.9 and table 6-5: two exceptions at once."""
import pytest
from protected_machine import (
    CALL16,
    CALL32,
    CODE,
    CODE_OF,
    DATA_OF,
    DB,
    DF,
    FREE,
    GP,
    HANDLERS,
    INT32,
    NP,
    PF,
    R_CODE,
    SS,
    STACK,
    TASK_GATE,
    TIERS,
    TS,
    TSS,
    TSS2,
    TSS2_SELECTOR,
    UD,
    W_DATA,
    Machine,
    gate,
    segment,
)

from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.exceptions import NAMES
from pyv86_nb.engine.isa import flags as F

X, Y = FREE * 8, (FREE + 1) * 8


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    yield machine
    machine.p.set("dr7", 0x400)
    machine.p.set("cr0", 0x11)


def untouched(m, level, n=64):
    return m.memory.read(STACK[level] - n, n) == bytes(n)


@pytest.mark.parametrize("kind", [CALL32, CALL16])
def test_a_call_beyond_the_limit_pushes_nothing(m, kind):
    """CALL to the same level: "IF tempEIP not in code segment limit THEN #GP(0)" before the push; so through a gate."""
    m.gdt[FREE] = segment(0, 0xFFF, R_CODE, 3)
    m.gdt[FREE + 1] = gate(X, 0x1000, kind, 3)
    for where in (X, Y):
        end = m.run(b"\x9a\x00\x10\x00\x00" + (where | 3).to_bytes(2, "little"), 3)
        assert end.fault == (GP, 0) and end.frame[0] == CODE and untouched(m, 3)


def test_a_call_without_room_comes_first(m):
    """#SS(0), though the target is beyond the limit as well."""
    m.gdt[FREE] = segment(0, 0xFFF, R_CODE)
    m.gdt[FREE + 1] = segment(STACK[0] - 0x100, 3, W_DATA)
    m.idt[SS] = gate(TSS2_SELECTOR, 0, 5)
    m.put(TSS2 + 0x1C, 0, 0x9000, 2, 1, 2, 3, 4, STACK[0], 5, 6, 7, DATA_OF[0], 8, DATA_OF[0], DATA_OF[0], 0, 0, 0, 0x680000)
    m.memory.write(0x9000, b"\xf4")
    end = m.run(b"\x9a\x00\x10\x00\x00" + X.to_bytes(2, "little"), ss=Y, esp=4)
    assert end.eip == 0x9001 and m.p.faults == ["#SS(0x0)"]


def test_to_an_inner_level_beyond_the_limit(m):
    """CALL through a gate and INT to more privilege: the new stack is left as it was, and the old one."""
    m.gdt[FREE] = segment(0, 0xFFF, R_CODE)
    m.gdt[FREE + 1] = gate(X, 0x1000, CALL32, dpl=3)
    end = m.run(b"\x9a\x00\x00\x00\x00" + (Y | 3).to_bytes(2, "little"), 3)
    assert end.fault == (GP, 0) and end.frame[0] == CODE and untouched(m, 3)
    assert end.frame[1] == CODE_OF[3] and end.esp == STACK[0] - 24
    m.idt[0x31] = gate(X, 0x1000, INT32, dpl=3)
    m.memory.write(STACK[0] - 64, bytes(64))
    end = m.run("int 0x31", 3)
    assert end.fault == (GP, 0) and end.frame[0] == CODE and end.esp == STACK[0] - 24


def test_real_mode_call_without_room(m):
    """vol. 2, CALL in real mode: both words must fit before the offset is looked at."""
    m.p.set("cr0", 0x10)
    m.p.real()
    m.p.set("idtr", (0, 0x3FF))
    m.memory.write(4 * GP, b"\x00\x90\x00\x00")
    m.memory.write(0x9000, b"\xf4")
    m.memory.write(CODE, b"\x66\x9a\x00\x00\x01\x00\x00\x00\xf4")          # CALL 0000:00010000
    for n, v in (("ss", 0x2000), ("esp", 0x100), ("cs", CODE >> 4), ("eip", 0), ("eflags", 2)):
        m.p.set(n, v)
    m.p.cpu.halted = 0
    m.p.run(20)
    assert m.p.get("eip") == 0x9001 and m.p.get("esp") == 0xFA and m.memory.read(0x200F6, 4) == bytes(4)
    m.p.set("cr0", 0x11)
    SEG.update_mode(m.p.cpu)


# BETWEEN TWO TASKS

def task(m, **registers):
    v = {"es": DATA_OF[0], "cs": 8, "ss": DATA_OF[0], "ds": DATA_OF[0], "fs": DATA_OF[0], "gs": DATA_OF[0], "ldt": 0, "eip": 0x9000} | registers
    m.put(TSS2 + 0x1C, 0, v["eip"], 2, 1, 2, 3, 4, STACK[0] - 0x200, 5, 6, 7, v["es"], v["cs"], v["ss"], v["ds"], v["fs"], v["gs"], v["ldt"], 0x680000)
    m.memory.write(0x9000, b"\xcd\x80")


@pytest.mark.parametrize("bad", ["es", "ds", "fs", "gs"])
@pytest.mark.parametrize("present", [0, 1])
def test_segments_after_a_fault_between_tasks(m, bad, present):
    """7.3: the selectors are loaded, what has not been checked yet cannot be used; the fault is the new task's."""
    m.gdt[FREE] = segment(0, 0xFFFF, W_DATA if not present else 0x18, present=present)
    task(m, **{bad: X})
    m.assemble("mov eax, cs:[0]; " + "".join(f"verr {s}; " for s in ("bx",)) + "hlt", 0x5A00)
    m.idt[NP], m.idt[TS] = gate(8, 0x5A00, INT32), gate(8, 0x5A00, INT32)
    end = m.run(b"\xea" + bytes(4) + TSS2_SELECTOR.to_bytes(2, "little"))
    assert m.p.faults == [f"#{'TS' if present else 'NP'}({X:#x})"] and end.tr == TSS2_SELECTOR and end.ebx == 4
    assert m.word(end.esp) == X and m.word(end.esp + 4) == 0x9000, "error code; EIP of the new task"
    order = ["es", "ds", "fs", "gs"]
    for s in order:
        cache, number = m.p.cpu.segment[S.SEGMENTS.index(s)], order.index(s)
        usable = cache.read.last == 0xFFFFFFFF
        assert usable == (number < order.index(bad)), s
        assert m.p.get(s) == (X if s == bad else DATA_OF[0])


# TWO AT ONCE: table 6-5

@pytest.mark.parametrize("first, second, double", [
    (UD, GP, False), (UD, NP, False), (GP, GP, True), (GP, NP, True), (PF, GP, True), (PF, PF, True), (GP, PF, False)])
def test_double_faults(m, first, second, double):
    """Benign then anything: one after the other.  Contributory twice, or a page fault and then either: #DF(0)."""
    table, directory = 0x41000, 0x40000
    for i in range(256):
        m.put(table + 4 * i, i << 12 | 3)
    m.put(directory, table | 3)
    m.put(table + 4 * 0x60, 0)
    m.p.set("cr3", directory)
    m.p.set("cr0", 0x80000011)
    m.gdt[FREE] = segment(0, 0xFFFF, W_DATA, present=0)
    m.gdt[FREE + 1] = segment(0, 0xFFFF, R_CODE, present=0)
    cause = {UD: b"\x0f\x0b", GP: b"\x8e\xd8", NP: b"\x8e\xd8", PF: b"\xa1\x00\x00\x06\x00"}[first]
    bad = {GP: gate(0x400, 0x9000, INT32), NP: gate(Y, 0x9000, INT32)}.get(second)
    if second == PF:
        bad = gate(8, 0x60000, INT32)
    m.idt[first] = bad
    eax = {GP: 0x400, NP: X}.get(first, 0)
    if second == PF and double:
        m.idt[PF] = gate(8, 0x9000, INT32)
        m.put(table + 4 * (STACK[0] - 1 >> 12), 0)       # no stack: the push of the first faults
        m.idt[DF] = gate(TSS2_SELECTOR, 0, 5)
        task(m, eip=0x9100)
        m.put(TSS2 + 0x1C, directory)
        m.put(TSS2 + 0x38, 0x24000)
        m.memory.write(0x9100, b"\xf4")
        end = m.run(cause, eax=eax)
        assert end.eip == 0x9101 and m.p.faults[-1] == "#DF(0x0)" and m.word(0x24000 - 4) == 0
        return
    end = m.run(cause, eax=eax)
    assert end.vector == (DF if double else second), end
    if double:
        assert end.fault == (DF, 0) and end.frame[0] == CODE


FIRST = {  # an exception at level 3, and its class in table 6-4
    "#DE": ("xor ecx, ecx; div ecx", "contributory"), "#BR": ("bound eax, [0x30000]", "benign"), "#UD": ("ud2", "benign"),
    "#NM": ("fninit", "benign"), "#TS": (".byte 0xCF", "contributory"), "#NP": ("mov ds, eax", "contributory"), "#SS": ("mov ss, eax", "contributory"),
    "#GP": ("cli", "contributory"), "#PF": ("mov eax, [0x60000]", "page fault"), "#MF": ("fldz; fdiv st(0), st(0); fwait", "benign"),
    "#AC": ("mov eax, [0x30001]", "benign"), "#XM": ("divps xmm0, xmm0", "benign")}
SECOND = ("#GP", "#NP", "#TS", "#SS", "#PF")


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_each_pair(m, first, second):
    """Table 6-5, every class of the first with every fault that a delivery can meet.  The second is tried while the first is delivered:
    by its gate (#GP, #NP), the stack of level 0 (#TS, #SS), or the page of that stack (#PF)."""
    table, directory = 0x41000, 0x40000
    for i in range(256):
        m.put(table + 4 * i, i << 12 | 7)
    m.put(directory, table | 7)
    m.put(table + 4 * 0x60, 0)
    text, kind = FIRST[first]
    flags, registers = 2, {"eax": 5}
    m.p.cpu.cr4 |= S.OSFXSR | S.OSXMMEXCPT
    if first in ("#NP", "#SS"):
        m.gdt[FREE] = segment(0, 0xFFFF, W_DATA, 3, present=0)
        registers["eax"] = X | 3
    if first == "#TS":
        flags |= F.NT                                    # and the link is 0
    if first == "#AC":
        flags |= F.AC
    m.p.set("cr3", directory)
    m.p.set("cr0", 0x80000031 | (8 if first == "#NM" else 0) | (0x40000 if first == "#AC" else 0))
    m.p.cpu.fcw, m.p.cpu.mxcsr = 0x37E, 0
    vector = next(v for v, n in NAMES.items() if n == first)
    if second == "#GP":
        m.idt[vector] = 0
    elif second == "#NP":
        m.idt[vector] = gate(8, HANDLERS, INT32, present=0)
    elif second == "#TS":
        m.put(TSS + 8, 0)
    elif second == "#SS":
        m.gdt[FREE + 1] = segment(0, 0xFFFFF, W_DATA, present=0)
        m.put(TSS + 8, X + 8)
    else:
        m.put(table + 4 * (STACK[0] - 1 >> 12), 0)
    m.idt[DF] = gate(TSS2_SELECTOR, 0, TASK_GATE)        # a task of its own: it needs nothing of what is broken
    task(m, eip=0x9100)
    m.put(TSS2 + 0x1C, directory)
    m.put(TSS2 + 0x38, 0x24000)
    m.memory.write(0x9100, b"\xf4")
    m.run(text, 3, eflags=flags, **registers)
    names = [f.split("(")[0] for f in m.p.faults]
    double = kind == "contributory" and second != "#PF" or kind == "page fault"
    assert names[:2] == [first, second] and (names[2:3] == ["#DF"]) == double, names


def test_debug_trap_before_the_next_fault(m):
    """6.9: traps on the previous instruction come before faults of fetching and executing the next."""
    m.p.set("dr0", 0x30000)
    m.p.set("dr7", 0x30002)
    end = m.run(".byte 0xC6, 0x05, 0, 0, 3, 0, 1, 0x0F, 0x0B")
    assert end.fault == (DB, None) and end.frame[0] == CODE + 7


def test_limit_before_undefined_before_operand(m):
    """6.9: the segment limit of the fetch, then #UD, then what executing brings."""
    m.gdt[FREE] = segment(CODE, 0, R_CODE)
    m.assemble(b"\x0f\x0b")
    assert m.run(None, cs=X, eip=0).fault == (GP, 0)
    assert m.run(b"\xf0\x8b\x05\x00\x00\x00\x00", ds=0).fault == (UD, None), "LOCK on a load, though the load could not be done"


def test_fifteen_bytes(m):
    """2.3.11: longer is #GP(0), however it ends; with the limit before it all the same."""
    assert m.run(b"\x66" * 14 + b"\x90" + b"\xcd\x80").vector == 0x80
    assert m.run(b"\x66" * 15 + b"\x90").fault == (GP, 0)
    assert m.run(b"\x2e" * 11 + b"\xc7\x05\x00\x00\x03\x00\x01\x02\x03\x04").fault == (GP, 0)


@pytest.mark.parametrize("code, allowed", [
    (b"\x01\x05", 1), (b"\x03\x05", 0), (b"\x89\x05", 0), (b"\x0f\xab\x05", 1), (b"\x0f\xa3\x05", 0), (b"\x0f\xb1\x05", 1), (b"\x0f\xc1\x05", 1), (b"\x87\x05", 1),
    (b"\xff\x05", 1), (b"\xff\x0d", 1), (b"\xf7\x15", 1), (b"\xf7\x1d", 1), (b"\xf7\x25", 0), (b"\x39\x05", 0), (b"\x85\x05", 0), (b"\x0f\xc7\x0d", 1), (b"\xff\x35", 0)])
def test_lock(m, code, allowed):
    """vol. 2, LOCK: the list of instructions, and only with a destination in memory."""
    end = m.run(b"\xf0" + code + b"\x00\x00\x03\x00\xcd\x80")
    assert end.fault == ((0x80, None) if allowed else (UD, None))
    if len(code) == 2:
        assert m.run(b"\xf0" + code[:-1] + bytes([code[-1] & 0x38 | 0xC1])).fault == (UD, None)

"""Task switching: SDM volume 3, chapter 8 (7 in older editions), and the I/O permission bitmap of vol. 1, 19.5.2."""
import pytest
from protected_machine import (
    CODE,
    CODE_OF,
    CONFORM,
    DATA,
    DATA_OF,
    DB,
    DF,
    FREE,
    GP,
    LDT,
    LDT_SELECTOR,
    LDT_TYPE,
    NP,
    R_DATA,
    SS,
    STACK,
    TASK_GATE,
    TIERS,
    TS,
    TSS,
    TSS2,
    TSS2_SELECTOR,
    TSS16,
    TSS16_BUSY,
    TSS32,
    TSS32_BUSY,
    TSS_SELECTOR,
    UD,
    W_DATA,
    X_CODE,
    Machine,
    gate,
    segment,
)

from pyv86_nb.engine.exceptions import NAMES
from pyv86_nb.engine.isa import flags as F

THERE, X, TSS3 = 0x14000, FREE * 8, 0x3A00              # code of the other task; a third task's state
OLD, NEW = TSS_SELECTOR >> 3, TSS2_SELECTOR >> 3
SEGMENTS = "es", "cs", "ss", "ds", "fs", "gs"
GENERAL = "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"


def far(verb, selector):
    return bytes([0x9A if verb == "call" else 0xEA]) + bytes(4) + selector.to_bytes(2, "little")


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    machine.memory.write(THERE, b"\xcd\x80")
    task(machine)
    return machine


def task(m, level=0, wide=True, **changes):
    """Fill the other TSS."""
    v = {"eip": THERE, "eflags": 2, "cr3": 0, "ldt": 0, "link": 0, "esp": STACK[level] - 0x800, "es": DATA_OF[level], "cs": CODE_OF[level],
         "ss": DATA_OF[level], "ds": DATA_OF[level], "fs": 0, "gs": 0, "trap": 0}
    v |= {n: 0x11111111 * (i + 1) for i, n in enumerate(GENERAL) if n != "esp"} | changes
    if wide:
        m.put(TSS2, v["link"], STACK[0] - 0x400, DATA_OF[0])
        m.put(TSS2 + 0x1C, v["cr3"], v["eip"], v["eflags"], *(v[n] for n in GENERAL), *(v[n] for n in SEGMENTS), v["ldt"], v["trap"] | 0x680000)
    else:
        words = [v["eip"], v["eflags"], *(v[n] for n in GENERAL), *(v[n] for n in SEGMENTS[:4]), v["ldt"]]
        m.memory.write(TSS2 + 0x0E, b"".join((w & 0xFFFF).to_bytes(2, "little") for w in words))
        m.memory.write(TSS2 + 2, (STACK[0] - 0x400 & 0xFFFF).to_bytes(2, "little") + DATA_OF[0].to_bytes(2, "little"))


@pytest.mark.parametrize("verb", ["call", "jmp"])
def test_switch(m, verb):
    """8.3: the old state is saved, the new loaded; table 8-2: busy bits, NT, the link; CR0.TS is set."""
    m.p.set("gdtr", (0x1000, 0x3FF))
    start = {n: 0x01010101 * (i + 1) for i, n in enumerate(GENERAL) if n != "esp"}
    m.put(TSS + 0x1C, 0x777000)
    end = m.run(far(verb, TSS2_SELECTOR), eflags=F.CF | F.DF | 2, **start, fs=DATA_OF[0])
    assert end.vector == 0x80 and end.frame[:2] == [THERE + 2, CODE_OF[0]]
    assert all(getattr(end, n) == 0x11111111 * (i + 1) for i, n in enumerate(GENERAL) if n != "esp")
    assert end.esp == STACK[0] - 0x80C and end.tr == TSS2_SELECTOR and end.cr0 & 8
    assert end.frame[2] == (F.NT | 2 if verb == "call" else 2)
    assert m.gdt.kind(NEW) == TSS32_BUSY and m.gdt.kind(OLD) == (TSS32_BUSY if verb == "call" else TSS32)
    assert m.word(TSS2) == (TSS_SELECTOR if verb == "call" else 0)
    saved = [m.word(TSS + 0x20 + 4 * i) for i in range(10)]
    assert saved == [CODE + 7, F.CF | F.DF | 2, *(start.get(n, STACK[0]) for n in GENERAL)]
    assert [m.word(TSS + 0x48 + 4 * i, 2) for i in range(6)] == [0x10, 0x08, 0x10, 0x10, 0x10, 0]
    assert m.word(TSS + 0x1C) == 0x777000, "8.2.1: CR3 and the LDT selector are static"


def test_there_and_back(m):
    """8.4: IRET with NT goes back by the link; both busy bits and NT follow table 8-2."""
    m.memory.write(THERE, b"\xcf\xcd\x80")
    end = m.run(far("call", TSS2_SELECTOR) + b"\xcd\x80", eax=5)
    assert end.vector == 0x80 and end.frame[:3] == [CODE + 9, 8, 2] and end.eax == 5 and end.tr == TSS_SELECTOR
    assert m.gdt.kind(NEW) == TSS32 and m.gdt.kind(OLD) == TSS32_BUSY
    assert m.word(TSS2 + 0x20) == THERE + 1 and m.word(TSS2 + 0x24) & F.NT == 0, "NT is cleared in the image of the old task"
    assert m.run(far("call", TSS2_SELECTOR) + b"\xcd\x80").frame[:2] == [THERE + 3, 8], "which goes on behind its IRET"


def test_task_gates(m):
    """8.2.5: in the GDT, the LDT or the IDT; the gate's DPL counts, not the TSS's."""
    m.gdt[FREE] = gate(TSS2_SELECTOR, 0, TASK_GATE, 3)
    assert m.run(far("call", X | 3), 3).tr == TSS2_SELECTOR
    m.__init__(m.p.tier)
    task(m)
    m.let_int_80()
    assert m.run(far("call", TSS2_SELECTOR | 3), 3).fault == (GP, TSS2_SELECTOR), "whose DPL is 0"
    m.ldt[1] = gate(TSS2_SELECTOR, 0, TASK_GATE, 3)
    assert m.run(far("jmp", 0xF), 3).tr == TSS2_SELECTOR


@pytest.mark.parametrize("how, error", [(b"\xcd\x30", None), (b"\x0f\x0b", None), ("mov ds, eax", 0x400)])
def test_interrupt_through_a_task_gate(m, how, error):
    """6.12.2 and 8.4: as CALL, and "the error code is copied to the stack of the new task"."""
    m.idt[0x30] = m.idt[UD] = m.idt[GP] = gate(TSS2_SELECTOR, 0, TASK_GATE)
    end = m.run(how, eax=0x400, eflags=F.IF | 2)
    assert end.vector == 0x80 and end.tr == TSS2_SELECTOR and end.frame[2] == F.NT | 2
    assert m.word(TSS2, 2) == TSS_SELECTOR and m.word(TSS + 0x20) == CODE + (2 if how == b"\xcd\x30" else 0)
    assert end.esp == STACK[0] - 0x80C - (0 if error is None else 4)
    if error is not None:
        assert m.word(end.esp + 12) == error
        assert m.word(TSS + 0x24) & F.RF, "a fault"


@pytest.mark.parametrize("descriptor, fault", [
    (segment(TSS2, 0x66, TSS32, big=0), (TS, X)),               # 8.2.2: "a limit less than 67h"
    (segment(TSS2, 0x67, TSS32, big=0, present=0), (NP, X)),
    (segment(TSS2, 0x67, TSS32_BUSY, big=0), (GP, X)),          # tasks are not recursive
    (segment(TSS2, 0x2A, TSS16, big=0), (TS, X)),
    (segment(TSS2, 0x67, LDT_TYPE, big=0), (GP, X)),
])
@pytest.mark.parametrize("verb", ["call", "jmp", "gate", "int"])
def test_bad_tss(m, verb, descriptor, fault):
    """Checked before anything of the old task has gone (table 8-1): the fault is the old task's."""
    m.gdt[FREE] = descriptor
    m.gdt[FREE + 1] = m.idt[0x30] = gate(X, 0, TASK_GATE)
    end = m.run({"gate": far("call", X + 8), "int": b"\xcd\x30"}.get(verb) or far(verb, X))
    assert end.fault == fault and end.frame[:2] == [CODE, 8] and end.tr == TSS_SELECTOR and m.gdt.kind(OLD) == TSS32_BUSY


@pytest.mark.parametrize("changes, fault", [
    ({"ldt": 0x400}, (TS, 0x400)), ({"ldt": 4}, (TS, 4)), ({"ldt": 0x10}, (TS, 0x10)), ({"ldt": X}, (TS, X)),
    ({"cs": 0x10}, (TS, 0x10)), ({"cs": 0x400}, (TS, 0x400)), ({"ss": 0x400}, (TS, 0x400)), ({"ss": 0x23}, (TS, 0x20)), ({"ss": 0}, (TS, 0)),
    ({"ds": 0x400}, (TS, 0x400)), ({"es": TSS_SELECTOR}, (TS, TSS_SELECTOR)), ({"fs": X + 8}, (NP, X + 8)), ({"gs": X + 16}, (TS, X + 16)),
    ({"eip": 0x14000, "cs": X + 24}, (GP, 0)),
])
def test_bad_new_state(m, changes, fault):
    """Table 8-1: once the switch is committed, faults are of the new task: its CS:EIP is what the handler finds."""
    m.gdt[FREE] = segment(LDT, 0xFF, LDT_TYPE, present=0)
    m.gdt[FREE + 1] = segment(0, 0xFFFFF, W_DATA, present=0)
    m.gdt[FREE + 2] = segment(0, 0xFFFFF, X_CODE)
    m.gdt[FREE + 3] = segment(0, 0xFFF, X_CODE)
    task(m, **changes)
    m.idt[TS] = m.idt[NP] = m.idt[GP] = 0
    vector = fault[0]
    m.idt[vector] = gate(TSS_SELECTOR, 0, TASK_GATE)    # a task of its own sees it, whatever state the new one is in
    m.put(TSS, 0)
    m.run(far("jmp", TSS2_SELECTOR))
    assert m.p.faults[0] == f"{ {TS: '#TS', NP: '#NP', GP: '#GP'}[vector]}({fault[1]:#x})"
    assert m.word(TSS2 + 0x20) == THERE, "saved again as the state of the new task"


Y, Z = X + 8, X + 16
CONDITIONS = [  # what is wrong with the new task; the descriptors; the exception and what its error code names
    ("LDT selector beyond the GDT", {"ldt": 0x400}, {}, (TS, 0x400)), ("LDT selector of the LDT", {"ldt": 4}, {}, (TS, 4)),
    ("LDT is none", {"ldt": X}, {0: segment(0, 0xFFF, W_DATA)}, (TS, X)),
    ("LDT not present", {"ldt": X}, {0: segment(LDT, 0xFF, LDT_TYPE, present=0)}, (TS, X)),
    ("CS null", {"cs": 0}, {}, (TS, 0)), ("CS beyond the GDT", {"cs": 0x400}, {}, (TS, 0x400)), ("CS is data", {"cs": 0x10}, {}, (TS, 0x10)),
    ("CS, DPL above RPL", {"cs": X}, {0: segment(0, 0xFFFFF, X_CODE, 3)}, (TS, X)), ("CS, DPL below RPL", {"cs": X | 3}, {0: segment(0, 0xFFFFF, X_CODE)}, (TS, X)),
    ("conforming CS, DPL above RPL", {"cs": X | 1}, {0: segment(0, 0xFFFFF, X_CODE | CONFORM, 2)}, (TS, X)),
    ("CS not present", {"cs": X}, {0: segment(0, 0xFFFFF, X_CODE, present=0)}, (NP, X)),
    ("SS null", {"ss": 0}, {}, (TS, 0)), ("SS beyond the GDT", {"ss": 0x400}, {}, (TS, 0x400)), ("SS is code", {"ss": 0x08}, {}, (TS, 0x08)),
    ("SS not writable", {"ss": X}, {0: segment(0, 0xFFFFF, R_DATA)}, (TS, X)), ("SS, RPL is not CPL", {"ss": 0x13}, {}, (TS, 0x10)),
    ("SS, DPL is not CPL", {"ss": X}, {0: segment(0, 0xFFFFF, W_DATA, 3)}, (TS, X)),
    ("SS not present", {"ss": X}, {0: segment(0, 0xFFFFF, W_DATA, present=0)}, (SS, X)),
    *((f"{s} {why}", {s: selector}, given, fault) for s in ("es", "ds", "fs", "gs") for why, selector, given, fault in (
        ("beyond the GDT", 0x400, {}, (TS, 0x400)), ("is a TSS", TSS_SELECTOR, {}, (TS, TSS_SELECTOR)),
        ("is not readable", Y, {1: segment(0, 0xFFFFF, X_CODE)}, (TS, Y)), ("not present", Y, {1: segment(0, 0xFFFFF, W_DATA, present=0)}, (NP, Y)))),
    *((f"{s}, DPL below {what}", {"cs": CODE_OF[3], "ss": DATA_OF[3], "es": DATA_OF[3], "ds": DATA_OF[3], s: selector}, {}, (TS, 0x10))
      for s in ("es", "ds", "fs", "gs") for what, selector in (("CPL", 0x10), ("RPL", 0x13))),
    ("EIP beyond the limit", {"cs": X, "eip": THERE}, {0: segment(0, 0xFFF, X_CODE)}, (GP, 0)),
]


@pytest.mark.parametrize("changes, descriptors, fault", [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS])
@pytest.mark.parametrize("verb", ["jmp", "call", "int", "exception", "iret"])
def test_table_of_conditions(m, verb, changes, descriptors, fault):
    """Table 8-1 (7-1), conditions 5 to 18, in each way to switch: a fault of the new task, with its selector; EXT where an event leads there."""
    for n, d in descriptors.items():
        m.gdt[FREE + n] = d
    task(m, **changes)
    if verb == "iret":
        m.gdt[NEW] = segment(TSS2, 0x67, TSS32_BUSY, big=0)
        m.put(TSS, TSS2_SELECTOR)
    m.gdt[FREE + 8] = segment(TSS3, 0x67, TSS32, big=0)
    for v in (TS, NP, SS, GP):                          # a task of its own sees it, whatever state the new one is in
        m.idt[v] = gate(X + 64, 0, TASK_GATE)
    m.memory.write(TSS3, m.memory.read(TSS2, 0x68))
    clean = dict(zip(SEGMENTS, (0x10, 8, 0x10, 0x10, 0, 0), strict=True))
    m.put(TSS3 + 0x20, CODE + 0x800, 2)
    m.put(TSS3 + 0x48, *(clean[n] for n in SEGMENTS), 0)
    m.put(TSS3 + 0x38, STACK[0] - 0x1000)
    m.memory.write(CODE + 0x800, b"\xf4")
    m.idt[0x30] = m.idt[UD] = gate(TSS2_SELECTOR, 0, TASK_GATE)
    code = {"int": b"\xcd\x30", "exception": b"\x0f\x0b", "iret": b"\xcf"}.get(verb) or far(verb, TSS2_SELECTOR)
    end = m.run(code, eflags=F.NT | 2 if verb == "iret" else 2)
    external = 1 if verb == "exception" else 0
    assert end.eip == CODE + 0x801 and m.p.faults[-1] == f"{NAMES[fault[0]]}({fault[1] | external:#x})"
    assert m.word(end.esp) == fault[1] | external and end.tr == X + 64
    assert m.word(TSS3, 2) == TSS2_SELECTOR, "the task that faulted is the new one"
    assert m.word(TSS2 + 0x20) == changes.get("eip", THERE), "of which nothing has run"


def test_outer_task(m):
    task(m, level=3, eflags=F.IF | 0x3000 | 2)
    end = m.run(far("jmp", TSS2_SELECTOR))
    assert end.vector == 0x80 and end.frame[1:5] == [CODE_OF[3], F.IF | 0x3002, STACK[3] - 0x800, DATA_OF[3]]


def test_sixteen_bit_tss(m):
    """8.6: IP, FLAGS and the 16-bit registers; FS and GS are not in it."""
    m.gdt[NEW] = segment(TSS2, 0x2B, TSS16, big=0)
    m.gdt[FREE] = segment(0, 0xFFFF, X_CODE)
    m.gdt[FREE + 1] = segment(0, 0xFFFF, W_DATA, big=0)
    m.memory.write(0x4000, b"\xcd\x80")
    task(m, wide=False, cs=X, eip=0x4000, ss=X + 8, esp=0x4F00, eflags=0x8D7, edi=0x1234)
    end = m.run(far("call", TSS2_SELECTOR), gs=DATA_OF[0])
    assert end.vector == 0x80 and end.edi & 0xFFFF == 0x1234 and end.gs == 0 and m.gdt.kind(NEW) == TSS16_BUSY
    assert m.word(TSS2, 2) == TSS_SELECTOR and end.esp & 0xFFFF == 0x4F00 - 12
    assert [m.word(0x4F00 - 12 + 4 * i) for i in range(3)] == [0x4002, X, 0x8D7 | F.NT]


def test_debug_trap(m):
    """17.3.1.5: T in the new TSS: #DB before its first instruction, DR6.BT."""
    task(m, trap=1)
    end = m.run(far("jmp", TSS2_SELECTOR))
    assert end.fault == (DB, None) and end.frame[0] == THERE and end.dr6 & 0x8000


def test_local_breakpoints_end_with_the_task(m):
    """17.2.4: "the processor automatically clears" L0 to L3 "on every task switch"."""
    m.p.set("dr7", 0x4FF)
    assert m.run(far("jmp", TSS2_SELECTOR)).dr7 == 0x4AA


def test_double_fault_by_task_gate(m):
    """6.15, #DF: a task gate gives the handler a stack that can be trusted."""
    m.idt[DF] = gate(TSS2_SELECTOR, 0, TASK_GATE)
    m.idt[GP] = 0
    end = m.run("mov ds, eax", eax=0x400)
    assert end.vector == 0x80 and end.tr == TSS2_SELECTOR and m.word(end.esp + 12) == 0


def test_bad_link(m):
    """IRET with NT: #TS(link) for what is no busy TSS of the GDT."""
    for link, error in ((TSS2_SELECTOR, TSS2_SELECTOR), (0x404, 0x404), (0x10, 0x10), (0x400, 0x400)):
        m.put(TSS, link)
        end = m.run(".byte 0xCF", eflags=F.NT | 2)
        assert end.fault == (TS, error) and end.frame[0] == CODE


# LTR, LLDT

def test_ltr(m):
    assert m.run("ltr ax; str bx; sldt cx", eax=TSS2_SELECTOR).ebx == TSS2_SELECTOR and m.gdt.kind(NEW) == TSS32_BUSY
    assert m.p.get("ecx") == LDT_SELECTOR
    assert m.run("ltr ax", eax=TSS2_SELECTOR).fault == (GP, TSS2_SELECTOR), "busy now"
    assert m.run("ltr ax", eax=0).fault == (GP, 0)
    assert m.run("ltr ax", eax=0x10).fault == (GP, 0x10)
    assert m.run("ltr ax", eax=LDT_SELECTOR | 4).fault == (GP, LDT_SELECTOR | 4)
    m.gdt[FREE] = segment(TSS2, 0x67, TSS32, big=0, present=0)
    assert m.run("ltr ax", eax=X).fault == (NP, X)
    assert m.run("lldt ax", eax=TSS2_SELECTOR).fault == (GP, TSS2_SELECTOR)
    assert m.run("lldt ax; nop", eax=0).fault is None and m.p.get("ldtr") == 0
    m.gdt[FREE] = segment(LDT, 0xFF, LDT_TYPE, present=0)
    assert m.run("lldt ax", eax=X).fault == (NP, X)


# THE I/O PERMISSION BITMAP

@pytest.mark.parametrize("port, size, iopl, bitmap, allowed", [
    (0x60, 1, 3, None, True), (0x60, 1, 0, {}, True), (0x60, 1, 0, {0x60}, False), (0x60, 1, 0, {0x61}, True),
    (0x60, 2, 0, {0x61}, False), (0x60, 4, 0, {0x63}, False), (0x60, 4, 0, {0x64}, True),
    (0x67, 2, 0, {0x68}, False),                                # "the processor reads two bytes of the bit map"
    (0x7F, 1, 0, {}, True), (0x80, 1, 0, {}, False), (0x7F, 2, 0, {}, False),     # beyond the limit: as if the bits were set
    (0x60, 1, 0, None, False),                                  # a base beyond the limit: no map
])
@pytest.mark.parametrize("string", [False, True])
def test_io_permission(m, port, size, iopl, bitmap, allowed, string):
    if bitmap is not None:
        bits = bytearray(0x10) + b"\xff"
        for p in bitmap:
            bits[p >> 3] |= 1 << (p & 7)
        m.memory.write(TSS + 0x68, bits)
        m.p.cpu.segment[7].limit = 0x68 + 0x10
    al = {1: "al", 2: "ax", 4: "eax"}[size]
    text = f"ins{ {1: 'b', 2: 'w', 4: 'd'}[size] }" if string else f"in {al}, dx"
    end = m.run(f"{text}; int 0x80", 3, edx=port, eflags=iopl << 12 | 2, edi=DATA)
    assert end.vector == 0x80 if allowed else end.fault == (GP, 0)


def test_io_needs_a_32_bit_tss(m):
    m.p.cpu.segment[7].rights = 0x80 | TSS16_BUSY
    m.p.cpu.segment[7].limit = 0xFFF
    m.memory.write(TSS + 2, b"\0\x48" + DATA_OF[0].to_bytes(2, "little"))
    assert m.run("in al, dx", 3, edx=0x60).fault == (GP, 0)
    assert m.run("in al, dx; int 0x80", 2, edx=0x60, eflags=0x2002).vector == 0x80

def test_page_faults_of_the_switch_are_the_old_tasks(m):
    """8.3, step 5: "checks that the current (old) TSS, new TSS, and all segment descriptors used ... are paged into memory"."""
    for page in range(256):
        m.put(0x40000 + 4 * page, page << 12 | 3)
    m.put(0x41000, 0x40003)
    m.gdt[NEW] = segment(0x50FF0, 0x67, TSS32, big=0)   # its second page is not there
    m.put(0x40000 + 4 * 0x51, 0)
    m.p.set("cr3", 0x41000)
    m.p.set("cr0", 0x80000011)
    end = m.run(far("call", TSS2_SELECTOR))
    assert end.vector == 14 and end.frame[0] == CODE and end.tr == TSS_SELECTOR and end.cr2 == 0x51000
    assert m.gdt.kind(OLD) == TSS32_BUSY and m.gdt.kind(NEW) == TSS32 and m.word(TSS + 0x20) == 0

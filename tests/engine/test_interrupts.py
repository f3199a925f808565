"""Delivery of interrupts and exceptions, and IRET: SDM volume 3, chapter 6, and volume 2, INT n and IRET."""
import pytest
from protected_machine import (
    BP,
    BR,
    CODE,
    CODE_OF,
    CONFORM,
    DATA,
    DATA_OF,
    DB,
    DE,
    DF,
    FREE,
    GP,
    HANDLERS,
    INT16,
    INT32,
    NM,
    NP,
    OF,
    PF,
    R_CODE,
    SS,
    STACK,
    TASK_GATE,
    TIERS,
    TRAP16,
    TRAP32,
    TS,
    TSS,
    UD,
    W_DATA,
    X_CODE,
    Machine,
    gate,
    segment,
)

from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.reasons import TRIPLE_FAULT

X, Y = FREE * 8, FREE * 8 + 8
INT_30 = b"\xcd\x30"
IF, TF, NT, RF, AC, ID, IOPL3 = F.IF, F.TF, F.NT, F.RF, F.AC, F.ID, 0x3000


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    return machine


# GATES: 6.12

@pytest.mark.parametrize("kind", [INT16, TRAP16, INT32, TRAP32])
@pytest.mark.parametrize("cpl", [0, 3])
def test_frame_and_flags(m, kind, cpl):
    """6.12.1: EFLAGS, CS, EIP; from an outer level SS and ESP before.  6.12.1.3: "clears the TF flag", NT, RF, VM; "an interrupt
    gate also clears IF"."""
    size = 2 if kind in (INT16, TRAP16) else 4
    m.idt[0x30] = gate(0x08, HANDLERS + 0x30, kind, 3)
    flags = IF | NT | AC | ID | 0xD7 | (IOPL3 if cpl else 0)
    end = m.run(INT_30, cpl, eflags=flags)
    assert end.vector == 0x30 and end.cpl == 0 and end.cs == 0x08
    kept = flags & ~NT if kind in (TRAP16, TRAP32) else flags & ~(NT | IF)
    assert end.eflags == kept
    frame = [m.word(end.esp + size * i, size) for i in range(5 if cpl else 3)]
    cut = (1 << 8 * size) - 1
    assert frame[:3] == [CODE + 2 & cut, CODE_OF[cpl], flags & cut]
    if cpl:
        assert frame[3:] == [STACK[3] & cut, DATA_OF[3]] and end.esp == STACK[0] - 5 * size


@pytest.mark.parametrize("what, cpl, fault", [
    (gate(0x08, 0, INT32, 2), 3, (GP, 0x30 * 8 + 2)),           # 6.12.1.1: software: "the CPL must be ... less than or equal to the DPL"
    (gate(0x08, 0, INT32, 3, present=0), 3, (NP, 0x30 * 8 + 2)),
    (gate(0x08, 0, INT32, 0, present=0), 3, (GP, 0x30 * 8 + 2)),  # privilege first
    (gate(0x08, 0, 12, 3), 3, (GP, 0x30 * 8 + 2)),              # a call gate
    (0, 0, (GP, 0x30 * 8 + 2)),
    (gate(0, 0, INT32, 3), 0, (GP, 0)),                         # null selector
    (gate(0x400, 0, INT32, 3), 0, (GP, 0x400)),
    (gate(0x10, 0, INT32, 3), 0, (GP, 0x10)),                   # not code
    (gate(0x1B, 0, INT32, 3), 0, (GP, 0x18)),                   # less privileged than the CPL
    (gate(X, 0, INT32, 3), 0, (NP, X)),
    (gate(Y, 0x2000, INT32, 3), 0, (GP, 0)),                    # the offset is beyond the limit
    (gate(X, 0, TASK_GATE, 3), 0, (GP, X)),
    (gate(0x4C, 0, TASK_GATE, 3), 0, (GP, 0x4C)),               # a task gate to the LDT
])
def test_bad_gates(m, what, cpl, fault):
    """EXT is 0 for INT n (6.13); the frame is that of the INT itself."""
    m.idt[0x30] = what
    m.gdt[FREE], m.gdt[FREE + 1] = segment(0, 0xFFFF, X_CODE, 0, present=0), segment(0, 0xFFF, X_CODE, 0)
    end = m.run(INT_30, cpl)
    assert end.fault == fault and end.frame[:2] == [CODE, CODE_OF[cpl]]


@pytest.mark.parametrize("what, error", [
    (gate(0x08, 0, INT32, 0, present=0), (NP, UD * 8 + 3)), (0, (GP, UD * 8 + 3)), (gate(0x10, 0, INT32), (GP, 0x11)),
    (gate(0, 0, INT32), (GP, 1)), (gate(X, 0, INT32), (NP, X | 1)), (gate(Y, 0x2000, INT32), (GP, 1))])
def test_external_bit(m, what, error):
    """6.13: EXT "indicates that the exception occurred during delivery of ... an earlier exception", here #UD."""
    m.idt[UD] = what
    m.gdt[FREE], m.gdt[FREE + 1] = segment(0, 0xFFFF, X_CODE, 0, present=0), segment(0, 0xFFF, X_CODE, 0)
    end = m.run(b"\x0f\x0b")
    assert end.fault == error and end.frame[0] == CODE
    assert m.run("mov ds, eax", eax=0x400).fault == (GP, 0x400), "and is gone afterwards"


def test_limit_of_the_idt(m):
    m.p.set("idtr", (0x2000, 0x30 * 8 + 6))
    assert m.run(INT_30).fault == (GP, 0x30 * 8 + 2)


def test_int3_and_into_and_int1(m):
    """vol. 2: INT3 and INTO check the gate's DPL, INT1 does not; RF is clear in their image and EIP is behind them."""
    for code, vector in ((b"\xcc", BP), (b"\x70\0\xce", OF), (b"\xf1", DB)):
        end = m.run(code, 3, eflags=F.OF | 2)
        at = CODE + len(code) - 1
        if vector == DB:
            assert end.fault == (DB, None) and end.frame[0] == CODE + 1
        else:
            assert end.fault == (GP, vector * 8 + 2) and end.frame[0] == at
        m.idt[vector] = gate(0x08, HANDLERS + vector, INT32, 3)
        end = m.run(code, 3, eflags=F.OF | 2)
        assert end.fault == (vector, None) and end.frame[0] == at + 1 and end.frame[2] & RF == 0
    assert m.run("into; int 0x80", 3).vector == 0x80


def test_conforming_handler(m):
    """6.12.1: "a nonconforming code segment with DPL below the CPL: switch; conforming: no stack switch, the CPL stays"."""
    m.gdt[FREE] = segment(0, 0xFFFFF, R_CODE | CONFORM, 0)
    m.idt[0x30] = gate(X, DATA, INT32, 3)
    m.memory.write(DATA, b"\xcd\x80")
    end = m.run(INT_30, 3)
    assert end.vector == 0x80 and end.frame[:2] == [DATA + 2, X | 3] and end.frame[3] == STACK[3] - 12


@pytest.mark.parametrize("text, fault, rf", [
    ("xor ecx, ecx; div ecx", (DE, None), 1), (b"\x0f\x0b", (UD, None), 1), ("bound eax, [0x30000]", (BR, None), 1),
    ("mov eax, cr0; or eax, 8; mov cr0, eax; fnop", (NM, None), 1), ("lock nop", (UD, None), 1), (b"\x0f\xff", (UD, None), 1)])
def test_faults_have_rf(m, text, fault, rf):
    """17.3.1.1: "the processor sets RF in the image of EFLAGS pushed ... for any fault-class exception except debug"."""
    text = text if isinstance(text, bytes) else text.replace("lock nop", ".byte 0xF0, 0x90")
    end = m.run(text, eax=0x80000000)
    assert end.fault == fault and bool(end.frame[2] & RF) == rf


def test_error_code_is_pushed_by_the_width_of_the_gate(m):
    m.idt[GP] = gate(0x08, HANDLERS + GP, INT16)
    end = m.run("mov ds, eax", eax=0x400)
    assert [m.word(end.esp + 2 * i, 2) for i in range(4)] == [0x400, 0, 8, 2] and end.esp == STACK[0] - 8


# DOUBLE AND TRIPLE FAULTS: table 6-5

CHAINS = [  # the first fault, the vectors whose gates are broken, what comes of it
    ("mov ds, eax", {GP: 0}, ["#GP(0x400)", "#GP(0x6b)", "#DF(0x0)"]),                          # contributory, contributory
    ("mov ds, eax", {GP: gate(8, 0, INT32, present=0)}, ["#GP(0x400)", "#NP(0x6b)", "#DF(0x0)"]),
    ("ud2", {UD: 0}, ["#UD(0x0)", "#GP(0x33)"]),                                                # benign, contributory
    ("ud2", {UD: 0, GP: 0}, ["#UD(0x0)", "#GP(0x33)", "#GP(0x6b)", "#DF(0x0)"]),
    ("xor ecx, ecx; div ecx", {DE: 0}, ["#DE(0x0)", "#GP(0x3)", "#DF(0x0)"]),
    ("mov ds, eax", {GP: 0, DF: 0}, ["#GP(0x400)", "#GP(0x6b)", "#DF(0x0)", "#GP(0x43)"]),      # shutdown
]


@pytest.mark.parametrize("text, broken, chain", CHAINS)
def test_double_fault(m, text, broken, chain):
    for v, what in broken.items():
        m.idt[v] = what
    end = m.run(text, eax=0x400)
    assert m.p.faults == chain
    if DF in broken:
        assert end.why == TRIPLE_FAULT
    elif "#DF" in chain[-1]:
        assert end.fault == (DF, 0), "an error code of 0"


def test_page_fault_chains(m):
    """Page fault then page fault or contributory: #DF; contributory then page fault: one after the other."""
    for page in range(256):
        m.put(0x40000 + 4 * page, page << 12 | 7)
    m.put(0x41000, 0x40007)
    m.put(0x40000 + 4 * 0x50, 0)                        # nobody at 50000h

    def run(text):
        m.p.set("cr3", 0x41000)
        m.p.set("cr0", 0x80000011)
        end = m.run(text, eax=0x400)
        m.p.set("cr0", 0x11)
        return end
    assert run("mov eax, [0x50000]").fault == (PF, 0)
    m.idt[PF] = 0
    assert run("mov eax, [0x50000]").fault == (DF, 0) and m.p.faults == ["#PF(0x0)", "#GP(0x73)", "#DF(0x0)"]
    m.idt[PF] = gate(0x08, HANDLERS + PF, INT32)
    run("mov esp, 0x50010; mov eax, [0x50000]")
    assert m.p.faults[:3] == ["#PF(0x0)", "#PF(0x2)", "#DF(0x0)"] and m.p.faults[3] == "#PF(0x2)"
    end = run("mov esp, 0x51004; mov ds, eax")          # #GP, whose frame does not fit
    assert m.p.faults[:2] == ["#GP(0x400)", "#PF(0x2)"] and m.p.get("cr2") == 0x50FFC
    assert end.why == TRIPLE_FAULT, "the frame of the page fault does not fit either"


def test_reset_after_a_triple_fault(m):
    m.p.set("idtr", (0, 0))
    assert m.run(b"\x0f\x0b").why == TRIPLE_FAULT
    m.__init__(m.p.tier)
    assert m.run("mov ds, eax", eax=0x400).fault == (GP, 0x400)


# IRET

@pytest.mark.parametrize("cpl, iopl, allowed", [(0, 0, IF | IOPL3), (3, 0, 0), (3, 3, IF), (1, 1, IF), (1, 0, 0)])
@pytest.mark.parametrize("how", ["iret", "popf"])
def test_who_may_change_iopl_and_if(m, cpl, iopl, allowed, how):
    """vol. 2, POPF and IRET: IOPL at CPL 0 only; IF where CPL <= IOPL."""
    want = IF | IOPL3 | AC | ID | NT | F.OF | F.DF | F.CF | 2
    before = iopl << 12 | 2
    end = m.run(".byte 0xCF" if how == "iret" else "push dword ptr [esp + 8]; popfd; jmp done\n.org 0x20\ndone: int 0x80", cpl, eflags=before,
                **({} if how == "popf" else {"esp": STACK[cpl] - 12}), **self_frame(m, cpl, want))
    expected = want & ~(IF | IOPL3) | want & allowed | before & (IOPL3 & ~allowed)
    assert end.vector == 0x80 and end.frame[2] == expected


def self_frame(m, cpl, want):
    """EIP, CS, EFLAGS for a return to CODE + 20h."""
    m.put(STACK[cpl] - 12, CODE + 0x20, CODE_OF[cpl], want)
    m.memory.write(CODE + 0x20, b"\xcd\x80")
    m.put(STACK[cpl] + 8 - 0, want)
    return {}


def test_iret_keeps_iopl_by_the_old_level(m):
    """The CPL that counts is the one before the return."""
    m.put(STACK[0] - 20, CODE + 0x20, CODE_OF[3], IF | IOPL3 | 2, STACK[3], DATA_OF[3])
    m.memory.write(CODE + 0x20, b"\xcd\x80")
    end = m.run(".byte 0xCF", esp=STACK[0] - 20)
    assert end.frame[1:3] == [CODE_OF[3], IF | IOPL3 | 2] and end.frame[3:5] == [STACK[3], DATA_OF[3]]


def test_iret_16(m):
    m.memory.write(STACK[0] - 6, b"\x20\x00\x08\x00\x02\x02")
    m.memory.write(0x20, b"\xcd\x80")
    end = m.run(b"\x66\xcf", esp=STACK[0] - 6, eflags=AC | 2)
    assert end.vector == 0x80 and end.frame[:3] == [0x22, 8, AC | IF | 2]


# TRAP FLAG: 17.3.1.4

def test_single_step(m):
    """ "after each instruction"; #DB is a trap, DR6.BS says why; the handler runs with TF clear."""
    end = m.run("nop; nop; nop", eflags=TF | 2)
    assert end.fault == (DB, None) and end.frame[0] == CODE + 1 and end.frame[2] == TF | 2 and end.dr6 & 0x4000 and end.eflags & TF == 0
    end = m.run("push 0x102; popfd; nop; nop")
    assert end.frame[0] == CODE + 7, "set by POPF: after the instruction that follows"
    end = m.run("mov eax, ss; mov ss, eax; nop; nop", eflags=2)
    end = m.run("mov ss, eax; nop; nop", eflags=TF | 2, eax=0x10)
    assert end.frame[0] == CODE + 3, "6.8.3: MOV SS holds traps back until the next instruction is over"
    m.idt[0x30] = gate(0x08, DATA, INT32)
    m.memory.write(DATA, b"\x90\xf4")
    end = m.run(INT_30, eflags=TF | 2)
    assert end.eip == DATA + 2, "INT n clears TF and no trap comes for it"


@pytest.mark.parametrize("code, registers", [("rep movsb", ("esi", "edi")), ("rep stosb", ("edi",)), ("repe cmpsb", ("esi", "edi")),
                                             ("rep lodsb", ("esi",)), ("repne scasb", ("edi",))])
def test_single_step_of_repeated_strings(m, code, registers):
    """17.3.1.4 and vol. 2, REP: the trap comes after each iteration, with EIP at the instruction until it is over."""
    end = m.run(code + "; nop", eflags=TF | 2, ecx=3, esi=DATA, edi=DATA + 64, eax=7)
    assert end.fault == (DB, None) and end.frame[0] == CODE and end.ecx == 2
    assert all(getattr(end, r) in (DATA + 1, DATA + 65) for r in registers)
    end = m.run(code + "; nop", eflags=TF | 2, ecx=1, esi=DATA, edi=DATA + 64, eax=7)
    assert end.fault == (DB, None) and end.frame[0] == CODE + 2 and end.ecx == 0


def test_shadow_of_sti(m):
    """vol. 2, STI: "the processor begins to respond to external ... interrupts after the next instruction is executed"."""
    end = m.run("sti; cli; hlt")
    assert end.halted and end.vector is None and end.eflags & IF == 0


def test_icebp_is_external_to_ext(m):
    m.idt[DB] = 0
    assert m.run(b"\xf1").fault == (GP, DB * 8 + 3)
    assert m.run(b"\xcd\x01").fault == (GP, DB * 8 + 2)


def test_stack_of_the_handler(m):
    """6.12.1: the new stack's faults are #TS(selector + EXT) and #SS(selector + EXT)."""
    m.gdt[FREE] = segment(0, 0x1FFFF, W_DATA | 4, 0)    # expand-down: nothing below 20000h
    m.gdt[FREE + 1] = segment(0, 0xFFFFF, X_CODE, 1)
    m.idt[0x30], m.idt[UD] = gate(Y, HANDLERS + 0x30, INT32, 3), gate(Y, HANDLERS + UD, INT32)
    m.put(TSS + 12, STACK[1], 0x400)
    assert m.run(INT_30, 3).fault == (TS, 0x400)
    assert m.run(b"\x0f\x0b", 3).fault == (TS, 0x401)
    m.gdt[FREE] = segment(0, 0xFFFFF, W_DATA, 1, present=0)
    m.put(TSS + 12, STACK[1], X | 1)
    assert m.run(INT_30, 3).fault == (SS, X)
    assert m.run(b"\x0f\x0b", 3).fault == (SS, X | 1)
    m.gdt[FREE] = segment(0, 0xFF, W_DATA, 1)
    assert m.run(b"\x0f\x0b", 3).fault == (SS, X | 1)


@pytest.mark.parametrize("cpl", [0, 3])
def test_rf_is_over_after_one_instruction(m, cpl):
    """17.3.1.1: RF that IRET has set is clear once the next instruction is done, and so in the image that INT pushes after it."""
    m.put(STACK[0] - 20, CODE + 0x20, CODE_OF[cpl], RF | 2, STACK[3], DATA_OF[3])
    m.memory.write(CODE + 0x20, b"\x90\xcd\x80")
    end = m.run(".byte 0xCF", esp=STACK[0] - 20)
    assert end.vector == 0x80 and end.frame[0] == CODE + 0x23 and end.frame[2] == 2
    m.put(STACK[0] - 20, CODE + 0x20, CODE_OF[cpl], RF | 2, STACK[3], DATA_OF[3])
    m.memory.write(CODE + 0x20, b"\x0f\x0b")
    assert m.run(".byte 0xCF", esp=STACK[0] - 20).frame[2] == RF | 2, "of a fault it is set anyway"


@pytest.mark.parametrize("cpl, iopl", [(0, 0), (0, 3), (3, 0), (3, 3)])
@pytest.mark.parametrize("before", [0, F.VIF, F.VIP, F.VIF | F.VIP])
def test_popfd_leaves_vif_and_vip(m, cpl, iopl, before):
    """vol. 2, POPF, table 4-21: VIP and VIF "N", unaffected, in each mode.  (The pseudo-code of older editions has POPFD clear both.)"""
    m.let_int_80()
    for image in (F.VIF | F.VIP, 0):
        end = m.run(f"push {image | 2}; popfd; int 0x80", cpl, eflags=before | iopl << 12 | 2)
        assert end.vector == 0x80 and end.frame[2] & (F.VIF | F.VIP) == before


@pytest.mark.parametrize("text, moved", [("rep stosd", ("edi",)), ("rep movsd", ("esi", "edi")), ("repne scasd", ("edi",)), ("repe cmpsd", ("esi", "edi")),
                                         ("rep lodsd", ("esi",)), ("rep outsd", ("esi",)), ("rep insd", ("edi",))])
def test_a_fault_within_a_repeated_string(m, text, moved):
    """vol. 2, REP: "the source and destination registers point to the next string elements to be operated on, EIP points to the string
    instruction, and ECX has the value it held following the last successful iteration"; 17.3.1.1: RF is set in the image, so that a
    breakpoint there does not come again when the handler returns."""
    m.let_int_80()
    m.gdt[FREE] = segment(DATA, 0xFFF, W_DATA | 1)
    prefix = "" if "edi" in moved else ".byte 0x26; "                        # what only reads does so through ES too
    esi = DATA + 0xFF0 if "edi" in moved else 0xFF0
    end = m.run(f"mov es, edx; mov dx, 0x80; {prefix}{text}", eax=1, edx=FREE * 8, ecx=8, esi=esi, edi=0xFF0)
    assert end.fault == (GP, 0) and end.frame[0] == CODE + 6 and end.frame[2] & F.RF
    assert (end.ecx, end.edi, end.esi) == (4, 0xFF0 + 16 * ("edi" in moved), esi + 16 * ("esi" in moved))

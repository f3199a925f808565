"""Virtual-8086 mode and real mode with foreign limits: SDM volume 3, chapter 20 (21), and 9.9."""
import pytest
from protected_machine import (
    BP,
    CODE_OF,
    CONFORM,
    DATA_OF,
    FREE,
    GP,
    HANDLERS,
    INT16,
    INT32,
    OF,
    R_CODE,
    SS,
    STACK,
    TASK_GATE,
    TIERS,
    TRAP32,
    TSS,
    TSS2,
    TSS2_SELECTOR,
    TSS_SELECTOR,
    UD,
    X_CODE,
    Machine,
    gate,
    segment,
)

from pyv86_nb.demo.assemble import assemble
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.reasons import TRIPLE_FAULT

X = FREE * 8
V86_FRAME = [0x2000, 0x3000, 0x3000, 0x3000, 0x3000]    # SS ES DS FS GS, as Machine.vm86 loads them


@pytest.fixture(params=TIERS)
def m(request):
    return Machine(request.param)


# VIRTUAL-8086 MODE

def test_entry_and_exit(m):
    """20.2.5 and 20.3.1.1: IRET at CPL 0 with VM set enters; an exception leaves to level 0, with all segments on its stack."""
    end = m.vm86("mov ax, cs; mov bx, ds; mov byte ptr [4], 9; ud2", eax=0, ebx=0)
    assert end.fault == (UD, None) and end.cpl == 0 and end.eax == 0x1000 and end.ebx == 0x3000
    assert m.memory.read(0x30004, 1) == b"\x09"
    eip, cs, eflags, esp, *segments = end.frame
    assert (eip, cs, esp, segments[:5]) == (9, 0x1000, 0x1000, V86_FRAME) and eflags == F.VM | F.RF | 2
    assert end.eflags & F.VM == 0 and end.esp == STACK[0] - 36
    assert (end.ds, end.es, end.fs, end.gs, end.ss) == (0, 0, 0, 0, DATA_OF[0]), "20.3.1.1: the data segments are null"


def test_back_again(m):
    m.memory.write(HANDLERS + UD, b"\x83\x04\x24\x02\xcf")                  # add dword [esp], 2; iretd
    m.idt[GP] = gate(8, 0x5400, INT32)
    m.memory.write(0x5400, b"\xf4")
    end = m.vm86("mov ax, 1; ud2; mov bx, ds; mov cx, ss; hlt", eax=0)
    assert (end.eax & 0xFFFF, end.ebx & 0xFFFF, end.ecx & 0xFFFF) == (1, 0x3000, 0x2000) and end.eip == 0x5401


def test_what_iret_checks(m):
    """vol. 2, IRET, RETURN-TO-VIRTUAL-8086-MODE: #GP(0) if EIP is not within the limit of 64 KiB; above CPL 0 VM stays clear."""
    m.let_int_80()
    m.memory.write(0x8000, b"\xcf")
    frame = [0x1000, F.VM | 2, 0x1000, *V86_FRAME]
    m.put(STACK[0] - 0x400, 0x10000, *frame)
    end = m.run(None, at=0x8000, esp=STACK[0] - 0x400)
    assert end.fault == (GP, 0) and end.frame[:2] == [0x8000, 8] and end.frame[2] & F.VM == 0
    m.put(STACK[3] - 0x400, 0x8001, CODE_OF[3], F.VM | 2)
    m.memory.write(0x8001, b"\xcd\x80")
    end = m.run(None, 3, at=0x8000, esp=STACK[3] - 0x400)
    assert end.vector == 0x80 and end.frame[2] & F.VM == 0


@pytest.mark.parametrize("text", ["cli", "sti", "pushf", "popf", "int 0x21", "iret", "hlt", ".byte 0x66; pushf", ".byte 0x66; iret"])
def test_sensitive_to_iopl(m, text):
    """20.2.7: CLI STI PUSHF POPF INT n IRET are #GP(0) with IOPL below 3, and work at 3; HLT is never allowed."""
    end = m.vm86(text, iopl=2)
    assert end.fault == (GP, 0) and end.frame[:2] == [0, 0x1000] and end.frame[3] == 0x1000
    end = m.vm86(text + "; ud2", iopl=3)
    if text == "hlt":
        assert end.fault == (GP, 0)
    elif text == "int 0x21":
        assert end.fault == (GP, 0x21 * 8 + 2), "to the IDT, whose gate has DPL 0"
    elif "iret" in text:
        assert end.fault != (GP, 0)
    else:
        assert end.fault == (UD, None)


def test_not_sensitive(m):
    """INT3 and INTO go by the gate's DPL alone (20.3.2); IN and OUT by the bitmap alone (20.2.8.1)."""
    end = m.vm86("int3")
    assert end.fault == (GP, BP * 8 + 2)
    m.idt[BP] = m.idt[OF] = gate(8, HANDLERS + BP, INT32, 3)
    assert m.vm86("int3").fault == (BP, None)
    assert m.vm86("mov al, 0x7F; inc al; into").frame[0] == 5
    assert m.vm86("in al, 0x60", iopl=3).fault == (GP, 0)
    m.memory.write(TSS + 0x68, bytes(16) + b"\xff")
    m.p.cpu.segment[S.TR].limit = 0x78
    assert m.vm86("in al, 0x60; ud2", iopl=0).fault == (UD, None)


@pytest.mark.parametrize("text", ["arpl ax, bx", "lar ax, bx", "lsl ax, bx", "verr ax", "verw ax", "sldt ax", "str ax", "lldt ax", "ltr ax"])
def test_not_recognized(m, text):
    """20.2.7 and 20.1.3: "#UD: the instructions that work on segment selectors are not recognized"."""
    assert m.vm86(text).fault == (UD, None)


@pytest.mark.parametrize("text", ["lgdt [0]", "lidt [0]", "mov eax, cr0", "mov cr0, eax", "clts", "lmsw ax", "invd", "wrmsr"])
def test_privileged(m, text):
    """20.1: the program runs at CPL 3."""
    assert m.vm86(text).fault == (GP, 0)


@pytest.mark.parametrize("handler, error", [(segment(0, 0xFFFFF, X_CODE, 3), X), (segment(0, 0xFFFFF, R_CODE | CONFORM, 0), X),
                                            (segment(0, 0xFFFFF, X_CODE, 1), X)])
def test_only_to_level_0(m, handler, error):
    """20.3.1.1: "#GP(selector) if the handler's code segment is conforming or its DPL is not 0"."""
    m.gdt[FREE] = handler
    m.idt[0x21] = gate(X | 3, HANDLERS + 0x21, INT32, 3)
    assert m.vm86("int 0x21", iopl=3).fault == (GP, error)


def test_int_n_to_the_monitor(m):
    """20.3.3, method 5 without VME: INT n at IOPL 3 through a gate of DPL 3, at IOPL 0 a #GP the monitor reads."""
    m.idt[0x21] = gate(8, HANDLERS + 0x21, TRAP32, 3)
    end = m.vm86("int 0x21", iopl=3, eflags=F.VM | 0x3000 | F.IF | 2)
    assert end.fault == (0x21, None) and end.frame[:3] == [2, 0x1000, F.VM | 0x3000 | F.IF | 2] and end.eflags & F.IF
    end = m.vm86("int 0x21")
    assert end.fault == (GP, 0) and m.memory.read(end.frame[1] * 16 + end.frame[0], 2) == b"\xcd\x21"


def test_through_a_16_bit_gate(m):
    m.idt[UD] = gate(8, HANDLERS + UD, INT16)
    end = m.vm86("ud2")
    assert end.vector == UD and [m.word(end.esp + 2 * i, 2) for i in range(2)] == [0, 0x1000] and end.esp == STACK[0] - 18


def test_addresses(m):
    """20.1.1: 20 bits and a carry; the limit of every segment is FFFFh."""
    assert m.vm86("mov ax, [0xFFFF]").fault == (GP, 0)
    assert m.vm86("mov bp, 0xFFFF; mov ax, [bp]").fault == (SS, 0)
    assert m.vm86("mov eax, 0x10000; mov bl, [eax]").fault == (GP, 0)
    assert m.vm86("mov bl, [0xFFFF]; ud2").fault == (UD, None)


def test_flags_of_popf_and_iret(m):
    """At IOPL 3 POPF and IRET change IF and not IOPL; VM cannot be changed."""
    m.let_int_80()
    end = m.vm86("push 0x0202; popf; int 0x80", iopl=3)
    assert end.vector == 0x80 and end.frame[2] == F.VM | 0x3202
    end = m.vm86("push 0; push 0; .byte 0x68; .word 0x1000; push 0x20; .byte 0x66; iret", iopl=3)
    assert end.vector is not None
    m.memory.write(0x10020, b"\xcd\x80")
    end = m.vm86(".byte 0x66; push 2; .byte 0x66,0x68; .long 0x1000; .byte 0x66; push 0x20; .byte 0x66; iret\n.org 0x20\nint 0x80", iopl=3)
    assert end.vector == 0x80 and end.frame[:3] == [0x22, 0x1000, F.VM | 0x3002]


@pytest.mark.parametrize("back", [False, True])
def test_by_a_task_switch(m, back):
    """20.2.5: a TSS whose EFLAGS has VM; 20.3.1.3: through a task gate the state, VM and all, is saved in the TSS."""
    m.memory.write(0x10000, b"\x8c\xdb\x0f\x0b")        # mov bx, ds; ud2
    m.put(TSS2, 0, STACK[0] - 0x400, DATA_OF[0])
    m.put(TSS2 + 0x1C, 0, 0, F.VM | 2, *[0] * 4, 0x1000, *[0] * 3, 0x3000, 0x1000, 0x2000, 0x3000, 0x3000, 0x3000, 0, 0x680000)
    if back:
        m.idt[UD] = gate(TSS_SELECTOR, 0, TASK_GATE)
    end = m.run(b"\xea\0\0\0\0" + TSS2_SELECTOR.to_bytes(2, "little"), at=0x8000)
    if back:
        assert end.halted and end.eip == 0x8008 and end.tr == TSS_SELECTOR and end.eflags == F.NT | 2
        assert [m.word(TSS2 + 4 * i) for i in (8, 9, 13)] == [2, F.VM | F.RF | 2, 0x3000]
        assert [m.word(TSS2 + 0x48 + 4 * i) for i in range(6)] == [0x3000, 0x1000, 0x2000, 0x3000, 0x3000, 0x3000]
    else:
        assert end.fault == (UD, None) and end.frame[1] == 0x1000 and end.ebx == 0x3000


@pytest.mark.parametrize("text", ["nop", "pushf", "cli", "sti", "popf", "mov es, ax", "les ax, [0]", "enter 0, 0", "pusha", "rdtsc", "cpuid", "fninit"])
def test_each_is_a_single_step(m, text):
    """vol. 3, 17.3.1.4: a trap after it, by whatever it is done."""
    image = F.VM | F.TF | 0x3000 | 2
    m.memory.write(0x21000, (0x3102).to_bytes(2, "little"))                # POPF: TF again
    end = m.vm86(text, eflags=image, eax=0)
    assert end.vector == 1 and end.dr6 & 0x4000 and end.frame[0] == len(assemble(text, 0, bits=16))


def test_single_step_in_vm86(m):
    end = m.vm86("nop; nop", eflags=F.VM | F.TF | 2)
    assert end.vector == 1 and end.frame[:3] == [1, 0x1000, F.VM | F.TF | 2] and end.eflags & F.TF == 0


# REAL MODE AFTER PROTECTED MODE

def real(m, text, segments="", at=0x8000):
    """Protected mode at 8000h, then `text` in real mode; halts."""
    m.gdt[FREE] = segment(0, 0xFFFF, X_CODE, big=0)
    m.gdt[FREE + 1] = segment(0, 0xFFFFFFFF, 0x12)
    m.gdt[FREE + 2] = segment(0x30000, 0xFF, 0x12, big=0)
    m.gdt[FREE + 3] = segment(0, 0xFFFF, 0x10, big=0)   # read only
    source = f"""
        mov eax, {X + 8}; mov ss, eax; {segments}
        .byte 0xEA; .long sixteen; .word {X}
    .code16
    sixteen: mov eax, cr0; and al, 0xFE; mov cr0, eax
        .byte 0xEA; .word real, 0
    real: xor ax, ax
        {text}
    """
    m.p.set("idtr", (0, 0x3FF))
    for v in range(256):
        m.memory.write(4 * v, (HANDLERS + v).to_bytes(4, "little"))
    return m.run(source, at=at)


def test_big_real_mode(m):
    """9.9.2 and 3.4.3: real mode loads bases only; the limits of the descriptor cache stay, so 4 GiB can be reached."""
    m.memory.write(0x7F000, b"\x77\x66")
    end = real(m, "mov ds, ax; mov ebx, 0x7F000; mov cl, [ebx]; mov ax, 0x1000; mov ds, ax; mov ch, [ebx - 0xFFFF]", f"mov eax, {X + 8}; mov ds, eax")
    assert end.halted and end.vector is None and end.ecx & 0xFFFF == 0x6677 and end.ds == 0x1000 and end.cs == 0 and end.cpl == 0


def test_small_limits_stay_too(m):
    """9.9.2, step 4: which is why "segments ... limit 64 KBytes" must be loaded before."""
    end = real(m, "mov es, ax; mov cl, es:[0xFF]; mov cl, es:[0x100]", f"mov eax, {X + 16}; mov es, eax")
    assert end.vector == GP and end.halted


def test_rights_do_not_matter_in_real_mode(m):
    end = real(m, "mov byte ptr [0x400], 5; mov al, 9; mov cs:[0x401], al", f"mov eax, {X + 24}; mov ds, eax")
    assert end.halted and end.vector is None and m.memory.read(0x400, 2) == b"\x05\x09"


def test_exceptions_in_real_mode(m):
    """20.1.4: FLAGS, CS, IP; no error code, no gate; #GP beyond the limit of the IDT becomes a double fault, then a shutdown."""
    end = real(m, "mov cl, es:[0xFFFF]; there: mov cx, es:[0xFFFF]", f"mov eax, {X + 24}; mov es, eax")
    sp = end.esp                                        # SS has B set: that stays as well
    assert end.vector == GP and end.cs == 0 and [m.word(sp + 2 * i, 2) for i in range(3)] == [m.labels["there"], 0, m.word(sp + 4, 2)]
    m.__init__(m.p.tier)
    end = real(m, "lidt cs:[0x600]; ud2")
    assert end.why == TRIPLE_FAULT and m.p.faults == ["#UD(0x0)", "#GP(0x1)", "#GP(0x1)", "#DF(0x0)", "#GP(0x1)"]


@pytest.mark.parametrize("text", ["arpl ax, bx", "lar ax, bx", "lsl ax, bx", "verr ax", "verw ax", "sldt ax", "str ax", "lldt ax", "ltr ax"])
def test_not_recognized_in_real_mode(m, text):
    assert real(m, text).vector == UD

"""Instructions for systems: SDM volume 3, 5.10 (pointer validation), 2.5 and 2.7 (control registers), volume 2, CPUID."""
import pytest
from protected_machine import (
    CALL16,
    CALL32,
    CODE,
    CONFORM,
    DATA,
    EXPAND_DOWN,
    FREE,
    GP,
    INT16,
    INT32,
    LDT_TYPE,
    NM,
    R_CODE,
    R_DATA,
    TASK_GATE,
    TIERS,
    TRAP32,
    TSS16,
    TSS16_BUSY,
    TSS32,
    TSS32_BUSY,
    UD,
    W_DATA,
    X_CODE,
    Machine,
    segment,
)

from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa.steps import RDTSC_TICKS

X = FREE * 8
SYSTEM = [TSS16, LDT_TYPE, TSS16_BUSY, CALL16, TASK_GATE, INT16, 7, 8, TSS32, 10, TSS32_BUSY, CALL32, 13, INT32, TRAP32, 0]
LAR_VALID = {TSS16, LDT_TYPE, TSS16_BUSY, CALL16, TASK_GATE, TSS32, TSS32_BUSY, CALL32}           # vol. 2, LAR, table 3-53
LSL_VALID = {TSS16, LDT_TYPE, TSS16_BUSY, TSS32, TSS32_BUSY}                                       # vol. 2, LSL, table 3-56


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    return machine


def zf(m, text, cpl, **registers):
    end = m.run(text + "; int 0x80", cpl, eflags=F.ZF | F.CF | F.OF | 2 if registers.pop("set_", 0) else F.CF | F.OF | 2, **registers)
    assert end.vector == 0x80 and end.frame[2] & (F.CF | F.OF) == F.CF | F.OF, "only ZF changes"
    return end.frame[2] & F.ZF != 0, end


# LAR, LSL, VERR, VERW: 5.10

@pytest.mark.parametrize("kind", SYSTEM)
def test_lar_and_lsl_of_system_segments(m, kind):
    m.gdt[FREE] = segment(0x123456, 0x789, kind, 3, big=0)
    ok, end = zf(m, "lar ecx, eax", 3, eax=X, ecx=0x55)
    assert ok == (kind in LAR_VALID) and end.ecx == (0xE000 | kind << 8 if ok else 0x55)
    ok, end = zf(m, "lsl ecx, eax", 3, eax=X, ecx=0x55, set_=1)
    assert ok == (kind in LSL_VALID) and end.ecx == (0x789 if ok else 0x55)
    for text in ("verr ax", "verw ax"):
        assert not zf(m, text, 3, eax=X, set_=1)[0], "not a code or data segment"


@pytest.mark.parametrize("kind", [R_DATA, W_DATA, R_DATA | EXPAND_DOWN, W_DATA | EXPAND_DOWN, X_CODE, R_CODE, X_CODE | CONFORM, R_CODE | CONFORM])
@pytest.mark.parametrize("dpl, cpl, rpl", [(0, 0, 0), (3, 3, 3), (0, 3, 3), (2, 1, 3), (2, 1, 2), (1, 2, 0)])
def test_visible_segments(m, kind, dpl, cpl, rpl):
    """Visible where CPL <= DPL and RPL <= DPL; conforming code always."""
    m.gdt[FREE] = segment(DATA, 0x5FFF, kind, dpl, pages=1, present=0)
    conforming = kind & (8 | CONFORM) == 8 | CONFORM
    visible = conforming or (cpl <= dpl and rpl <= dpl)
    ok, end = zf(m, "lar ecx, eax", cpl, eax=X | rpl, ecx=0)
    assert ok == visible and end.ecx == (0xC00000 | kind << 8 | dpl << 13 if ok else 0), "presence does not matter"
    ok, end = zf(m, "lsl ecx, eax", cpl, eax=X | rpl, ecx=0)
    assert ok == visible and end.ecx == (0x5FFF if ok else 0), "in bytes"
    readable, writable = not kind & 8 or kind & 2, not kind & 8 and kind & 2
    assert zf(m, "verr ax", cpl, eax=X | rpl)[0] == bool(visible and readable)
    assert zf(m, "verw ax", cpl, eax=X | rpl, set_=1)[0] == bool(visible and not conforming and writable)


def test_no_descriptor_is_no_fault(m):
    """ "If the segment selector is null or outside the table ... ZF is cleared"."""
    for text in ("lar ecx, eax", "lsl ecx, eax", "verr ax", "verw ax"):
        for selector in (0, 3, 0x400, 0x104):
            assert not zf(m, text, 3, eax=selector, set_=1)[0]
    assert m.run("verr [ecx]", 3, ecx=0, ds=0).fault == (GP, 0), "but the operand may"


def test_16_bit_results(m):
    m.gdt[FREE] = segment(DATA, 0x12345678, W_DATA | 1, 3)
    assert zf(m, "lar cx, ax", 3, eax=X, ecx=0x55555555)[1].ecx == 0x5555F300
    assert zf(m, "lsl cx, ax", 3, eax=X, ecx=0x55555555)[1].ecx == 0x55555FFF
    assert zf(m, "lsl ecx, eax", 3, eax=X)[1].ecx == 0x12345FFF


@pytest.mark.parametrize("a, b, result, changed", [(0x50, 3, 0x53, True), (0x53, 0, 0x53, False), (0x51, 2, 0x52, True), (0x52, 2, 0x52, False)])
def test_arpl(m, a, b, result, changed):
    ok, end = zf(m, "arpl cx, ax", 3, eax=b, ecx=0x77770000 | a, set_=not changed)
    assert ok == changed and end.ecx == 0x77770000 | result
    m.put(DATA, 0x77770000 | a)
    assert zf(m, f"arpl [{DATA}], ax", 3, eax=b)[0] == changed and m.word(DATA) == 0x77770000 | result


# CONTROL REGISTERS

def test_lmsw_and_smsw(m):
    """vol. 2: LMSW loads PE, MP, EM, TS; "cannot be used to clear the PE flag"; SMSW works at any CPL."""
    end = m.run("lmsw ax; smsw ecx; smsw dx; clts; smsw ebx", eax=0xFFFE, edx=0x77770000)
    assert end.ecx == 0x1F and end.edx == 0x7777001F and end.ebx == 0x17 and end.cpl == 0
    end = m.run("lmsw ax; smsw ecx", eax=0)
    assert end.ecx == 0x11
    m.run(f"smsw [{DATA}]; lmsw word ptr [{DATA + 4}]")
    assert m.word(DATA) == 0x11


def test_lmsw_enters_protected_mode(m):
    m.p.set("cr0", 0x10)
    m.p.real()
    m.memory.write(0x8000, b"\x0f\x01\xf0\xf4")          # lmsw ax; hlt
    m.p.set("eax", 1)
    m.p.set("eip", 0x8000)
    m.p.run(10)
    assert m.p.get("cr0") == 0x11 and m.p.cpu.halted
    m.p.set("cr0", 0x11)


def test_coprocessor_not_available(m):
    """2.5, table 2-2 (EM, TS): ESC; MP with TS: WAIT."""
    for value, esc, wait in ((0, False, False), (4, True, False), (8, True, False), (10, True, True), (2, False, False), (12, True, False)):
        for code, faults in ((b"\xd9\xd0", esc), (b"\x9b", wait)):
            m.p.set("cr0", 0x11 | value)
            end = m.run(code)
            assert (end.fault == (NM, None)) == faults, (value, code)
    m.p.set("cr0", 0x11)


def test_mov_control(m):
    """vol. 2, MOV CR: CR1 and above 4 are #UD; mod is taken for 3; ET is 1 whatever is written."""
    for code in (b"\x0f\x20\xc8", b"\x0f\x22\xc8", b"\x0f\x20\xe8", b"\x0f\x22\xf8"):
        assert m.run(code).fault == (UD, None)
    assert m.run(b"\x0f\x20\x01").ecx == 0x11
    assert m.run("mov cr0, eax; mov ecx, cr0", eax=0x60000001).ecx == 0x60000011
    assert m.run("mov cr2, eax; mov ecx, cr2", eax=0x12345678).ecx == 0x12345678
    assert m.run("mov cr3, eax; mov ecx, cr3", eax=0xFFFFFFFF).ecx == 0xFFFFFFFF, "bits that paging ignores (4.3, table 4-3)"
    m.p.set("cr3", 0)


def test_debug_registers(m):
    """17.2: DR4 and DR5 are DR6 and DR7 with DE clear; fixed bits."""
    assert m.run("mov dr0, eax; mov ecx, dr0; mov dr3, eax; mov edx, dr3", eax=0xDEADBEEF).ecx == 0xDEADBEEF
    end = m.run("mov dr6, eax; mov ecx, dr6; mov ebx, dr4; mov dr7, edx; mov edx, dr5", eax=0, edx=0)
    assert (end.ecx, end.ebx, end.edx) == (0xFFFF0FF0, 0xFFFF0FF0, 0x400)


def test_cpuid_and_its_flag(m):
    """vol. 1, 20.1.2: a program that can change EFLAGS.ID has CPUID; leaf 1 offers what works here."""
    toggle = "pushfd; pop eax; mov ecx, eax; xor eax, 0x200000; push eax; popfd; pushfd; pop eax; xor eax, ecx"
    assert m.run(toggle, 0).eax == 0x200000 and m.run(toggle + "; int 0x80", 3).eax == 0x200000
    end = m.run("cpuid", eax=0)
    assert end.eax == 7 and b"".join(r.to_bytes(4, "little") for r in (end.ebx, end.edx, end.ecx)) == b"GenuineIntel"
    end = m.run("cpuid", eax=1)
    assert end.eax == 0x6F6
    for bit, text in ((3, "mov eax, 0x10; mov cr4, eax"), (4, "rdtsc"), (5, "mov ecx, 0x10; rdmsr"), (8, f"cmpxchg8b [{DATA}]"), (15, "cmovz eax, ebx")):
        assert end.edx >> bit & 1 and m.run(text).fault is None
        m.p.set("cr4", 0)
        end = m.run("cpuid", eax=1)


def test_time_stamp(m):
    """vol. 2, RDTSC: CR4.TSD keeps it for level 0; it counts up."""
    end = m.run("rdtsc; mov ebx, eax; nop; nop; rdtsc; sub eax, ebx")
    assert end.eax == 4 + RDTSC_TICKS                                      # four instructions, one of them slow as on a P6
    m.p.set("cr4", 4)
    assert m.run("rdtsc", 3).fault == (GP, 0) and m.run("rdtsc").fault is None
    m.p.set("cr4", 0)


def test_descriptor_tables(m):
    """vol. 2, LGDT: with a 16-bit operand size the base has 24 bits; SGDT stores six bytes."""
    m.memory.write(DATA, b"\xff\x03\x00\x10\x00\x99")
    end = m.run(f".byte 0x66; lgdt [{DATA}]; sgdt [{DATA + 8}]")
    assert end.gdtr == (0x1000, 0x3FF) and m.memory.read(DATA + 8, 6) == b"\xff\x03\x00\x10\x00\x00"
    m.memory.write(DATA, b"\xff\x07\x00\x20\x00\x00")
    assert m.run(f"lidt [{DATA}]; sidt [{DATA + 8}]").idtr == (0x2000, 0x7FF)
    assert m.run(b"\x0f\x01\xd0").fault == (UD, None), "a register is no place for it"
    m.gdt[FREE] = segment(DATA, 4, W_DATA)
    before = m.memory.read(DATA, 6)
    assert m.run("sgdt [0]", ds=X).fault == (GP, 0) and m.memory.read(DATA, 6) == before


# ENTER, LEAVE, PUSHA, BOUND

def test_enter_with_levels(m):
    """vol. 2, ENTER: the frame pointers of the enclosing procedures are copied, then that of the new frame."""
    for i in range(4):
        m.put(DATA - 4 * i, 0x100 + i)
    end = m.run("enter 16, 3", ebp=DATA)
    top = 0x20000
    assert end.ebp == top - 4 and end.esp == top - 16 - 16
    assert [m.word(top - 4 * i) for i in range(1, 5)] == [DATA, 0x101, 0x102, top - 4]
    m.gdt[FREE] = segment(0, 0x1FFFF - 64, W_DATA | EXPAND_DOWN)
    end = m.run("enter 64, 0", ss=X, ebp=7)
    assert m.p.faults[0] == "#SS(0x0)" and end.ebp == 7, "the new top is not within the limit"


def test_sixteen_bit_stack(m):
    """vol. 3, 6.2.3: with B clear SP is used, and the upper half of ESP stays."""
    m.gdt[FREE] = segment(0x10000, 0xFFFF, W_DATA, big=0)
    end = m.run("push eax; pushad; popad; pop ecx; push ax", ss=X, esp=0x77770000, eax=0x12345678)
    assert end.ecx == 0x12345678 and end.esp == 0x7777FFFE and m.word(0x1FFFE, 2) == 0x5678
    end = m.run("enter 4, 0; leave", ss=X, esp=0x77778000, ebp=0x55556666)
    assert end.esp == 0x77778000 and end.ebp == 0x55556666


def test_code_through_a_16_bit_segment(m):
    """3.4.5: with D clear operands and addresses have 16 bits; prefixes turn that round."""
    m.gdt[FREE] = segment(CODE, 0xFFFF, X_CODE, big=0)
    m.assemble("mov ax, 0x1234; mov ebx, 0x12345678; mov ecx, [esi]; jmp over; nop; over: hlt", bits=16)
    m.put(DATA, 0x99)
    end = m.run(None, cs=X, eip=0, eax=0xFFFF0000, esi=DATA)
    assert end.halted and end.eax == 0xFFFF1234 and end.ebx == 0x12345678 and end.ecx == 0x99
    assert m.p.cpu.mode & S.D32 == 0

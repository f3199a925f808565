"""Protection of segments: SDM volume 3, chapters 3 and 5.   The oracle is the rule quoted in each test."""
import pytest
from protected_machine import (
    CODE,
    CODE_OF,
    CONFORM,
    DATA,
    DATA_OF,
    EXPAND_DOWN,
    FREE,
    GP,
    LDT_TYPE,
    NP,
    R_CODE,
    R_DATA,
    SS,
    TIERS,
    TSS32,
    UD,
    W_DATA,
    X_CODE,
    Machine,
    segment,
)

from pyv86_nb.engine.reasons import TRIPLE_FAULT

X = FREE * 8                                            # the selector under test


@pytest.fixture(params=TIERS)
def m(request):
    return Machine(request.param)


# LOADING A SEGMENT REGISTER: SDM vol. 2, MOV; vol. 3, 5.6 and 5.7

@pytest.mark.parametrize("descriptor, cpl, rpl, fault", [
    (segment(DATA, 0xFFF, W_DATA, 0), 0, 0, None),
    (segment(DATA, 0xFFF, W_DATA, 0), 0, 3, (GP, X)),           # "RPL and CPL ... numerically less than or equal to the DPL"
    (segment(DATA, 0xFFF, W_DATA, 2), 3, 0, (GP, X)),
    (segment(DATA, 0xFFF, W_DATA, 3), 3, 3, None),
    (segment(DATA, 0xFFF, W_DATA, 1), 0, 1, None),
    (segment(DATA, 0xFFF, R_CODE, 0), 0, 0, None),              # a readable code segment is data
    (segment(DATA, 0xFFF, R_CODE, 0), 3, 3, (GP, X)),
    (segment(DATA, 0xFFF, X_CODE, 3), 3, 3, (GP, X)),           # an execute-only one is not
    (segment(DATA, 0xFFF, R_CODE | CONFORM, 0), 3, 3, None),    # "conforming: accessible from any privilege level"
    (segment(DATA, 0xFFF, X_CODE | CONFORM, 0), 0, 0, (GP, X)),
    (segment(DATA, 0xFFF, W_DATA, 0, present=0), 0, 0, (NP, X)),
    (segment(DATA, 0xFFF, W_DATA, 0, present=0), 3, 3, (GP, X)),  # privilege before presence
    (segment(DATA, 0xFFF, TSS32, 3), 3, 3, (GP, X)),            # system segments never
    (segment(DATA, 0xFFF, LDT_TYPE, 0), 0, 0, (GP, X)),
    (0, 0, 0, (GP, X)),
])
@pytest.mark.parametrize("register", ["ds", "gs"])
def test_data_segments(m, register, descriptor, cpl, rpl, fault):
    m.gdt[FREE] = descriptor
    m.let_int_80()
    end = m.run(f"mov {register}, eax; int 0x80", cpl, eax=X | rpl)
    if fault:
        assert end.fault == fault and end.frame[0] == CODE
        assert getattr(end, register) in (DATA_OF[cpl], 0), "an instruction that faults has changed nothing"
        assert m.gdt.kind(FREE) == descriptor >> 40 & 0x1F
    else:
        assert end.vector == 0x80 and getattr(end, register) == X | rpl
        assert m.gdt.kind(FREE) & 1, "3.4.5.1: the accessed bit is set when the register is loaded"


@pytest.mark.parametrize("descriptor, cpl, rpl, fault", [
    (segment(DATA, 0xFFF, W_DATA, 0), 0, 0, None),
    (segment(DATA, 0xFFF, W_DATA, 0), 0, 1, (GP, X)),           # 5.7: "CPL, RPL of the selector and DPL ... must be the same"
    (segment(DATA, 0xFFF, W_DATA, 1), 0, 0, (GP, X)),
    (segment(DATA, 0xFFF, W_DATA, 3), 0, 3, (GP, X)),
    (segment(DATA, 0xFFF, W_DATA, 3), 3, 3, None),
    (segment(DATA, 0xFFF, R_DATA, 0), 0, 0, (GP, X)),           # must be writable
    (segment(DATA, 0xFFF, R_CODE, 0), 0, 0, (GP, X)),
    (segment(DATA, 0xFFF, W_DATA, 0, present=0), 0, 0, (SS, X)),
])
def test_stack_segment(m, descriptor, cpl, rpl, fault):
    m.gdt[FREE] = descriptor
    m.let_int_80()
    end = m.run("mov ss, eax; nop; int 0x80", cpl, eax=X | rpl, esp=0x800)
    assert end.fault == fault if fault else end.vector == 0x80


def test_null_selectors(m):
    """SDM vol. 2, MOV: SS null is #GP(0); 3.4.2: DS null loads, and an access through it is #GP(0).  CS: #UD."""
    assert m.run("mov ss, eax", eax=0).fault == (GP, 0)
    assert m.run("mov ss, eax", eax=3).fault == (GP, 0)
    end = m.run("mov ds, eax; mov ebx, [0x30000]", eax=2)
    assert end.fault == (GP, 0) and end.ds == 2 and end.frame[0] == CODE + 2
    assert m.run(b"\x8e\xc8").fault == (UD, None)
    assert m.run("push 0; pop ss").fault == (GP, 0)
    assert m.run("xor eax, eax; mov es, eax; mov edi, 0x30000; stosb").fault == (GP, 0)


def test_beyond_the_table(m):
    """3.5.1: "the processor generates #GP when ... an access beyond the limit of a descriptor table"."""
    assert m.run("mov ds, eax", eax=0x400).fault == (GP, 0x400)
    m.p.set("gdtr", (0x1000, X + 6))                    # the last byte of the descriptor is missing
    assert m.run("mov ds, eax", eax=X).fault == (GP, X)
    assert m.run("mov ds, eax", eax=0x104).fault == (GP, 0x104)         # TI is part of the error code; the LDT ends at FFh


def test_local_descriptors(m):
    m.ldt[3] = segment(DATA, 0xFF, W_DATA)
    m.put(DATA + 0x10, 0x12345678)
    end = m.run("mov ds, eax; mov ebx, [0x10]", eax=3 << 3 | 4)
    assert end.ebx == 0x12345678 and m.ldt.kind(3) == W_DATA | 1
    end = m.run("xor ebx, ebx; lldt bx; mov ds, eax", eax=3 << 3 | 4)   # a null LDTR: every reference is #GP(selector)
    assert end.fault == (GP, 3 << 3 | 4)


@pytest.mark.parametrize("how, vector, error", [("ss", SS, 0), ("ds", GP, 0)])
def test_pops_that_fault_leave_the_stack_pointer(m, how, vector, error):
    """POP of a bad selector: ESP is as before, so the program can be restarted (6.5)."""
    m.gdt[FREE] = segment(DATA, 0xFFF, R_DATA if how == "ss" else X_CODE)
    end = m.run(f"push {X}; pop {how}")
    assert end.fault == (GP, X) and end.esp == 0x20000 - 4 - 16


# LIMITS: 5.3

@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("write", [False, True])
def test_limit_of_expand_up(m, size, write):
    """"any attempt to access ... a byte at an offset greater than the limit; a word at an offset greater than limit - 1 ..."."""
    m.gdt[FREE] = segment(DATA, 0xFFF, W_DATA)
    register = {1: "bl", 2: "bx", 4: "ebx"}[size]
    access = f"mov [ecx], {register}" if write else f"mov {register}, [ecx]"
    assert m.run(f"mov ds, eax; {access}", eax=X, ecx=0x1000 - size).fault is None
    for ecx in (0x1001 - size, 0x1000, 0xFFFFFFFF - size + 1):
        end = m.run(f"mov ds, eax; {access}", eax=X, ecx=ecx, ebx=0x55)
        assert end.fault == (GP, 0) and end.frame[0] == CODE + 2 and end.ebx == 0x55


@pytest.mark.parametrize("big, last", [(1, 0xFFFFFFFF), (0, 0xFFFF)])
def test_limit_of_expand_down(m, big, last):
    """5.3: "the range of valid offsets is from (limit + 1) to FFFFFFFFh if the B flag is set, to FFFFh if it is clear"."""
    m.gdt[FREE] = segment(0, 0x2FFF, W_DATA | EXPAND_DOWN, big=big)
    read = "mov ds, eax; mov ebx, [ecx]"
    assert m.run(read, eax=X, ecx=0x3000).fault is None
    assert m.run(read, eax=X, ecx=last - 3).fault is None
    for ecx in (0, 0x2FFC, 0x2FFD, 0x2FFF, *([0xFFFD, 0x10000] if not big else [])):
        assert m.run(read, eax=X, ecx=ecx).fault == (GP, 0), hex(ecx)


def test_limit_in_pages(m):
    """5.3: with G set "the twelve low-order bits of an offset are not checked against the limit"."""
    m.gdt[FREE] = segment(DATA, 0, W_DATA, pages=1)
    assert m.run("mov ds, eax; mov ebx, [0xFFC]", eax=X).fault is None
    assert m.run("mov ds, eax; mov ebx, [0xFFD]", eax=X).fault == (GP, 0)


@pytest.mark.parametrize("text", ["push eax", "pop eax", "call near_", "near_: ret", "pusha", "popa", "enter 8, 0", "mov eax, [ebp]",
                                  "push dword ptr [0x30000]", "pushfd", "popfd", "leave", "mov [esp], eax", "ret 4"])
def test_stack_faults(m, text):
    """6.15, #SS: "a limit violation is detected during an operation that refers to the SS register"; the error code is 0."""
    m.gdt[FREE] = segment(DATA, 0xFFF, W_DATA)
    up = any(text.startswith(t) for t in ("pop", "near_: ret", "leave", "ret", "mov"))
    at = 0x1000 if up else 2
    m.gdt[0x10 >> 3] = segment(0, 0xFFFFFFFF, W_DATA)
    end = m.run(f"{text}\nnear_:" if "near_:" not in text else text, cpl=0, ss=X, esp=at, ebp=at)
    # the handler's pushes at 2 fault too, and so does #DF's: what is told is the chain
    if up:
        assert end.fault == (SS, 0) and end.frame[0] == CODE and end.esp == at - 16
    else:
        assert m.p.faults == ["#SS(0x0)", "#SS(0x1)", "#DF(0x0)", "#SS(0x1)"] and end.why == TRIPLE_FAULT


def test_code_limit(m):
    """5.3: fetching beyond the limit of CS is #GP(0); the last byte within may end an instruction."""
    m.gdt[FREE] = segment(CODE, 0xF, X_CODE)
    m.assemble(b"\x90" * 32)
    end = m.run(None, cs=X, eip=0)
    assert end.fault == (GP, 0) and end.frame[:2] == [0x10, X]
    m.memory.write(CODE + 0xE, b"\xb0\x07")             # MOV AL, 7 ends with the limit
    assert m.run(None, cs=X, eip=0xE).frame[0] == 0x10 and m.p.get("eax") & 255 == 7
    m.memory.write(CODE + 0xE, b"\xb8\x07")             # MOV EAX goes on behind it
    assert m.run(None, cs=X, eip=0xE).frame[0] == 0xE


# RIGHTS: 5.5

def test_rights(m):
    """"No instruction may write into a data segment if it is not writable", "into an executable segment", and "read an
    executable segment unless the readable flag is set"; all #GP(0)."""
    m.gdt[FREE] = segment(DATA, 0xFFF, R_DATA)
    assert m.run("mov ds, eax; mov ebx, [4]", eax=X).fault is None
    for text in ("mov [4], ebx", "add [4], ebx", "inc byte ptr [4]", "xchg [4], ebx", "bts dword ptr [4], 1", "sete [4]", "mov [4], ds",
                 "sgdt [4]", "pop dword ptr [4]", "cmpxchg [4], ebx"):
        end = m.run(f"mov ds, eax; {text}", eax=X)
        assert end.fault == (GP, 0) and end.frame[0] == CODE + 2, text
    for text in ("cmp [4], ebx", "test [4], ebx", "bt dword ptr [4], 1", "push dword ptr [4]"):
        assert m.run(f"mov ds, eax; {text}", eax=X).fault is None, text
    m.assemble("mov ebx, cs:[0]")
    m.gdt[FREE] = segment(CODE, 0xFFF, R_CODE)
    assert m.run("mov ebx, cs:[0]", cs=X, eip=0).fault is None
    assert m.run("mov cs:[0], ebx", cs=X, eip=0).fault == (GP, 0)
    m.gdt[FREE] = segment(CODE, 0xFFF, X_CODE)
    assert m.run("mov ebx, cs:[0]", cs=X, eip=0).fault == (GP, 0)


def test_rights_are_cached(m):
    """3.4.3: "the old ... descriptor information will be used until the segment register is reloaded"."""
    m.gdt[FREE] = segment(DATA, 0xFFF, W_DATA)
    m.put(DATA + 4, 77)
    m.run(f"mov ds, eax; mov dword ptr es:[{0x1000 + X}], 0; mov dword ptr es:[{0x1004 + X}], 0; mov ebx, [4]; nop", eax=X)
    assert m.p.get("ebx") == 77


# PRIVILEGED INSTRUCTIONS: 5.9

@pytest.mark.parametrize("text", ["hlt", "lgdt [0x30000]", "lidt [0x30000]", "lldt ax", "ltr ax", "lmsw ax", "clts", "mov eax, cr0",
                                  "mov cr0, eax", "mov cr3, eax", "mov eax, dr7", "mov dr7, eax", "invd", "wbinvd", "invlpg [0]", "rdmsr", "wrmsr"])
@pytest.mark.parametrize("cpl", [1, 3])
def test_privileged(m, text, cpl):
    end = m.run(text, cpl)
    assert end.fault == (GP, 0) and end.frame[:2] == [CODE, CODE_OF[cpl]] and end.cpl == 0


def test_not_privileged(m):
    m.let_int_80()
    for text in ("sgdt [0x30000]", "sidt [0x30000]", "sldt ax", "str ax", "smsw eax", "verr ax", "cpuid", "rdtsc", "arpl ax, bx"):
        assert m.run(f"{text}; int 0x80", 3).vector == 0x80, text

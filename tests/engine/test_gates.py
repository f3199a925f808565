"""Far transfers between privilege levels: SDM volume 3, 5.8, and volume 2, CALL, JMP and RET."""
import pytest
from protected_machine import (
    CALL16,
    CALL32,
    CODE,
    CODE_OF,
    CONFORM,
    DATA,
    DATA_OF,
    EXPAND_DOWN,
    FREE,
    GP,
    NP,
    R_CODE,
    R_DATA,
    SS,
    STACK,
    TASK_GATE,
    TIERS,
    TS,
    TSS,
    TSS32_BUSY,
    W_DATA,
    X_CODE,
    Machine,
    gate,
    segment,
)

X, Y, Z = FREE * 8, FREE * 8 + 8, FREE * 8 + 16         # selectors under test
INNER = 0x12000                                         # code behind gates


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    return machine


def far(verb, selector, offset=0):
    """CALL or JMP ptr16:32."""
    return bytes([0x9A if verb == "call" else 0xEA]) + offset.to_bytes(4, "little") + selector.to_bytes(2, "little")


# WITHOUT A GATE: 5.8.1

@pytest.mark.parametrize("verb", ["call", "jmp"])
@pytest.mark.parametrize("descriptor, cpl, rpl, fault", [
    (segment(0, 0xFFFFF, X_CODE, 0), 0, 0, None),
    (segment(0, 0xFFFFF, X_CODE, 3), 3, 3, None),
    (segment(0, 0xFFFFF, X_CODE, 3), 3, 0, None),               # "the RPL ... must be less than or equal to the CPL"
    (segment(0, 0xFFFFF, X_CODE, 1), 1, 3, (GP, X)),
    (segment(0, 0xFFFFF, X_CODE, 0), 3, 3, (GP, X)),            # nonconforming: CPL equal to the DPL
    (segment(0, 0xFFFFF, X_CODE, 3), 0, 0, (GP, X)),
    (segment(0, 0xFFFFF, X_CODE | CONFORM, 0), 3, 3, None),     # conforming: CPL not below the DPL, RPL not checked
    (segment(0, 0xFFFFF, X_CODE | CONFORM, 2), 3, 0, None),
    (segment(0, 0xFFFFF, X_CODE | CONFORM, 3), 0, 0, (GP, X)),
    (segment(0, 0xFFFFF, X_CODE, 0, present=0), 0, 0, (NP, X)),
    (segment(0, 0xFFFFF, X_CODE, 0, present=0), 3, 3, (GP, X)),
    (segment(0, 0xFFFFF, W_DATA, 0), 0, 0, (GP, X)),
    (segment(0, INNER - 1, X_CODE, 0), 0, 0, (GP, 0)),          # "if the instruction pointer is not within the limit"
    (gate(0, 0, 14), 0, 0, (GP, X)),                            # an interrupt gate is nothing to jump through
    (segment(0x3800, 0x67, TSS32_BUSY), 0, 0, (GP, X)),
])
def test_direct(m, verb, descriptor, cpl, rpl, fault):
    m.gdt[FREE] = descriptor
    m.memory.write(INNER, b"\xcd\x80")
    end = m.run(far(verb, X | rpl, INNER), cpl)
    if fault:
        assert end.fault == fault and end.frame[:2] == [CODE, CODE_OF[cpl]]
        return
    assert end.vector == 0x80 and end.frame[1] == X | cpl, "5.8.1.2: the CPL does not change; CS.RPL is the CPL"
    if verb == "call":
        esp = end.frame[3] if cpl else end.esp + 12
        assert esp == STACK[cpl] - 8 and [m.word(esp), m.word(esp + 4)] == [CODE + 7, CODE_OF[cpl]]


def test_null_and_beyond(m):
    for verb in ("call", "jmp"):
        assert m.run(far(verb, 3), 0).fault == (GP, 0)
        assert m.run(far(verb, 0x400), 0).fault == (GP, 0x400)


# CALL GATES: 5.8.3 and 5.8.4

@pytest.mark.parametrize("verb, gate_dpl, rpl, cpl, code, fault", [
    ("call", 3, 3, 3, segment(0, 0xFFFFF, X_CODE, 0), None),
    ("call", 2, 0, 3, segment(0, 0xFFFFF, X_CODE, 0), (GP, X)),         # "CPL <= gate DPL; RPL <= gate DPL"
    ("call", 2, 3, 2, segment(0, 0xFFFFF, X_CODE, 0), (GP, X)),
    ("call", 3, 3, 0, segment(0, 0xFFFFF, X_CODE, 3), (GP, Y)),         # never outwards
    ("call", 3, 3, 3, segment(0, 0xFFFFF, X_CODE | CONFORM, 0), None),
    ("call", 3, 3, 3, segment(0, 0xFFFFF, X_CODE, 0, present=0), (NP, Y)),
    ("call", 3, 3, 3, segment(0, 0xFFFFF, W_DATA, 0), (GP, Y)),
    ("call", 3, 3, 3, segment(0, INNER - 1, X_CODE, 0), (GP, 0)),
    ("jmp", 3, 3, 3, segment(0, 0xFFFFF, X_CODE, 3), None),             # JMP: nonconforming only with DPL = CPL
    ("jmp", 3, 3, 3, segment(0, 0xFFFFF, X_CODE, 0), (GP, Y)),
    ("jmp", 3, 3, 3, segment(0, 0xFFFFF, X_CODE | CONFORM, 0), None),
])
def test_call_gate(m, verb, gate_dpl, rpl, cpl, code, fault):
    m.gdt[FREE], m.gdt[FREE + 1] = gate(Y | 3, INNER, CALL32, gate_dpl), code
    m.memory.write(INNER, b"\xcd\x80")
    end = m.run(far(verb, X | rpl, 0xDEADBEEF), cpl)                    # the offset of the instruction is not used
    if fault:
        assert end.fault == fault and end.frame[:2] == [CODE, CODE_OF[cpl]]
    else:
        level = cpl if code >> 40 & CONFORM or verb == "jmp" else code >> 45 & 3
        assert end.vector == 0x80 and end.frame[:2] == [INNER + 2, Y | level]


def test_gate_not_present_or_null(m):
    m.gdt[FREE] = gate(Y, INNER, CALL32, 3, present=0)
    assert m.run(far("call", X), 3).fault == (NP, X)
    m.gdt[FREE] = gate(0, INNER, CALL32, 3)
    assert m.run(far("call", X), 3).fault == (GP, 0)
    m.gdt[FREE] = gate(0x400, INNER, CALL32, 3)
    assert m.run(far("call", X), 3).fault == (GP, 0x400)
    m.gdt[FREE] = gate(Y, INNER, TASK_GATE, 2)
    assert m.run(far("jmp", X), 3).fault == (GP, X)


@pytest.mark.parametrize("kind, size", [(CALL32, 4), (CALL16, 2)])
@pytest.mark.parametrize("count", [0, 1, 5, 31])
def test_parameters(m, kind, size, count):
    """5.8.5: SS, ESP, the parameters in their order, CS, EIP, on the stack of the TSS."""
    m.gdt[FREE], m.gdt[FREE + 1] = gate(Y, INNER & 0xFFFF, kind, 3, count=count), segment(0x10000, 0xFFFF, X_CODE, 1)
    m.memory.write(INNER, b"\xf4")
    pushes = "".join(f"push {0x1000 + i};" for i in range(count)) if size == 4 else "".join(f".byte 0x66,0x68; .word {0x1000 + i};" for i in range(count))
    end = m.run(pushes + ".byte " + ",".join(map(str, far("call", X))), 3)
    assert end.fault == (GP, 0), "HLT at level 1"
    assert end.frame[0] == INNER & 0xFFFF and end.frame[1] == Y | 1 and end.frame[4] == DATA_OF[1]
    esp = end.frame[3]
    assert esp == STACK[1] - size * (4 + count)
    words = [m.word(esp + size * i, size) for i in range(4 + count)]
    user = STACK[3] - size * count
    code_end = CODE + (5 if size == 4 else 4) * count + 7
    assert words[:2] == [code_end & (1 << 8 * size) - 1, CODE_OF[3]]
    assert words[2:2 + count] == [0x1000 + i for i in reversed(range(count))]
    assert words[2 + count:] == [user & (1 << 8 * size) - 1, DATA_OF[3]]


@pytest.mark.parametrize("stack, fault", [
    (0, (TS, 0)),                                               # vol. 2, CALL: "#TS(0) if the new stack selector is null"
    (0x400, (TS, 0x400)),
    (Z | 1, (TS, Z)),                                           # RPL, then DPL, are not those of the code
    (0x31, (TS, 0x30)),
    (Y | 0, (TS, Y)),                                           # not data
    (Z | 0, None),
])
def test_inner_stack_selector(m, stack, fault):
    m.gdt[FREE], m.gdt[FREE + 1] = gate(Y, INNER, CALL32, 3), segment(0, 0xFFFFF, X_CODE, 0)
    m.gdt[FREE + 2] = segment(0, 0xFFFFF, W_DATA, 0)
    m.memory.write(INNER, b"\xf4")
    m.put(TSS + 4, STACK[0], stack)
    if fault is None:
        end = m.run(far("call", X), 3)
        assert end.halted and end.ss == Z and end.cpl == 0
        return
    m.run(far("call", X), 3)                            # the handler is at level 0 too: what is looked at is the first of the chain
    assert m.p.faults[0] == f"#TS({fault[1]:#x})"


@pytest.mark.parametrize("descriptor, name", [
    (segment(0, 0xFFFFF, R_DATA, 1), "#TS"), (segment(0, 0xFFFFF, W_DATA, 1, present=0), "#SS"), (segment(0, 7, W_DATA, 1), "#SS"),
    (segment(0, 0x1FFFF, W_DATA | EXPAND_DOWN, 1), "#SS"), (segment(0, 0xFFFFF, W_DATA, 2), "#TS")])
def test_inner_stack_descriptor(m, descriptor, name):
    """ "#SS(selector) if the new stack segment is not present" or "does not have room"; else #TS(selector)."""
    m.gdt[FREE], m.gdt[FREE + 1], m.gdt[FREE + 2] = gate(Y, INNER, CALL32, 3), segment(0, 0xFFFFF, X_CODE, 1), descriptor
    m.put(TSS + 12, 0x10000, Z | 1)
    end = m.run(far("call", X), 3)
    assert m.p.faults == [f"{name}({Z:#x})"] and end.frame[:2] == [CODE, 0x1B] and end.frame[3] == STACK[3]


def test_inner_stack_beyond_the_tss(m):
    """"#TS(TSS selector) if the stack's place is beyond the limit of the TSS"."""
    m.gdt[FREE], m.gdt[FREE + 1] = gate(Y, INNER, CALL32, 3), segment(0, 0xFFFFF, X_CODE, 2)
    m.p.cpu.segment[7].limit = 0x18                     # SS2 ends at 19h
    end = m.run(far("call", X), 3)
    assert end.fault == (TS, 0x48)


# RET: 5.8.6

OUTER = [  # (CS, SS, fault)
    ((CODE_OF[3], DATA_OF[3]), None),
    ((CODE_OF[1], DATA_OF[1]), None),
    ((CODE_OF[3], 0), (GP, 0)),                                 # "#GP(0) if the stack selector is null"
    ((CODE_OF[3], DATA_OF[1]), (GP, DATA_OF[1] & ~3)),          # its RPL is not that of CS
    ((CODE_OF[3], X | 3), (GP, X)),                             # not writable
    ((CODE_OF[3], Y | 3), (SS, Y)),                             # not present
    ((CODE_OF[3] & ~3, DATA_OF[3]), (GP, CODE_OF[3] & ~3)),     # DPL is not the RPL
    ((3, DATA_OF[3]), (GP, 0)),
    ((DATA_OF[3], DATA_OF[3]), (GP, DATA_OF[3] & ~3)),
    ((Z | 3, DATA_OF[3]), (NP, Z)),
    ((0x403, DATA_OF[3]), (GP, 0x400)),
]


@pytest.mark.parametrize("selectors, fault", OUTER)
@pytest.mark.parametrize("text", ["retf", "retf 8", "iretd"])
def test_return_outwards(m, text, selectors, fault):
    m.gdt[FREE], m.gdt[FREE + 1] = segment(0, 0xFFFFF, R_DATA, 3), segment(0, 0xFFFFF, W_DATA, 3, present=0)
    m.gdt[FREE + 2] = segment(0, 0xFFFFF, X_CODE, 3, present=0)
    m.memory.write(INNER, b"\xcd\x80")
    cs, ss = selectors
    middle = [0x3002] if text == "iretd" else []
    sp = STACK[0] - 0x100
    m.put(sp, INNER, cs, *middle, *([0, 0] if "8" in text else []), 0x25000, ss)
    end = m.run(text.replace("iretd", ".byte 0xCF"), 0, esp=sp)
    if fault:
        assert end.fault == fault and end.frame[:2] == [CODE, 0x08] and end.esp == sp - 16 and end.ss == 0x10
    else:
        released = 8 if "8" in text else 0
        assert end.vector == 0x80 and end.frame[:2] == [INNER + 2, cs] and end.frame[3:5] == [0x25000 + released, ss]
        if text == "iretd":
            assert end.frame[2] == 0x3002


@pytest.mark.parametrize("text", ["retf", ".byte 0xCF"])
def test_return_closes_data_segments(m, text):
    """5.8.6: "the DS, ES, FS and GS registers ... if any ... refer to segments whose DPL is less than the new CPL (excluding
    conforming code segments), the segment selector is loaded with a null"."""
    m.gdt[FREE], m.gdt[FREE + 1] = segment(0, 0xFFFFF, R_CODE | CONFORM, 0), segment(0, 0xFFFFF, R_CODE, 0)
    m.memory.write(INNER, b"\xcd\x80")
    sp = STACK[0] - 0x100
    m.put(sp, INNER, CODE_OF[3], *([2] if "CF" in text else []), 0x25000, DATA_OF[3])
    end = m.run(text, 0, esp=sp, ds=0x10, es=DATA_OF[3], fs=X, gs=Y)
    assert end.vector == 0x80 and (end.ds, end.es, end.fs, end.gs) == (0, DATA_OF[3], X, 0)


def test_return_never_inwards(m):
    """ "#GP(selector) if the RPL of the return code segment is less than the CPL"."""
    for text in ("retf", ".byte 0xCF"):
        m.put(STACK[3] - 0x100, INNER, 0x08, 2)
        end = m.run(text, 3, esp=STACK[3] - 0x100)
        assert end.fault == (GP, 8)
    m.put(STACK[0] - 0x100, INNER, 0x08)
    m.gdt[FREE] = segment(0, 0xFFF, X_CODE)
    m.put(STACK[0] - 0x100, 0x1000, X)                  # beyond the limit
    assert m.run("retf", 0, esp=STACK[0] - 0x100).fault == (GP, 0)


def test_call_and_return(m):
    """There and back, the parameters released on both stacks."""
    m.gdt[FREE], m.gdt[FREE + 1] = gate(Y, INNER, CALL32, 3, count=2), segment(0, 0xFFFFF, R_CODE, 0)
    m.assemble("mov eax, [esp + 8]; add eax, [esp + 12]; mov ds, edx; retf 8", INNER)
    end = m.run("push 30; push 12; .byte " + ",".join(map(str, far("call", X))) + "; int 0x80", 3, edx=0x10)
    assert end.vector == 0x80 and end.eax == 42 and end.frame[3] == STACK[3] and end.ds == 0


@pytest.mark.parametrize("operand, selector_size", [("fword ptr [0x30000]", 4), ("dword ptr [0x30000]", 2)])
def test_pointers_in_memory(m, operand, selector_size):
    """The offset comes first; with a 16-bit operand size it has 16 bits."""
    m.gdt[FREE] = segment(CODE, 0xFFFF, X_CODE)
    m.memory.write(DATA, (0x55).to_bytes(selector_size, "little") + X.to_bytes(2, "little"))
    m.memory.write(CODE + 0x55, b"\xf4")
    prefix = b"\x66" if selector_size == 2 else b""
    for reg in (0x1D, 0x2D):
        end = m.run(prefix + bytes([0xFF, reg]) + DATA.to_bytes(4, "little"))
        assert end.halted and end.cs == X and end.eip == 0x56

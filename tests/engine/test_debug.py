"""Debug registers: SDM volume 3, 17.2 (registers), 17.3 (exceptions, RF), 6.9 (priority)."""
import pytest
from protected_machine import (
    CODE,
    CODE_OF,
    DATA,
    DB,
    FREE,
    GP,
    HANDLERS,
    INT32,
    PF,
    STACK,
    TIERS,
    UD,
    W_DATA,
    Machine,
    gate,
    segment,
)

from pyv86_nb.engine import reasons
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F

EXECUTE, WRITE, IO, ACCESS = range(4)
LEN = {1: 0, 2: 1, 8: 2, 4: 3}
CLEAR = 0xFFFF0FF0
BD, BS, BT = 0x2000, 0x4000, 0x8000


@pytest.fixture(params=TIERS)
def m(request):
    machine = Machine(request.param)
    machine.let_int_80()
    machine.p.set("dr7", 0x400)
    machine.p.set("dr6", CLEAR)
    yield machine
    machine.p.set("dr7", 0x400)
    machine.p.set("cr4", 0)
    machine.p.set("cr0", 0x11)


def arm(m, n, address, kind, length=1, enable=2):
    m.p.set(f"dr{n}", address)
    m.p.set("dr7", m.p.get("dr7") | enable << 2 * n | kind << 16 + 4 * n | LEN[length] << 18 + 4 * n)
    m.p.set("dr6", CLEAR)


def handled(m, text="iretd"):
    """#DB counts in [DATA + 100h] and goes on."""
    m.assemble(f"inc dword ptr [{DATA + 0x100}]; " + text, 0x5900)
    m.idt[DB] = 0x5900 | 8 << 16 | 0x8E << 40
    m.put(DATA + 0x100, 0)


# CODE

@pytest.mark.parametrize("n", range(4))
@pytest.mark.parametrize("enable", [0, 1, 2, 3])
def test_code_breakpoint(m, n, enable):
    """17.3.1.1: a fault, before the instruction; RF in the pushed image is as it was."""
    arm(m, n, CODE + 2, EXECUTE, enable=enable)
    end = m.run("inc ecx; nop; inc ecx; int 0x80", ecx=0)
    if enable:
        assert end.fault == (DB, None) and end.ecx == 1 and end.frame[0] == CODE + 2 and end.frame[2] & F.RF == 0
        assert end.dr6 == CLEAR | 1 << n
    else:
        assert end.vector == 0x80 and end.ecx == 2 and end.dr6 == CLEAR


@pytest.mark.parametrize("cpl", [0, 3])
def test_rf_goes_on_for_one_instruction(m, cpl):
    """17.3.1.1: a handler that sets RF in the image and returns by IRETD comes past the breakpoint, once each time round."""
    handled(m, "or dword ptr [esp + 8], 0x10000; iretd")
    for level in range(4):
        m.gdt[FREE + level] = segment(0, 0xFFFFFFFF, W_DATA, level)
    arm(m, 0, CODE + 5, EXECUTE)
    end = m.run("mov ecx, 3; again: inc eax; dec ecx; jnz again; int 0x80", cpl, eax=0)
    assert end.vector == 0x80 and end.eax == 3 and m.word(DATA + 0x100) == 3 and end.frame[2] & F.RF == 0


def test_without_rf_it_comes_again(m):
    handled(m)
    arm(m, 0, CODE + 1, EXECUTE)
    end = m.run("nop; inc eax; hlt", ticks=50, eax=0)
    assert not end.halted and end.eax == 0 and m.word(DATA + 0x100) > 5


def test_breakpoint_on_the_target_of_each_jump(m):
    """Whatever leads there: direct, indirect, CALL, RET, falling through; also when the way was linked before it was armed."""
    handled(m, "or dword ptr [esp + 8], 0x10000; iretd")
    text = "mov ecx, 4; again: mov eax, offset f; call eax; call f; jmp on; on: dec ecx; jnz again; int 0x80; f: inc edx; g: ret"
    end = m.run(text, edx=0)
    assert end.edx == 8 and m.word(DATA + 0x100) == 0
    for label, count in (("f", 8), ("g", 8), ("on", 4), ("again", 4)):
        m.put(DATA + 0x100, 0)
        m.p.set("dr7", 0x400)
        arm(m, 1, m.labels[label], EXECUTE)
        end = m.run(text, edx=0)
        assert end.edx == 8 and m.word(DATA + 0x100) == count, label
    m.p.set("dr7", 0x400)
    m.put(DATA + 0x100, 0)
    assert m.run(text, edx=0).edx == 8 and m.word(DATA + 0x100) == 0


def test_code_breakpoint_before_the_fetch(m):
    """6.9: a code breakpoint comes before the faults of fetching and decoding."""
    arm(m, 0, CODE, EXECUTE)
    assert m.run(b"\x0f\x0b").fault == (DB, None)
    m.p.set("eflags", 2)
    assert m.run(b"\x0f\x0b", eflags=F.RF | 2).fault == (UD, None)


def test_fault_under_rf(m):
    """17.3.1.1: of a fault the image has RF set, so the handler comes back past the breakpoint."""
    arm(m, 0, CODE, EXECUTE)
    end = m.run("mov eax, [0]", ds=0, eflags=F.RF | 2)
    assert end.fault == (GP, 0) and end.frame[2] & F.RF
    assert m.p.get("eflags") & F.RF == 0, "in the handler it is clear"


def test_rf_through_popf_and_pushf(m):
    """vol. 2: POPF clears RF, PUSHF shows 0."""
    arm(m, 0, CODE + 6, EXECUTE)
    end = m.run("push 0x10002; popfd; nop; int 0x80")
    assert end.fault == (DB, None) and end.frame[0] == CODE + 6
    m.p.set("dr7", 0x400)
    assert m.run("pushfd; pop eax; int 0x80", eflags=F.RF | 2).eax & F.RF == 0


def test_after_mov_ss(m):
    """6.8.3: the instruction after MOV SS or POP SS is not broken into."""
    arm(m, 0, CODE + 2, EXECUTE)
    assert m.run("mov ss, eax; nop; nop; int 0x80", eax=0x10).vector == 0x80
    assert m.run("nop; nop; nop; int 0x80", eax=0x10).fault == (DB, None)


def test_repeated_string_with_a_breakpoint(m):
    """It breaks before the first element only."""
    handled(m, "or dword ptr [esp + 8], 0x10000; iretd")
    arm(m, 0, CODE, EXECUTE)
    m.enter(0, ecx=200, esi=DATA, edi=DATA + 0x400)
    m.assemble("rep movsb; int 0x80")
    m.p.set("eip", CODE)
    m.p.cpu.halted = 0
    for _ in range(400):                                 # slices that end within it
        m.p.run(3)
    assert m.p.cpu.halted and m.word(DATA + 0x100) == 1 and m.p.get("ecx") == 0


# DATA

CASES = [(0, 1), (1, 1), (3, 1), (0, 2), (2, 2), (0, 4), (4, 4)]


@pytest.mark.parametrize("at, length", CASES)
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("kind", [WRITE, ACCESS])
def test_data_breakpoint(m, at, length, size, kind):
    """17.2.5: any byte of the access in the range; a trap, after the instruction.  Reads do not trip a write breakpoint."""
    arm(m, 2, DATA + at, kind, length)
    register = {1: "cl", 2: "cx", 4: "ecx"}[size]
    for offset in range(8):
        hit = offset < at + length and at < offset + size
        for text, writes in ((f"mov [eax], {register}", 1), (f"mov {register}, [eax]", 0), (f"add [eax], {register}", 1)):
            m.p.set("dr6", CLEAR)
            end = m.run(f"{text}; after: nop; int 0x80", eax=DATA + offset, ecx=0)
            if hit and (writes or kind == ACCESS):
                assert end.fault == (DB, None) and end.frame[0] == m.labels["after"] and end.dr6 == CLEAR | 4, (offset, text)
            else:
                assert end.vector == 0x80 and end.dr6 == CLEAR, (offset, text)


@pytest.mark.parametrize("text, hits", [
    ("push eax", 1), ("pop ecx", 1), ("call f; nop; f: nop", 1), ("pushad", 1), ("push dword ptr [{0}]", 1), ("xchg [{0}], eax", 1),
    ("cmp dword ptr [{0}], 0", 1), ("mov esi, {0}; lodsd", 1), ("mov edi, {0}; stosb", 1), ("mov edi, {0}; mov ecx, 4; repne scasb", 2),
    ("lea eax, [{0}]", 0), ("invlpg [{0}]", 0), ("cmpxchg8b [{0}]", 1), ("bts dword ptr [{0}], 1", 1), ("enter 8, 0", 1), ("sgdt [{0}]", 1),
    ("nop", 0)])
def test_all_kinds_of_access(m, text, hits):
    """Stack, strings and instructions out of line as well; each instruction that touches it traps once, an element of REP each."""
    handled(m, "mov dr7, ebp; iretd" if "pop" in text else "iretd")         # whose own pops would be one more
    stack = any(w in text for w in ("push ", "pop", "call", "pushad", "enter")) and "[" not in text
    where = DATA + 0x10 if not stack else STACK[0] - 4 if "pop" not in text else STACK[0]
    arm(m, 0, where, ACCESS, 2 if "scasb" in text else 4)
    m.put(where, 0x12345678)
    end = m.run(text.format(where) + "; mov dr7, ebp; int 0x80", ebp=0x400, eax=0, edx=0)
    assert end.vector == 0x80 and m.word(DATA + 0x100) == hits


def test_a_trap_after_each_element(m):
    """17.3.1.2: of a repeated string instruction, after the iteration that hits; RF is set in the image of one that is not over."""
    arm(m, 0, DATA + 0x42, WRITE, 1)
    end = m.run("rep stosb; nop; int 0x80", eax=0x77, ecx=8, edi=DATA + 0x40)
    assert end.fault == (DB, None) and end.ecx == 5 and end.edi == DATA + 0x43 and end.frame[0] == CODE and end.frame[2] & F.RF
    arm(m, 0, DATA + 0x47, WRITE, 1)
    end = m.run("rep stosb; nop; int 0x80", eax=0x77, ecx=8, edi=DATA + 0x40)
    assert end.ecx == 0 and end.frame[0] == CODE + 2 and end.frame[2] & F.RF == 0, "the last one ends it"


def test_a_faulting_instruction_does_not_trap(m):
    """The fault comes first, and what the instruction has read so far is forgotten with it."""
    arm(m, 0, DATA, ACCESS, 4)
    m.gdt[FREE] = segment(0, 0x7FFF, W_DATA)
    end = m.run(f"push dword ptr [{DATA}]", ss=FREE * 8, esp=0x9000)
    assert end.fault != (DB, None) and end.dr6 == CLEAR


def test_data_breakpoint_after_mov_ss(m):
    """6.8.3: the trap of MOV SS waits until after the next instruction."""
    m.put(DATA, 0x10)
    arm(m, 0, DATA, ACCESS, 2)
    end = m.run(f"mov ss, [{DATA}]; inc ecx; after: inc ecx; int 0x80", ecx=0)
    assert end.fault == (DB, None) and end.ecx == 1 and end.frame[0] == m.labels["after"] and end.dr6 == CLEAR | 1


def test_across_pages_and_next_to_code(m):
    arm(m, 0, 0x31000, WRITE, 4)
    end = m.run("mov [0x30FFE], eax; nop; int 0x80")
    assert end.fault == (DB, None) and end.dr6 == CLEAR | 1
    arm(m, 0, CODE + 0x800, ACCESS, 4)
    end = m.run(f"mov [{CODE + 0x804}], eax; mov ecx, [{CODE + 0x800}]; after: nop; int 0x80")
    assert end.fault == (DB, None) and end.frame[0] == m.labels["after"]


def test_linear_addresses(m):
    """17.2.5: compared are linear addresses, so the base of the segment counts."""
    m.gdt[FREE] = segment(DATA, 0xFFFF, W_DATA)
    arm(m, 0, DATA + 8, WRITE, 4)
    assert m.run("mov [8], eax; nop; int 0x80", ds=FREE * 8).fault == (DB, None)


# I/O

@pytest.mark.parametrize("port, length, text, hit", [
    (0xE0, 1, "in al, 0xE0", 1), (0xE0, 1, "out 0xE0, al", 1), (0xE1, 1, "in al, 0xE0", 0), (0xE1, 1, "in ax, 0xE0", 1), (0xE0, 4, "in al, 0xE3", 1),
    (0xE0, 1, "mov dx, 0xE0; out dx, eax", 1), (0xE0, 1, "mov edi, 0x30000; mov dx, 0xE0; insb", 1)])
def test_port_breakpoint(m, port, length, text, hit):
    """17.2.4: RW=2 with CR4.DE; a trap after the instruction.  Without DE it means nothing here."""
    arm(m, 3, port, IO, length)
    assert m.run(text + "; after: nop; int 0x80").vector == 0x80
    m.p.set("cr4", S.DE)
    end = m.run(text + "; after: nop; int 0x80")
    assert (end.fault == (DB, None)) == bool(hit)
    if hit:
        assert end.frame[0] == m.labels["after"] and end.dr6 == CLEAR | 8


# SINGLE STEP AND OTHERS

def test_step_and_breakpoint_together(m):
    """One #DB, all its reasons in DR6."""
    arm(m, 1, DATA, WRITE, 4)
    end = m.run(f"mov [{DATA}], eax; nop", eflags=F.TF | 2)
    assert end.fault == (DB, None) and end.dr6 == CLEAR | BS | 2 and end.frame[2] & F.TF
    assert m.p.get("eflags") & F.TF == 0


def test_debug_registers_are_guarded(m):
    """17.2.4, GD: #DB before the access, BD in DR6; the processor clears GD for the handler.  CPL comes first."""
    m.p.set("dr7", 0x2400)
    end = m.run("mov eax, dr0; int 0x80", eax=5)
    assert end.fault == (DB, None) and end.frame[0] == CODE and end.eax == 5 and end.dr6 == CLEAR | BD and end.dr7 == 0x400
    m.p.set("dr7", 0x2400)
    assert m.run("mov dr1, eax", 3).fault == (GP, 0)


def test_dr4_and_dr5(m):
    """17.2.2: with CR4.DE they are #UD."""
    for text in ("mov eax, dr4", "mov dr5, eax"):
        assert m.run(b"\x0f\x21\xe0\xcd\x80" if "dr4" in text else b"\x0f\x23\xe8\xcd\x80", eax=0x400).vector == 0x80
        m.p.set("cr4", S.DE)
        assert m.run(b"\x0f\x21\xe0" if "dr4" in text else b"\x0f\x23\xe8").fault == (UD, None)
        m.p.set("cr4", 0)


def test_icebp(m):
    """vol. 2, INT1: through vector 1 whatever the gate's DPL; no bit of DR6."""
    end = m.run(b"\xf1\x90", 3)
    assert end.fault == (DB, None) and end.frame[0] == CODE + 1 and end.dr6 == CLEAR
    m.idt[DB] = m.idt[DB] & ~(3 << 45)
    assert m.run(b"\xcd\x01", 3).fault == (GP, DB * 8 + 2), "INT 1 is another matter"


def test_local_breakpoints_end_with_the_task(m):
    """17.2.4: a task switch clears L0-L3; G0-G3 stay.  Then code and data run as if there had been none."""
    from protected_machine import DATA_OF, TSS2, TSS2_SELECTOR
    m.put(TSS2 + 0x1C, 0, 0x9000, 2, 1, 2, 3, 4, STACK[0] - 0x200, 5, 6, 7, DATA_OF[0], 8, DATA_OF[0], DATA_OF[0], 0, 0, 0, 0x680000)
    m.memory.write(0x9000, b"\xa1" + DATA.to_bytes(4, "little") + b"\x40\xcd\x80")
    for enable, vector in ((1, 0x80), (2, DB)):
        m.__init__(m.p.tier)
        m.let_int_80()
        m.put(TSS2 + 0x1C, 0, 0x9000, 2, 1, 2, 3, 4, STACK[0] - 0x200, 5, 6, 7, DATA_OF[0], 8, DATA_OF[0], DATA_OF[0], 0, 0, 0, 0x680000)
        m.memory.write(0x9000, b"\xa1" + DATA.to_bytes(4, "little") + b"\x40\xcd\x80")
        arm(m, 0, DATA, ACCESS, 4, enable)
        arm(m, 1, 0x9005, EXECUTE, 1, enable)
        assert m.run(b"\xea" + bytes(4) + TSS2_SELECTOR.to_bytes(2, "little")).vector == vector


def test_page_fault_before_the_trap(m):
    """A watched page that is not there: #PF, and after its repair the trap."""
    table, directory = 0x41000, 0x40000
    for i in range(256):
        m.put(table + 4 * i, i << 12 | 3)
    m.put(directory, table | 3)
    m.put(table + 4 * 0x50, 0)
    m.p.set("cr3", directory)
    m.p.set("cr0", 0x80000011)
    m.assemble(f"mov dword ptr [{table + 4 * 0x50}], 0x50003; add esp, 4; iretd", 0x5A00)
    m.idt[PF] = 0x5A00 | 8 << 16 | 0x8E << 40
    arm(m, 0, 0x50010, WRITE, 4)
    end = m.run("mov [0x50010], eax; after: nop; int 0x80", eax=0x99)
    assert end.fault == (DB, None) and end.frame[0] == m.labels["after"] and m.word(0x50010) == 0x99


# ALIGNMENT: 6.15, #AC

AC = 17


@pytest.mark.parametrize("text, size", [
    ("mov ax, [ecx]", 2), ("mov eax, [ecx]", 4), ("mov [ecx], ax", 2), ("add [ecx], eax", 4), ("mov al, [ecx]", 1), ("push dword ptr [ecx]", 4),
    ("movzx eax, word ptr [ecx]", 2), ("mov esi, ecx; lodsd", 4), ("mov edi, ecx; stosw", 2), ("bt dword ptr [ecx], eax", 4), ("xchg [ecx], eax", 4),
    ("cmpxchg8b [ecx]", 8), ("lea eax, [ecx]", 1), ("fninit; fld dword ptr [ecx]", 4), ("fninit; fld1; fstp qword ptr [ecx]", 8),
    ("fninit; fild word ptr [ecx]", 2), ("fninit; fld1; fstp tbyte ptr [ecx]", 8), ("fninit; fbld [ecx]", 8), ("fninit; fnstenv [ecx]", 4)])
def test_alignment_check(m, text, size):
    """With CR0.AM and EFLAGS.AC at CPL 3: #AC(0), and nothing has changed; not at level 0, not without either bit."""
    for offset in range(9):
        for am, ac, cpl in ((1, 1, 3), (0, 1, 3), (1, 0, 3), (1, 1, 0)):
            m.p.set("cr0", 0x40011 if am else 0x11)
            end = m.run(text + "; int 0x80", cpl, eflags=2 | F.AC * ac, ecx=DATA + offset, eax=0, esi=1, edi=1)
            assert end.fault == ((AC, 0) if am and ac and cpl == 3 and offset % size else (0x80, None)), (offset, am, ac, cpl)


def test_alignment_of_the_stack_and_after_popf(m):
    m.p.set("cr0", 0x40011)
    assert m.run("push eax", 3, esp=STACK[3] - 2, eflags=F.AC | 2).fault == (AC, 0)
    end = m.run("mov eax, [ecx]; push 0x40002; popfd; inc edx; mov eax, [ecx]", 3, ecx=DATA + 1, edx=0)
    assert end.fault == (AC, 0) and end.edx == 1
    end = m.run("les eax, [ecx]; int 0x80", 3, ecx=DATA + 4, eflags=F.AC | 2)
    assert end.vector == 0x80


@pytest.mark.parametrize("absent", [False, True])
def test_alignment_checks_without_end(m, absent):
    """vol. 3, table 6-5: #AC is benign, and handled serially.  Its handler at level 3, on a misaligned stack, is never reached: each
    frame is #AC again; or its gate is absent, and the frame of #NP is.  The run must end all the same, with nothing changed."""
    m.idt[17] = gate(CODE_OF[3], HANDLERS + 17, INT32, dpl=3) & ~(absent << 47)
    m.idt[11] = gate(CODE_OF[3], HANDLERS + 11, INT32, dpl=3)
    m.p.set("cr0", 0x40011)
    end = m.run("mov eax, [ecx]; int 0x80", 3, ticks=500, eflags=0x40002, ecx=DATA + 1, esp=STACK[3] - 2)
    assert end.why == reasons.BUDGET and (end.eip, end.esp, end.cpl) == (CODE, STACK[3] - 2, 3) and m.p.now >= 500

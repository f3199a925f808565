"""Flags that the compiled tiers keep as operands until somebody asks (isa/flags.py, put_off), on every tier.

Oracle: SDM volume 1, 3.4.3.1, and volume 2 under ADD, SUB, CMP, AND, SHL, INC, worked out by hand.  The flags are shown by an exception
behind the instruction, by PUSHF in the block after a jump, or by an instruction that keeps some of them.
"""
import pytest

from pyv86_nb import VM, demo

CF, PF, AF, ZF, SF, OF = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800
HEAD = """
        xor     ax, ax
        mov     ss, ax
        mov     sp, 0x1000
        mov     ds, ax
        mov     word ptr [0], offset shown
        mov     word ptr [2], ax
        xor     cx, cx
"""
TAIL = """
        div     cx
shown:  pop     ax
        pop     ax
        pop     dx
        hlt
"""
SHOWN_BY_DIVIDE_ERROR = {
    "mov ax, 0x7FFF\nadd ax, 1": OF | SF | AF | PF,
    "mov eax, 0xFFFFFFFF\nadd eax, 1": ZF | AF | CF | PF,
    "mov al, 0x78\nadd al, 0x0F": SF | AF | OF | PF,
    "mov ax, 0\nsub ax, 1": CF | PF | AF | SF,
    "mov al, 0x80\ncmp al, 1": OF | AF,
    "mov eax, 0x80000000\nsub eax, 0x80000000": ZF | PF,
    "mov ax, 0xF0F0\nand ax, 0x0FF0": PF,
    "mov eax, 0x80000001\nor eax, 2": SF | PF,
    "mov bx, 0\nsub bx, 1\ninc bx\ninc bx": CF,
    "mov bx, 0\nsub bx, 1\nmov si, bx\nrol si, 4": CF | PF | AF | SF,
    "mov ax, 5\nadd ax, 0xFFFF\nadc bx, 0\nmov bx, 2\nadd bx, 1": PF,
    "mov ax, 0xFFFF\nstc\nadc ax, 0": CF | ZF | AF | PF,
    "mov eax, 5\nstc\nadc eax, 0xFFFFFFFF": CF | AF | PF,
    "mov ax, 0x7FFF\nstc\nadc ax, 0": OF | SF | AF | PF,
    "mov ax, 0x7FFF\nclc\nadc ax, 0": PF,
    "mov al, 0x80\nstc\nsbb al, 0xFF": CF | SF | AF,
    "mov al, 0x80\nstc\nsbb al, 0": OF | AF,
    "mov eax, 3\nclc\nsbb eax, 3": ZF | PF,
}
READ_AND_SHOWN = {                                       # the instruction before the load; what reads it, its answer; all flags
    ("mov ax, 5\ncmp ax, 9", "setb bl"): (1, CF | AF | SF | PF), ("mov ax, 9\ncmp ax, 5", "setb bl"): (0, 0),
    ("mov eax, 0xFFFFFFFF\nadd eax, 1", "setz bl"): (1, ZF | AF | CF | PF), ("mov eax, 0x7FFFFFFF\nadd eax, 1", "sets bl"): (1, OF | SF | AF | PF),
    ("mov al, 0x80\nsub al, 1", "setbe bl"): (0, OF | AF), ("mov al, 7\nsub al, 7", "setbe bl"): (1, ZF | PF),
    ("mov ax, 0xFFFF\nstc\nadc ax, 0", "cmovb bx, bp"): (0x77, CF | ZF | AF | PF), ("mov eax, 0\nstc\nsbb eax, 0xFFFFFFFF", "setae bl"): (0, CF | ZF | AF | PF),
    ("mov al, 0x78\nadd al, 0x0F", "setpe bl"): (1, SF | AF | OF | PF), ("mov ax, 0\nsub ax, 1", "adc bx, 4"): (5, PF),
    ("mov al, 0x80\ncmp al, 1", "setl bl"): (1, OF | AF), ("mov ax, 1\nsub ax, 2", "inc bx\nsetb bh"): (0x101, CF),
}
SHIFTED = {
    "mov ax, 0x8001\nshl ax, 1": OF | CF, "mov eax, 0x12\nshr eax, 2": CF, "stc\nmov ax, 7\nshl ax, 0": ZF | PF | CF,
    "mov al, 0x40\nshl al, 1": OF | SF, "mov eax, 0xC0000000\nshl eax, 1": CF | SF | PF, "mov ax, 0x8001\nshr ax, 1": CF | OF | PF,
    "mov al, 0x81\nsar al, 1": CF | SF | PF, "mov eax, 1\nsar eax, 1": CF | ZF | PF, "mov eax, 0xC0000000\nshl eax, 2": CF | ZF | PF,
    "mov dword ptr [0x500], 0x80000000\nshl dword ptr [0x500], 1": CF | OF | ZF | PF, "mov eax, 0x80000000\nshl eax, 33": CF | OF | ZF | PF,
}
CARRIED = {  # what the block before leaves, and one that keeps or takes CF alone
    "mov al, 3\ncmp al, 5": CF, "mov al, 5\ncmp al, 3": 0, "mov eax, 0xFFFFFFFF\nadd eax, 1": CF, "mov ax, 0x8000\nshl ax, 1": CF, "mov ax, 2\nshr ax, 1": 0,
    "mov al, 0x81\nsar al, 1": CF, "stc\nmov al, 5\ntest al, al": 0, "stc": CF,
}


def flags_after(tier, body, tail=TAIL):
    with VM(memory="1M", bare="real", tier=tier) as vm:
        vm.load(0x7C00, demo.assemble(HEAD + body + tail, 0x7C00), entry=0x7C00)
        stop = vm.run(instructions=100)
        assert stop.reason == "halted"
        return vm.regs.edx & (CF | PF | AF | ZF | SF | OF)


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("body", SHOWN_BY_DIVIDE_ERROR)
def test_an_exception_shows_them(tier, body):
    assert flags_after(tier, body) == SHOWN_BY_DIVIDE_ERROR[body]


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("body", SHIFTED)
def test_an_immediate_count_of_a_shift(tier, body):
    """AF is undefined, and OF for counts above 1; a count of 0 leaves all flags, here those of XOR CX, CX, as they are."""
    assert flags_after(tier, body) & ~AF & (~OF if ", 2" in body else -1) == SHIFTED[body]


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("compare, expected", [("mov ax, 5\ncmp ax, 9", CF | AF | SF | PF), ("mov eax, 0x80000000\ncmp eax, 1", OF | AF | PF),
                                               ("mov al, 0x81\ntest al, 0x80", SF)])
def test_the_block_behind_a_jump_shows_them(tier, compare, expected):
    tail = "\nja 1f\n1: jno 2f\n2: pushf\npop dx\nhlt\nshown: hlt\n"
    assert flags_after(tier, compare, tail) & ~(AF if "test" in compare else 0) == expected


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
def test_two_jumps_behind_one_comparison(tier):
    """JL behind JE: -1 < 1, signed, but above it without a sign."""
    tail = "\nje shown\njb shown\njl 1f\nhlt\n1: mov dx, 0x41\nhlt\nshown: hlt\n"
    assert flags_after(tier, "xor dx, dx\nmov eax, -1\ncmp eax, 1", tail) == 0x41


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("before", CARRIED)
def test_the_carry_alone_comes_from_the_block_before(tier, before):
    """INC and DEC keep CF and write the rest; ADC and SBB take it.   SDM vol. 2."""
    carry = CARRIED[before]
    assert flags_after(tier, before + "\njmp 1f\n1: mov bx, 0x7FFF\ninc bx\nmov si, [0x600]") == carry | OF | SF | AF | PF
    assert flags_after(tier, before + "\njmp 1f\n1: mov bx, 1\ndec bx\nmov si, [0x600]") == carry | ZF | PF
    assert flags_after(tier, before + "\njmp 1f\n1: mov ebx, 0xFFFFFFFE\nmov edx, 1\nadc ebx, edx") == (CF | AF | ZF | PF if carry else SF | PF)
    assert flags_after(tier, before + "\njmp 1f\n1: mov bx, 1\nmov dx, 1\nsbb bx, dx") == (CF | AF | SF | PF if carry else ZF | PF)


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("before, reads", READ_AND_SHOWN)
def test_some_are_read_behind_a_load_and_all_are_shown(tier, before, reads):
    """The load may fault between an instruction and one that wants its carry or its result; an exception behind that one shows all six."""
    answer, flags = READ_AND_SHOWN[before, reads]
    body = f"xor bx, bx\nmov bp, 0x77\n{before}\nmov si, [0x600]\n{reads}"
    tail = "\ndiv cx\nshown: pop ax\npop ax\npop dx\nmov [0x604], bx\nhlt\n"
    with VM(memory="1M", bare="real", tier=tier) as vm:
        vm.load(0x7C00, demo.assemble(HEAD + body + tail, 0x7C00), entry=0x7C00)
        assert vm.run(instructions=100).reason == "halted"
        assert (vm.regs.ebx & 0xFFFF, vm.regs.edx & (CF | PF | AF | ZF | SF | OF)) == (answer, flags)


@pytest.mark.parametrize("tier", ["python", "threaded", "native"])
@pytest.mark.parametrize("before, reads", [k for k in READ_AND_SHOWN if not k[1].startswith(("adc", "inc"))])
def test_the_load_itself_faults_and_shows_them(tier, before, reads):
    """Beyond the limit of its segment: #GP, interrupt 13, with the flags of the instruction before it."""
    with VM(memory="1M", bare="real", tier=tier) as vm:
        head = HEAD.replace("[0]", "[52]").replace("[2]", "[54]")
        vm.load(0x7C00, demo.assemble(f"{head}\nmov bp, 0x77\n{before}\nmov esi, [0xFFFE]\n{reads}\ncmp al, al\nhlt\n"
                                      "shown: pop ax\npop ax\npop dx\nhlt\n", 0x7C00), entry=0x7C00)
        assert vm.run(instructions=100).reason == "halted"
        assert vm.regs.edx & (CF | PF | AF | ZF | SF | OF) == READ_AND_SHOWN[before, reads][1]

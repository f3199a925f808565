"""Non-maskable interrupts: SDM volume 3, 6.7.1 (handling of several), 6.8.3 (after MOV SS), and volume 2, POP SS; and what comes first
of two interrupts and traps at one boundary: 6.9, table 6-2.

The local APIC sends them: its ICR, with delivery mode 4, to itself.
"""
import types

import pytest

from pyv86_nb import VM, demo

GUEST = """
        mov     esp, 0x9000
        mov     eax, offset handler
        mov     word ptr [0x3010], ax           # vector 2
        mov     word ptr [0x3012], 8
        mov     dword ptr [0x3014], 0x8E00
        mov     eax, offset undefined
        mov     word ptr [0x3030], ax           # vector 6
        mov     word ptr [0x3032], 8
        mov     dword ptr [0x3034], 0x8E00
        lgdt    [gdtr]
        lidt    [idtr]
        mov     dword ptr [0xFEE000F0], 0x1FF
        xor     ecx, ecx
        xor     edx, edx
{body}
        hlt
handler:
        inc     ecx
{handler}
undefined:
        add     dword ptr [esp], 2
        iretd
idtr:   .short  0x7FF
        .long   0x3000
gdtr:   .short  23
        .long   gdt
gdt:    .quad   0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
"""
SEND = "        mov     dword ptr [0xFEE00300], 0x44400\n"


@pytest.fixture(params=["native", "threaded", "python"])
def run(request):
    def run(body, handler="        iretd"):
        with VM("1M", bare="flat", tier=request.param) as vm:
            vm.load(0x1000, demo.assemble(GUEST.format(body=body, handler=handler), 0x1000, bits=32), entry=0x1000)
            stop = vm.run(instructions=500)
            assert stop.reason == "halted"
            return types.SimpleNamespace(**{n: getattr(vm.regs, n) for n in ("ebx", "ecx", "edx", "esi")})
    return run


def test_it_is_taken_with_if_clear(run):
    assert run(SEND + "nop").ecx == 1


def test_blocked_until_iret_and_one_is_kept(run):
    """6.7.1: "the processor ... does not receive additional NMIs until the next execution of the IRET instruction"; one that came
    meanwhile is kept, of two one."""
    once = "cmp ecx, 1\n jne 1f\n" + SEND + "nop\n" + SEND + "mov edx, ecx\n mov ebx, esp\n1: iretd"
    r = run(SEND + "nop\n nop\n nop", once)
    assert (r.ecx, r.edx, r.ebx) == (2, 1, 0x9000 - 12), "not nested"


def test_any_iret_ends_it(run):
    """6.7.1: of an exception's handler too, inside that of the NMI."""
    once = "cmp ecx, 1\n jne 1f\n" + SEND + "nop\n mov edx, ecx\n .byte 0x0F, 0x0B\n nop\n mov esi, ecx\n1: iretd"
    r = run(SEND + "nop\n nop", once)
    assert (r.ecx, r.edx, r.esi) == (2, 1, 2)


@pytest.mark.parametrize("load", ["mov ss, eax", "pop ss"])
def test_not_between_the_halves_of_a_stack_switch(run, load):
    """vol. 2, POP SS: it "inhibits all interrupts, including the NMI interrupt, until after execution of the next instruction".  The
    NMI waits behind the IRET of the first, and that returns to the load."""
    body = "mov eax, 0x10\n push eax\n" + SEND + f"nop\n{load}\n mov esp, 0x8000\n nop"
    once = ("cmp ecx, 1\n jne 1f\n" + SEND + "jmp 2f\n1: mov esi, esp\n2: iretd")
    r = run(body, once)
    assert r.ecx == 2
    nearer = run("mov eax, 0x10\n push eax\n mov edi, 0xFEE00300\n mov dword ptr [edi], 0x44400\n" + f"{load}\n mov esp, 0x8000\n nop", "mov esi, esp\n iretd")
    assert nearer.ecx == 1 and nearer.esi in (0x9000 - 4 - 12, 0x8000 - 12), "before the load or after both"


# TABLE 6-2: each handler leaves its vector at EBP, and after it the EIP that it returns to

ORDER = """
        mov     esp, 0x9000
        mov     ebp, 0x5000
        mov     esi, 0x3000
{gates}
        lgdt    [gdtr]
        lidt    [idtr]
        mov     dword ptr [0xFEE000F0], 0x1FF
        mov     edi, 0xFEE00300
{body}
        nop
        nop
        cli
        hlt
{handlers}
idtr:   .short  0x7FF
        .long   0x3000
gdtr:   .short  15
        .long   gdt
gdt:    .quad   0, 0x00CF9B000000FFFF
"""
HANDLER = """
on_{v}: mov     dword ptr [ebp], {v}
        push    eax
        mov     eax, [esp + 4]
        mov     [ebp + 4], eax
        pop     eax
        add     ebp, 8
        and     dword ptr [esp + 8], 0xFFFFFEFF                  # no more single steps
        or      dword ptr [esp + 8], {rf}                        # RF after #DB: the breakpoint is over
        mov     dword ptr [0xFEE000B0], 0
        iretd
"""
GATE = """
        mov     eax, offset on_{v}
        mov     word ptr [esi + 8 * {v}], ax
        mov     word ptr [esi + 8 * {v} + 2], 8
        mov     dword ptr [esi + 8 * {v} + 4], 0x8E00
"""
TO_ITSELF, NMI_TO_ITSELF = "mov dword ptr [edi], 0x44050\n", "mov dword ptr [edi], 0x44400\n"
BOUNDARIES = {  # what happens at `here`, and the handlers in order, each with the place it returns to
    "NMI before INTR": (TO_ITSELF + "sti\n" + NMI_TO_ITSELF + "here: nop\n", [(2, "here"), (0x50, "here")]),
    "trap before NMI": ("push 0x102\n popfd\n" + NMI_TO_ITSELF + "here: nop\n", [(2, "on_1"), (1, "here")]),
    "trap before INTR": (TO_ITSELF + "push 0x302\n popfd\n here: nop\n", [(0x50, "here")]),
    "INTR before a code breakpoint": ("mov eax, offset here\n mov dr0, eax\n mov eax, 0x402\n mov dr7, eax\n" + TO_ITSELF + "sti\n nop\n here: nop\n",
                                      [(0x50, "here"), (1, "here")])}


@pytest.mark.parametrize("tier", ["native", "threaded", "python"])
@pytest.mark.parametrize("name", BOUNDARIES)
def test_what_comes_first(tier, name):
    """Traps on the instruction before, then NMI, then INTR, then code breakpoints.   A trap's handler is entered, and what comes next
    interrupts that at its first instruction.  (POPFD that sets TF and IF: INTR comes before the first step.)"""
    body, want = BOUNDARIES[name]
    vectors = 1, 2, 0x50
    source = ORDER.format(body=body, gates="".join(GATE.format(v=v) for v in vectors), handlers="".join(HANDLER.format(v=v, rf=0x10000 * (v == 1)) for v in vectors))
    with VM("1M", bare="flat", tier=tier) as vm:
        code = demo.assemble(source, 0x1000, bits=32)
        vm.load(0x1000, code, entry=0x1000)
        assert vm.run(instructions=500).reason == "halted"
        n = (vm.regs.ebp - 0x5000) // 8
        words = [int.from_bytes(vm.memory[0x5000 + 4 * i:0x5004 + 4 * i], "little") for i in range(2 * n)]
    assert list(zip(words[::2], words[1::2], strict=True))[:len(want)] == [(v, code.symbols[to]) for v, to in want]

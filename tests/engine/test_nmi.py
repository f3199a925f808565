"""Non-maskable interrupts: SDM volume 3, 6.7.1 (handling of several), 6.8.3 (after MOV SS), and volume 2, POP SS.

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

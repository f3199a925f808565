"""A timer that is due at any moment around CLI and STI.   Oracle: SDM vol. 2, STI: "the processor begins to respond to external, maskable
interrupts after the next instruction is executed"; CLI: "maskable external interrupts are ignored"."""
import pytest
from timer_guest import timer_guest

from pyv86_nb import VM, demo
from pyv86_nb.engine.processor import TIERS

HISTOGRAM = 0x600                                        # of the IPs that interrupts return to, a word each
PROGRAM = timer_guest("tick", 193) + """
        mov     cx, 4000
        sti
        jmp     again
again:  cli
closed: add     ax, 3
        nop
        sti
next:   add     ax, 5
open:   sti
still:  add     dx, ax
        LAST
        cli
        hlt
tick:   push    bp
        push    bx
        push    ax
        mov     bp, sp
        mov     bx, [bp + 6]
        sub     bx, 0x7C00
        add     bx, bx
        inc     word ptr [bx + 0x600]
        mov     al, 0x20
        out     0x20, al
        pop     ax
        pop     bx
        pop     bp
        iret
"""


def returned_to(tier, last, mips):
    code = demo.assemble(PROGRAM.replace("LAST", last), 0x7C00)
    with VM("1M", bare="real", tier=tier, mips=mips) as vm:
        vm.load(0x7C00, code, entry=0x7C00)
        assert vm.run(timeout=60).reason == "halted"
        words = vm.memory[HISTOGRAM:HISTOGRAM + 0x200]
        counts = {0x7C00 + i // 2: int.from_bytes(words[i:i + 2], "little") for i in range(0, 0x200, 2)}
        return code.symbols, {at: n for at, n in counts.items() if n}, (vm.instructions, vm.regs.eax, vm.regs.edx)


@pytest.mark.parametrize("mips", [2, 3])
@pytest.mark.parametrize("last", ["loop again", "dec cx\n jnz again"])
def test_one_more_instruction(last, mips):
    """Behind the second STI, which changes nothing, there is none to wait for."""
    symbols, counts, end = returned_to("native", last, mips)
    places = {n: symbols[n] for n in ("again", "closed", "next", "open", "still")}
    assert set(counts) & {places["closed"], places["closed"] + 3, places["closed"] + 4, places["next"]} == set()
    assert min(counts.get(places[n], 0) for n in ("again", "open", "still")) > 3, counts
    for tier in TIERS:
        assert returned_to(tier, last, mips)[1:] == (counts, end), tier

"""Repeated string instructions that the timer interrupts.   Oracle: SDM vol. 2, REP: "an interrupt suspends the string operation; the
state of the registers is preserved to allow it to be resumed"; EIP is the instruction's, and what it does in the end is what it does alone."""
import pytest
from timer_guest import timer_guest

from pyv86_nb import VM, demo
from pyv86_nb.engine.processor import TIERS

ROWS, COUNT = 0x500, 0x1000                              # what the handler puts down: IP, CX, SI, DI, flags
PROGRAM = timer_guest("tick", 244) + """
        mov     bp, 0x500
        mov     ax, 0x2000
        mov     ds, ax
        mov     ax, 0x3000
        mov     es, ax
        xor     si, si
        xor     di, di
        mov     cx, 0x1000
        mov     eax, 0x5A5A5A5A
        mov     dx, 0x80
        cld
        sti
string: INSTRUCTION
after:  cli
        hlt
tick:   push    ax
        push    bx
        cmp     bp, 0x500 + 32 * 10
        jae     1f
        mov     bx, sp
        push    ds
        mov     ax, ss
        mov     ds, ax
        mov     ax, [bx + 4]
        mov     [bp], ax
        mov     [bp + 2], cx
        mov     [bp + 4], si
        mov     [bp + 6], di
        mov     ax, [bx + 8]
        mov     [bp + 8], ax
        pop     ds
        add     bp, 10
1:      mov     al, 0x20
        out     0x20, al
        pop     bx
        pop     ax
        iret
"""
# how far SI and DI move
STRINGS = {"rep movsb": (1, 1), "rep stosd": (0, 4), "rep lodsb": (1, 0), "repe cmpsb": (1, 1), "repne scasw": (0, 2), "repe scasb": (0, 1),
           "rep outsb": (1, 0), "rep insb": (0, 1)}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("text", STRINGS)
def test_the_timer_comes_between_elements(text, tier):
    si, di = STRINGS[text]
    code = demo.assemble(PROGRAM.replace("INSTRUCTION", text), 0x7C00)
    string, after = code.symbols["string"], code.symbols["after"]
    source, target = bytes(range(1, 251)) * 70, {"repe cmpsb": bytes(range(1, 251)) * 70, "repe scasb": b"\x5A" * 0x5000}.get(text, bytes(0x10000))
    with VM("1M", bare="real", tier=tier, mips=2) as vm:
        vm.load(0x7C00, code, entry=0x7C00)
        vm.memory[0x20000:0x20000 + len(source)] = source
        vm.memory[0x30000:0x30000 + len(target)] = target
        assert vm.run(timeout=60).reason == "halted"
        r = vm.regs
        n = (r.ebp - ROWS) // 10
        rows = [[int.from_bytes(vm.memory.read(ROWS + 10 * i + 2 * j, 2), "little") for j in range(5)] for i in range(n)]
        within = [row for row in rows if row[0] == string]
        assert len(within) > 3 and all(row[0] in (string, after) for row in rows)
        for _, cx, at_si, at_di, flags in within:
            done = COUNT - cx
            assert 0 < cx < COUNT and (at_si, at_di) == (si * done & 0xFFFF, di * done & 0xFFFF) and flags & 0x200
        assert [cx for _, cx, *_ in within] == sorted({cx for _, cx, *_ in within}, reverse=True)
        assert (r.ecx & 0xFFFF, r.esi, r.edi) == (0, si * COUNT & 0xFFFF, di * COUNT & 0xFFFF)
        if text == "rep movsb": assert bytes(vm.memory[0x30000:0x31000]) == source[:COUNT]
        if text == "rep stosd": assert bytes(vm.memory[0x30000:0x34000]) == b"\x5A" * 0x4000
        if text == "rep lodsb": assert r.eax & 255 == source[COUNT - 1]

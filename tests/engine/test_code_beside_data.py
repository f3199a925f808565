"""Code that is written, run, and written again in a page that holds other code.  Oracle: SDM volume 3, 12.6, self-modifying code:
a write is seen by the next fetch of that address by the same processor.
"""
import pytest
from worlds import DATA, TABLES, Machine, World

from pyv86_nb import VM, demo

WRITTEN_TWICE = """
        .org    0
start:  mov     byte ptr [made], 0xB0                   # MOV AL, 1; RET, where no code is yet
        mov     byte ptr [made + 1], 1
        mov     byte ptr [made + 2], 0xC3
        call    made
        mov     bl, al
        mov     byte ptr [made + 1], 2                  # and now there is
        call    made
        mov     bh, al
        hlt
        .org    0x800
made:   .fill   16
"""


@pytest.mark.parametrize("tier", ["native", "threaded", "python"])
@pytest.mark.parametrize("offset", [0, 3, 61])
def test_what_is_written_over_run_code_is_run(tier, offset):
    with VM(memory="1M", bare="real", tier=tier) as vm:
        vm.regs.esp = 0x8000
        vm.load(0x1000, demo.assemble(WRITTEN_TWICE.replace("made:", f".fill {offset}\nmade:"), 0x1000), entry=0x1000)
        assert vm.run(instructions=100).reason == "halted"
        assert vm.regs.ebx == 0x0201


@pytest.mark.parametrize("tier", ["native", "threaded", "python"])
def test_a_page_table_that_is_run(tier):
    """4.8: a write sets A and D of the entry.  The entry is the next instruction: 03 C0, ADD EAX, EAX, becomes 63 C0, ARPL AX, AX."""
    world = World("paged", paging=True)
    memory, entries = bytearray(world.image), TABLES + 0x1000
    at = entries + 4 * 0x3C
    memory[at - 4:at + 8] = bytes.fromhex("90 90 88 06 03 c0 03 00 f4 f4 f4 f4")          # MOV [ESI], AL; entry 3Ch; ADD EAX, [EAX]; HLT
    memory[DATA + 0x100:DATA + 0x104] = bytes([5, 0, 0, 0])
    m = Machine(tier, world)
    m.start(bytes(memory), [DATA + 0x100, 0, 0, 0, 0x22800, 0, 0x3C010, 0], at - 4, 2)
    why, regs, *_ = m.run()
    assert (why, regs[0], m.ram[at], m.p.instructions) == ("halt", DATA + 0x105, 0x63, 6)


WRITTEN_OFTEN = """
        xor     eax, eax
        mov     ecx, 3000
again:  mov     [patched + 1], cl                       # the operand of the next block's first instruction, as GRUB calls the BIOS
        jmp     patched
patched:
        mov     dl, 0
        movzx   edx, dl
        add     eax, edx
        dec     cx
        jnz     again
        hlt
"""


@pytest.mark.parametrize("tier", ["native", "threaded", "python"])
def test_blocks_that_are_made_anew_leave_nothing_to_walk_through(tier):
    with VM(memory="1M", bare="real", tier=tier) as vm:
        vm.load(0x1000, demo.assemble(WRITTEN_OFTEN, 0x1000, bits=16), entry=0x1000)
        assert vm.run(instructions=100_000).reason == "halted"
        assert vm.regs.eax == sum(n & 255 for n in range(1, 3001))
        if tier == "python": return                      # which keeps no code
        t = vm._machine.processor._code[0]
        assert t["dropped"] >= 2999

        def tombstones(b):
            n = 0
            while b: n, b = n + (not t["blocks"]["alive"][b]), t["blocks"]["chain"][b]
            return n
        assert max(tombstones(b) for b in t["buckets"] if b) < 10

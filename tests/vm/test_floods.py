"""Guests that drown themselves in interrupts: the machine stays the host's to stop.   Oracle: the 8259A's, 8254's and APIC's manuals say what the
guest gets (handlers, one after another); the rest is this project's own promise: guest time passes, a run ends when it should, pause() returns."""
import time

import pytest
from timer_guest import timer_guest

from pyv86_nb import VM, demo

# the shortest count that mode 2 has
PIT = timer_guest("handler", 2) + """
        sti
1:      inc     ebx
        jmp     1b
handler:
        inc     ecx
        mov     al, 0x20
        out     0x20, al
        iret
"""
APIC = """
        mov     esp, 0x9000
        mov     eax, offset handler
        mov     word ptr [0x3280], ax           # vector 50h: gate 50h of an IDT at 3000h
        mov     word ptr [0x3282], 8
        mov     dword ptr [0x3284], 0x8E00
        lgdt    [gdtr]
        lidt    [idtr]
        mov     dword ptr [0xFEE000F0], 0x1FF
        mov     dword ptr [0xFEE00320], 0x20050 # periodic, vector 50h
        mov     dword ptr [0xFEE003E0], 11      # divide by 1
        mov     dword ptr [0xFEE00380], 1       # 10 ns: one interrupt an instruction
        xor     ecx, ecx
        sti
1:      inc     ebx
        jmp     1b
handler:
        inc     ecx
{body}
        iret
idtr:   .short  0x7FF
        .long   0x3000
gdtr:   .short  15
        .long   gdt
gdt:    .quad   0, 0x00CF9B000000FFFF           # a flat code segment
"""
EOI = "        mov     dword ptr [0xFEE000B0], 0\n"
SELF = "        mov     dword ptr [0xFEE00300], 0x44050 # to itself, before the end of this one\n" + EOI
FLOODS = {"pit": (PIT, "real"), "apic timer": (APIC.format(body=EOI), "flat"), "apic without end": (APIC.format(body=""), "flat"),
          "messages to itself": (APIC.format(body=SELF), "flat")}


def drowning(name, **given):
    text, kind = FLOODS[name]
    vm = VM("2M", bare=kind, **given)
    vm.load(0x1000, demo.assemble(text, 0x1000, bits=16 if kind == "real" else 32), entry=0x1000)
    return vm


@pytest.mark.parametrize("name", FLOODS)
def test_guest_time_passes_and_a_run_ends(name):
    with drowning(name, mips=20) as vm:
        stop = vm.run(seconds=0.02, timeout=60)
        assert stop.reason == "seconds" and stop.time >= 0.02
        taken = vm.regs.ecx
        assert taken == 1 if name == "apic without end" else taken > 1000, taken
        began = time.perf_counter()
        assert vm.run(timeout=0.2).reason == "timeout" and time.perf_counter() - began < 10
        vm.start()
        time.sleep(0.1)
        began = time.perf_counter()
        vm.pause()
        assert time.perf_counter() - began < 10 and vm.state == "paused"


@pytest.mark.parametrize("name", FLOODS)
def test_the_tiers_drown_alike(name):
    seen = set()
    for tier in ("python", "threaded", "native"):
        with drowning(name, tier=tier) as vm:
            vm.run(instructions=3000)
            seen.add((vm.instructions, vm.time, vm.regs.eip, vm.regs.ebx, vm.regs.ecx, vm.regs.esp))
    assert len(seen) == 1, seen


COPIES = """
        mov     eax, 0x00001000         # fw_cfg, "DMA interface": the address of this structure, high byte first
        mov     dword ptr [0x100000], 0x02000000        # read
        mov     dword ptr [0x100004], 0x00004000        # 4 MiB of item 0, which ends in zeros
        mov     dword ptr [0x100008], 0
        mov     dword ptr [0x10000C], 0x00002000        # to 200000h
        mov     dx, 0x518
1:      mov     dword ptr [0x100000], 0x02000000
        out     dx, eax
        inc     ecx
        jmp     1b
"""


def test_an_out_that_moves_megabytes_does_not_hold_the_host():
    """Guest time passes by instructions; a slice must not be as many of these as of others."""
    with VM("8M", bare="flat") as vm:
        vm.load(0x1000, demo.assemble(COPIES, 0x1000, bits=32), entry=0x1000)
        began = time.perf_counter()
        assert vm.run(timeout=0.1).reason == "timeout" and time.perf_counter() - began < 5
        assert 0 < vm.regs.ecx < 100_000 and vm.memory[0x100000:0x100004].tobytes() == bytes(4)
        vm.start()
        time.sleep(0.1)
        began = time.perf_counter()
        vm.pause()
        assert time.perf_counter() - began < 2

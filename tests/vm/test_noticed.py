"""Waiting for a text while nothing moves: the chips say when something does.   Oracle: the moment at which the guest writes, counted by its own loop."""
import pytest

from pyv86_nb import VM, demo

TIERS = ("native", "threaded")
MIPS, TURNS = 2, 6_000_000                               # LOOP takes a tick a turn: 3 guest seconds of silence
WRITE = {
    "screen": "mov ax, 0xB800; mov es, ax; mov word ptr es:[160], 0x0758",       # X, at the second row
    "line": "mov dx, 0x3FB; mov al, 0x83; out dx, al; mov dx, 0x3F8; mov al, 1; out dx, al; inc dx; dec ax; out dx, al; "
            "mov dx, 0x3FB; mov al, 3; out dx, al; mov dx, 0x3F8; mov al, 'X'; out dx, al",
    "start address": "mov dx, 0x3D4; mov ax, 0x010C; out dx, ax",                # CRT controller: the screen begins 100h cells further on
}
BEHIND = "mov ax, 0xB800; mov es, ax; mov word ptr es:[0x1000], 0x0758"          # beyond what is shown at first
TEXT_MODE = "mov al, 0x67; mov dx, 0x3C2; out dx, al; " + "; ".join(
    f"mov dx, {port}; mov ax, {value << 8 | index}; out dx, ax" for port, index, value in (
        (0x3D4, 0x11, 0), (0x3D4, 1, 79), (0x3D4, 6, 0xBF), (0x3D4, 7, 0x1F), (0x3D4, 9, 0x4F), (0x3D4, 0x12, 0x8F), (0x3D4, 0x13, 40), (0x3D4, 0x17, 0xA3),
        (0x3C4, 2, 3), (0x3C4, 4, 2), (0x3CE, 5, 0x10), (0x3CE, 6, 0x0E), (0x3CE, 8, 0xFF)))


@pytest.mark.parametrize("where", WRITE)
def test_a_text_after_a_long_silence(where):
    ends = {}
    for tier in TIERS:
        program = f"{TEXT_MODE}; {BEHIND if where == 'start address' else 'nop'}; mov ecx, {TURNS}; 1: .byte 0x67; loop 1b; {WRITE[where]}; 2: jmp 2b"
        with VM("1M", bare="real", tier=tier, mips=MIPS) as vm:
            vm.load(0x7C00, demo.assemble(program, 0x7C00, bits=16), entry=0x7C00)
            looks, look = [], vm._runner.look
            vm._runner.look = lambda now, looks=looks, look=look: (looks.append(now), look(now))[1]
            stop = vm.run(until="X", seconds=10)
            assert stop.reason == "until", vm.screen.text()
            assert TURNS / MIPS / 1e6 <= stop.time <= TURNS / MIPS / 1e6 + 0.006 and len(looks) < 80
            ends[tier] = stop.instructions, looks
    assert len({str(e) for e in ends.values()}) == 1

"""Guest MIPS on the branchy program (guest.py), each tier and QEMU TCG on the same code in the same run.

Both run a warm-up first, so neither pays for translation.  The instructions are counted by this PC; QEMU executes the same
ones, timed by what the guest writes to port E9h before and after.
"""
from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time

import guest
from common import median, report, row
from qemu import PROGRAM, found

REPS = {"python": 1, "threaded": 3000, "native": 20_000, "qemu": 20_000}
TURNS = 5
STUB = 0x800


def stub(reps: int, top: int, end: str, warm: int = 1) -> str:
    """Call top(warm), then top(reps); mark both ends at port E9h."""
    return f"""
        mov     esp, {guest.STACK}
        push    {guest.BUFFER}
        push    {warm}
        mov     eax, {top}
        call    eax
        mov     al, 'S'
        out     0xE9, al
        push    {guest.BUFFER}
        push    {reps}
        mov     eax, {top}
        call    eax
        mov     ebx, eax
        mov     al, 'E'
        out     0xE9, al
        {end}
"""


def ours(tier: str, code: bytes, top: int, reps: int = 0, warm: int = 500_000, memory: str = "16M") -> tuple[float, float, int, int]:
    """MIPS and seconds after so many instructions for warming up, all instructions, and the program's answer."""
    from pyv86_nb import VM, demo

    with VM(memory=memory, bare="flat", tier=tier) as vm:
        vm.load(guest.ORIGIN, code)
        vm.load(guest.BUFFER, guest.data())
        vm.load(STUB, demo.assemble(stub(reps or REPS[tier], top, "hlt"), STUB, bits=32), entry=STUB)
        warm = vm.run(instructions=100 if tier == "python" else warm)
        start = time.perf_counter()
        stop = vm.run(timeout=300)
        took = time.perf_counter() - start
        assert stop.reason == "halted", stop
        done = stop.instructions - warm.instructions
        return done / took / 1e6, took, stop.instructions, int(vm.regs.ebx)


ENTER = """
        .org    0xFF00
start:  cli
        lgdt    cs:[0xFF80]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        .byte   0x66, 0xEA
        .long   flat
        .word   8
        .code32
flat:   mov     ax, 16
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     eax, 0x800
        jmp     eax
        .org    0xFF60
gdt:    .quad   0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
        .org    0xFF80
        .word   23
        .long   gdt
        .org    0xFFF0
        .code16
        .byte   0xE9                            # JMP start, in the same 64 KiB
        .word   0xFF00 - 0xFFF3
        .org    0x10000
"""


def theirs(code: bytes, top: int, reps: int = REPS["qemu"], memory: str = "16M") -> tuple[float, int]:
    """Seconds that QEMU TCG takes between the marks, and the program's answer."""
    from pyv86_nb import demo

    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d)
        answer = "mov ecx, 4; 1: mov al, bl; out 0xE9, al; shr ebx, 8; loop 1b; out 0xF4, al; hlt"
        for name, content in {"rom": demo.assemble(ENTER, 0xF0000), "code": code, "data": guest.data(),
                              "stub": demo.assemble(stub(reps, top, answer), STUB, bits=32)}.items():
            (folder / name).write_bytes(content)
        load = [f"loader,file={folder / name},addr={at:#x},force-raw=on" for name, at in
                (("code", guest.ORIGIN), ("data", guest.BUFFER), ("stub", STUB))]
        q = subprocess.Popen([PROGRAM, "-accel", "tcg", "-display", "none", "-nic", "none", "-m", memory, "-bios", str(folder / "rom"),
                              "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4", *(x for each in load for x in ("-device", each))],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        try:
            assert q.stdout.read(1) == b"S"
            start = time.perf_counter()
            assert q.stdout.read(1) == b"E"
            took = time.perf_counter() - start
            return took, int.from_bytes(b"".join(q.stdout.read(1) for _ in range(4)), "little")
        finally:
            q.kill()
            q.communicate()


def main() -> None:
    code, top = guest.build()
    tiers = [a for a in sys.argv[1:] if a in REPS] or ["python", "threaded", "native"]
    results: dict[str, list[tuple[float, float, int, int]]] = {t: [] for t in tiers}
    peer = []
    for turn in range(TURNS):
        for tier in tiers:
            if tier != "python" or not turn:
                results[tier].append(ours(tier, code, top))
        if found():
            peer.append(theirs(code, top))
    qemu = None
    if peer and "native" in results:
        _, _, instructions, answer = results["native"][0]
        assert all(a == answer for _, a in peer), f"QEMU computes {peer[0][1]:#x}, this PC {answer:#x}"
        qemu = instructions / median([t for t, _ in peer]) / 1e6
    rows = []
    for tier in tiers:
        mips = median([m for m, _, _, _ in results[tier]])
        goal, met, against = "", None, ""
        if tier == "threaded":
            goal, met = "≥ 150 MIPS", mips >= 150
        if tier == "native":
            goal, met = "at or above QEMU TCG", mips >= qemu if qemu else None
            against = f"QEMU TCG {qemu:.0f} MIPS, ratio {mips / qemu:.2f}" if qemu else "no QEMU here"
        rows.append(row(f"{tier} tier, branchy program", f"{mips:.3g} MIPS", goal, met, against,
                        f"median of {len(results[tier])}, {results[tier][0][2]:,} instructions"))
    report(rows)


if __name__ == "__main__":
    main()

"""From process start to the first guest instruction: with a warm cache, and the first start ever with an empty one."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from common import median, report, row
from qemu import PROGRAM, found

TURNS = 5
FIRST = "from pyv86_nb import VM; vm = VM(bare='real'); vm.load(0x1000, b'\\x40', entry=0x1000); vm.step(1); assert vm.regs.eax == 1"
# A ROM whose reset vector leaves QEMU at once through isa-debug-exit: OUT F4h, AL.
ROM = bytes(65536 - 16) + bytes.fromhex("E6F4 F4EBFD").ljust(16, b"\0")


def start(**environment: str) -> float:
    """Host seconds of one process that makes a VM and steps once."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST], check=True, env={**os.environ, **environment})
    return time.perf_counter() - began


def qemu() -> float:
    """Host seconds of a QEMU process that executes one instruction of its ROM and ends."""
    with tempfile.NamedTemporaryFile(suffix=".rom") as rom:
        rom.write(ROM)
        rom.flush()
        began = time.perf_counter()
        subprocess.run([PROGRAM, "-accel", "tcg", "-display", "none", "-nic", "none", "-bios", rom.name, "-device", "isa-debug-exit,iobase=0xf4"],
                       stderr=subprocess.DEVNULL, timeout=20)
        return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        cold = start(PYV86_CACHE=empty, NUMBA_CACHE_DIR=empty)
    start()
    warm = median([start() for _ in range(TURNS)])
    peer = f"QEMU TCG {median([qemu() for _ in range(TURNS)]) * 1e3:.0f} ms" if found() else "no QEMU here"
    report([row("process start to first instruction, warm", f"{warm * 1e3:.0f} ms", "≤ 1 s", warm <= 1, peer, f"median of {TURNS}"),
            row("first start ever, empty cache", f"{cold:.1f} s", "≤ 25 s", cold <= 25, note="once")])


if __name__ == "__main__":
    main()

"""Linux given to the machine, to the first line of its init: this PC in a running kernel with warm caches, against QEMU TCG from
process start, in turns.

    PYV86_IMAGES=folder python bench/linux.py                  # vmlinuz-tiny, initrd-mini.cpio.gz
    PYV86_DEBIAN=folder python bench/linux.py                  # and Debian's: vmlinuz-*-686 and initrd.gz in that folder
"""
from __future__ import annotations

import os
import pathlib
import subprocess
import time

from common import median, report, row
from qemu import PROGRAM, found

MARK, LINE = "BOOT-OK", "console=tty0 console=ttyS0,115200"


def folders() -> list[pathlib.Path]:
    root = pathlib.Path(__file__).resolve().parents[1]
    return [pathlib.Path(os.environ["PYV86_IMAGES"])] if os.environ.get("PYV86_IMAGES") else [p / "shared/images" for p in list(root.parents)[:2]]


def systems() -> list[tuple[str, pathlib.Path, pathlib.Path, str, int]]:
    """(name, kernel, initrd, memory, turns) of what is here."""
    out = [("tiny Linux", f / "vmlinuz-tiny", f / "initrd-mini.cpio.gz", "64M", 5) for f in folders() if (f / "vmlinuz-tiny").exists()][:1]
    if os.environ.get("PYV86_DEBIAN"):
        f = pathlib.Path(os.environ["PYV86_DEBIAN"])
        out += [(f"Debian {k.name.removeprefix('vmlinuz-')}", k, f / "initrd.gz", "256M", 1) for k in sorted(f.glob("vmlinuz-*"))]
    return out


def ours(kernel: pathlib.Path, initrd: pathlib.Path, memory: str) -> tuple[float, int]:
    """Host seconds and instructions of one boot, the making of the VM included."""
    from pyv86_nb import VM

    start = time.perf_counter()
    with VM(memory, kernel=kernel, initrd=initrd, cmdline=LINE) as vm:
        stop = vm.run(until=MARK, timeout=300)
        assert stop.reason == "until", f"{stop}\n{vm.serial[0].text[-2000:]}"
        return time.perf_counter() - start, stop.instructions


def theirs(kernel: pathlib.Path, initrd: pathlib.Path, memory: str) -> float:
    """Host seconds of one boot under QEMU."""
    start, log = time.perf_counter(), b""
    q = subprocess.Popen([PROGRAM, "-accel", "tcg", "-display", "none", "-nic", "none", "-m", memory, "-kernel", kernel, "-initrd", initrd,
                          "-append", LINE, "-serial", "stdio"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert q.stdout
    while MARK.encode() not in log:
        log += q.stdout.read1(65536)                                      # type: ignore[union-attr]
    took = time.perf_counter() - start
    q.kill()
    q.communicate()
    return took


def main() -> None:
    rows = []
    for name, kernel, initrd, memory, turns in systems():
        ours(kernel, initrd, memory)
        mine, peer, count = [], [], 0
        for _ in range(turns):
            took, count = ours(kernel, initrd, memory)
            mine.append(took)
            if found():
                peer.append(theirs(kernel, initrd, memory))
        a, b = median(mine), median(peer) if peer else None
        rows.append(row(f"{name} to {MARK}, warm kernel", f"{a * 1e3:.0f} ms", "at or below QEMU", a <= b if b else None,
                        f"QEMU TCG {b * 1e3:.0f} ms, ratio {a / b:.2f}" if b else "no QEMU here",
                        f"median of {turns}; {count / 1e6:.0f} M instructions"))
    report(rows or [row(f"Linux to {MARK}", "not measured: no vmlinuz-tiny here", "at or below QEMU", None)])


if __name__ == "__main__":
    main()

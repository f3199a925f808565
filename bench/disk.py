"""A disk read from its beginning inside Linux, by IDE DMA and by virtio-blk: this PC against QEMU TCG, in turns.

    PYV86_IMAGES=folder python bench/disk.py                   # vmlinuz-tiny, initrd-busybox.cpio.gz

`dd` of 256 MiB with blocks of 1 MiB, through the page cache (emptied before) and past it (O_DIRECT); host time from the command to its
end.  Both read the same file, which the host has in its own cache.
"""
from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Callable

from common import median, report, row
from linux import folders
from qemu import PROGRAM, found

MIB, TURNS = 256, 5
LINE = "console=tty0 console=ttyS0,115200 quiet"
PROMPT, EMPTY = "/ # ", "echo 3 > /proc/sys/vm/drop_caches"
BUSES = {"ide": ("IDE DMA", "/dev/sda"), "virtio": ("virtio-blk", "/dev/vda")}
WAYS = {"": "through the page cache", " iflag=direct": "O_DIRECT"}
Shell = Callable[[str], float]                           # runs a command; host seconds


class Ours:
    """A shell in this PC."""

    def __init__(self, files: pathlib.Path, image: pathlib.Path, bus: str) -> None:
        from pyv86_nb import VM
        from pyv86_nb.media.disk import Disk

        self.vm = VM("64M", kernel=files / "vmlinuz-tiny", initrd=files / "initrd-busybox.cpio.gz", cmdline=LINE, hda=Disk(image, bus=bus))
        assert self.vm.run(until=PROMPT, timeout=120).reason == "until"
        self.n = 0

    def __call__(self, command: str) -> float:
        self.n += 1
        self.vm.serial[0].write(f"{command}; echo E''ND{self.n}\n".encode())
        start = time.perf_counter()
        stop = self.vm.run(until=f"END{self.n}", timeout=120)
        assert stop.reason == "until", stop
        return time.perf_counter() - start

    def close(self) -> None:
        self.vm.close()


class Theirs:
    """A shell under QEMU."""

    def __init__(self, files: pathlib.Path, image: pathlib.Path, bus: str) -> None:
        self.log, self.n = b"", 0
        self.process = subprocess.Popen(
            [PROGRAM, "-accel", "tcg", "-display", "none", "-nic", "none", "-m", "64", "-kernel", files / "vmlinuz-tiny", "-initrd",
             files / "initrd-busybox.cpio.gz", "-append", LINE, "-serial", "stdio", "-drive", f"file={image},format=raw,if={bus},snapshot=on"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.wait(PROMPT)

    def wait(self, text: str) -> None:
        assert self.process.stdout
        while text.encode() not in self.log:
            piece = self.process.stdout.read1(65536)                      # type: ignore[attr-defined]
            assert piece, "QEMU ended"
            self.log += piece
        self.log = self.log.split(text.encode(), 1)[1]

    def __call__(self, command: str) -> float:
        assert self.process.stdin
        self.n += 1
        start = time.perf_counter()
        self.process.stdin.write(f"{command}; echo E''ND{self.n}\n".encode())
        self.process.stdin.flush()
        self.wait(f"END{self.n}")
        return time.perf_counter() - start

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def measured(machines: list[Ours | Theirs], device: str, way: str) -> list[float]:
    """The median of each machine, in turns."""
    times: list[list[float]] = [[] for _ in machines]
    for _ in range(TURNS + 1):
        for machine, mine in zip(machines, times, strict=True):
            machine(EMPTY)
            mine.append(machine(f"dd if={device} of=/dev/null bs=1M count={MIB}{way}"))
    return [median(t[1:]) for t in times]                                # the first turn warms up


def main() -> None:
    files = next((f for f in folders() if (f / "vmlinuz-tiny").exists()), None)
    if files is None:
        return report([row("disk read inside Linux", "not measured: no vmlinuz-tiny here", "at least QEMU's", None)])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        image = pathlib.Path(folder, "disk.img")
        with open(image, "wb") as f:
            for _ in range(MIB):
                f.write(os.urandom(1 << 20))
        for bus, (name, device) in BUSES.items():
            machines: list[Ours | Theirs] = [Ours(files, image, bus)]
            if found():
                machines.append(Theirs(files, image, bus))
            for way, how in WAYS.items():
                a, *b = measured(machines, device, way)
                rows.append(row(f"disk read inside Linux, {name}, {how}", f"{MIB / a:.0f} MiB/s", "at least QEMU's", a <= b[0] if b else None,
                                f"QEMU TCG {MIB / b[0]:.0f} MiB/s, ratio {b[0] / a:.2f}" if b else "no QEMU here", f"median of {TURNS}, {MIB} MiB"))
            for machine in machines:
                machine.close()
    report(rows)


if __name__ == "__main__":
    main()

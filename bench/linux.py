"""Linux to the first line of its init: this PC in a running kernel with warm caches, against QEMU TCG and v86 from process start, in turns.

    PYV86_IMAGES=folder python bench/linux.py [tiny] [isolinux] [686] [686-pae]       # all that can be had, without names

    tiny        vmlinuz-tiny, initrd-mini.cpio.gz, given to the machine          isolinux    the same from a CD with a menu
    686         Debian 12's kernel, fetched with apt, with a busybox             686-pae     the same

v86 puts a RAM disk at 64 MiB, so it has 128 MiB where the others have 64.
"""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import v86
from common import median, report, row
from qemu import PROGRAM, found

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from boots import debian, media_made  # type: ignore[import-not-found]  # noqa: E402

MARK, LINE = "BOOT-OK", "console=tty0 console=ttyS0,115200"
KINDS = "tiny", "isolinux", "686", "686-pae"


@dataclass
class System:
    """What is booted: a kernel with its RAM disk, or a CD."""

    name: str
    memory: int                                          # MiB
    turns: int
    kernel: pathlib.Path | None = None
    initrd: pathlib.Path | None = None
    cdrom: pathlib.Path | None = None


def folders() -> list[pathlib.Path]:
    return [pathlib.Path(os.environ["PYV86_IMAGES"])] if os.environ.get("PYV86_IMAGES") else [p / "shared/images" for p in list(ROOT.parents)[:2]]


def systems(kinds: list[str], work: pathlib.Path) -> list[System]:
    """Those that can be had here; files that are made go to `work`."""
    out = []
    images = next((f for f in folders() if (f / "vmlinuz-tiny").exists()), None)
    if images is not None:
        kernel, initrd = images / "vmlinuz-tiny", images / "initrd-mini.cpio.gz"
        if "tiny" in kinds:
            out.append(System("tiny Linux", 64, 5, kernel, initrd))
        if "isolinux" in kinds and media_made.ISOLINUX.exists():
            out.append(System("isolinux CD", 64, 5, cdrom=media_made.isolinux_iso(work, kernel, initrd)))
    wanted = [k for k in kinds if k.startswith("686")]
    try:
        root = debian.fetch(v86.cache("debian-i386")) if wanted else None
    except debian.NotHere as why:
        print(why, file=sys.stderr)
        root = None
    if root is not None:
        (initrd := work / "debian.gz").write_bytes(debian.initrd((root / "bin/busybox").read_bytes()))
        for kind in wanted:
            kernel = next(p for p in root.glob("boot/vmlinuz-*") if p.name.split("-", 3)[3] == kind)
            out.append(System(f"Debian {kind}", 256, 3, kernel, initrd))
    return out


def ours(s: System) -> tuple[float, int]:
    """Host seconds and instructions of one boot, the making of the VM included."""
    from pyv86_nb import VM

    given: dict[str, Any] = {"cdrom": s.cdrom} if s.cdrom else {"kernel": s.kernel, "initrd": s.initrd, "cmdline": LINE}
    start = time.perf_counter()
    with VM(f"{s.memory}M", **given) as vm:
        stop = vm.run(until=MARK, timeout=300)
        assert stop.reason == "until", f"{stop}\n{vm.serial[0].text[-2000:]}"
        return time.perf_counter() - start, stop.instructions


def qemu(s: System) -> float:
    """Host seconds of one boot under QEMU."""
    given = ["-cdrom", s.cdrom, "-boot", "d"] if s.cdrom else ["-kernel", s.kernel, "-initrd", s.initrd, "-append", LINE]
    start, log = time.perf_counter(), b""
    q = subprocess.Popen([PROGRAM, "-accel", "tcg", "-display", "none", "-nic", "none", "-m", str(s.memory), *map(str, given), "-serial", "stdio"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert q.stdout
    while MARK.encode() not in log:
        log += q.stdout.read1(65536)                                      # type: ignore[attr-defined]
    took = time.perf_counter() - start
    q.kill()
    q.communicate()
    return took


def other(s: System) -> float | None:
    """Host seconds of one boot under v86."""
    memory = max(s.memory, 128) << 20
    if s.cdrom:
        return v86.seconds(MARK, memory, cdrom=s.cdrom, boot_order=0x213)
    return v86.seconds(MARK, memory, bzimage=s.kernel, initrd=s.initrd, cmdline=LINE)


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for s in systems([a for a in sys.argv[1:] if a in KINDS] or list(KINDS), pathlib.Path(work)):
            ours(s)
            times: dict[str, list[float]] = {"": [], "QEMU TCG": [], "v86": []}
            count = 0
            for _ in range(s.turns):
                took, count = ours(s)
                times[""].append(took)
                if found():
                    times["QEMU TCG"].append(qemu(s))
                if (t := other(s)) is not None:
                    times["v86"].append(t)
            mine, *peers = [(name, median(t)) for name, t in times.items() if t]
            told = dict(peers)
            rows.append(row(f"{s.name} to {MARK}, warm kernel", f"{mine[1] * 1e3:.0f} ms", "at or below QEMU",
                            mine[1] <= told["QEMU TCG"] if "QEMU TCG" in told else None,
                            "; ".join(f"{name} {t * 1e3:.0f} ms, ratio {mine[1] / t:.2f}" for name, t in peers) or "no QEMU, no v86 here",
                            f"median of {s.turns}; {count / 1e6:.0f} M instructions"))
    report(rows or [row(f"Linux to {MARK}", "not measured: no vmlinuz-tiny here", "at or below QEMU", None)])


if __name__ == "__main__":
    main()

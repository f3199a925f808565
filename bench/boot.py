"""FreeDOS to its prompt: this PC in a running kernel with warm caches, against QEMU TCG from process start, in turns.

    PYV86_IMAGES=folder python bench/boot.py [image]
"""
from __future__ import annotations

import os
import pathlib
import sys
import time

from common import median, report, row
from qemu import Qemu, found

TURNS = 5
PROMPT = "A:\\>"


def image(name: str) -> pathlib.Path | None:
    """The floppy named on the command line, or this one in PYV86_IMAGES or beside the checkout."""
    named = [a for a in sys.argv[1:] if not a.startswith("-")]
    if named:
        return pathlib.Path(named[0])
    root = pathlib.Path(__file__).resolve().parents[1]
    places = [pathlib.Path(os.environ["PYV86_IMAGES"])] if os.environ.get("PYV86_IMAGES") else [p / "shared/images" for p in list(root.parents)[:2]]
    return next((p / name for p in places if (p / name).exists()), None)


def ours(path: pathlib.Path) -> tuple[float, int, float]:
    """Host seconds, instructions and guest seconds of one boot, the making of the VM included."""
    from pyv86_nb import VM

    start = time.perf_counter()
    with VM(fda=path, boot="a") as vm:
        stop = vm.run(until=PROMPT, timeout=120)
        took = time.perf_counter() - start
        assert stop.reason == "until", f"{stop}\n" + "\n".join(vm.screen.text())
        return took, stop.instructions, stop.time


def theirs(path: pathlib.Path) -> float:
    """Host seconds of one boot under QEMU."""
    with Qemu("-drive", f"file={path},if=floppy,format=raw", "-snapshot", "-boot", "a") as q:
        return q.wait(PROMPT)


def main() -> None:
    path = image("freedos722.img")
    if path is None:
        return report([row("FreeDOS to A:\\>", "not measured: no freedos722.img here", "at or below QEMU", None)])
    first, *_ = ours(path)
    mine, peer = [], []
    for _ in range(TURNS):
        took, instructions, guest = ours(path)
        mine.append(took)
        if found():
            peer.append(theirs(path))
    a, b = median(mine), median(peer) if peer else None
    report([row(
        "FreeDOS to A:\\>, warm kernel", f"{a * 1e3:.0f} ms", "at or below QEMU", a <= b if b else None,
        f"QEMU TCG {b * 1e3:.0f} ms, ratio {a / b:.2f}" if b else "no QEMU here",
        f"median of {TURNS}, first {first * 1e3:.0f} ms; {instructions / 1e6:.1f} M instructions, {guest:.2f} guest s")])


if __name__ == "__main__":
    main()

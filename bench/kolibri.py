"""KolibriOS from power-on to its desktop: this PC in a running kernel with warm caches, against QEMU TCG from process start, in turns.

    PYV86_IMAGES=folder python bench/kolibri.py [image]

Nobody touches the keyboard, so the boot menu waits its five seconds: in guest time here, which need not be waited for.  A second line has
Enter pressed at the menu, so nobody waits.  The desktop is there when the picture is, to the pixel and on both, the one that this PC shows
at rest (tests/boots compares it with QEMU's), without the clock and the processor's load.
"""
from __future__ import annotations

import pathlib
import tempfile
import time

import numpy as np
from boot import image
from common import median, report, row
from qemu import Qemu, found

TURNS, MENU = 3, "Press [abcde]"
NOT_COMPARED = np.s_[573:, 745:]


def masked(picture: np.ndarray) -> np.ndarray:
    if len(picture) == 600:
        picture[NOT_COMPARED] = 0
    return picture


def ours(path: pathlib.Path, enter: bool, desktop: np.ndarray | None) -> tuple[float, int, float, np.ndarray]:
    """Host seconds, instructions, guest seconds and the picture of one boot, the making of the VM included."""
    from pyv86_nb import VM

    start = time.perf_counter()
    with VM(fda=path, boot="a") as vm:
        if enter:
            assert vm.run(until=MENU, timeout=60).reason == "until"
            vm.keyboard.type("\n")
        while desktop is None or vm.screen.mode != "graphics 800x600" or not np.array_equal(masked(vm.screen.array()), desktop):
            stop = vm.run(seconds=0.1, timeout=60)
            assert stop.reason == "seconds" and stop.time < 60, f"no desktop: {stop}"
            if desktop is None and stop.time > 15:
                break
        return time.perf_counter() - start, vm.instructions, vm.time, masked(vm.screen.array())


def theirs(path: pathlib.Path, enter: bool, desktop: np.ndarray) -> float:
    """Host seconds of one boot under QEMU."""
    with tempfile.TemporaryDirectory() as folder, Qemu("-drive", f"file={path},if=floppy,format=raw", "-snapshot", "-boot", "a") as q:
        if enter:
            q.wait(MENU)
            q.keys("ret")
        while not np.array_equal(masked(q.screenshot(pathlib.Path(folder, "screen")).copy()), desktop):
            if time.perf_counter() - q.started > 300:
                raise TimeoutError("no desktop under QEMU")
            time.sleep(0.05)
        return time.perf_counter() - q.started


def main() -> None:
    path = image("kolibri.img")
    if path is None:
        return report([row("KolibriOS to its desktop", "not measured: no kolibri.img here", "half of QEMU", None)])
    desktop, rows = ours(path, False, None)[3], []
    for enter in (False, True):
        mine, peer, instructions, guest = [], [], 0, 0.0
        for _ in range(TURNS):
            took, instructions, guest, _ = ours(path, enter, desktop)
            mine.append(took)
            if found():
                peer.append(theirs(path, enter, desktop))
        a, b = median(mine), median(peer) if peer else None
        rows.append(row(
            "KolibriOS to its desktop" + (", Enter at its menu" if enter else "") + ", warm kernel", f"{a:.2f} s", "half of QEMU",
            a <= 0.5 * b if b else None, f"QEMU TCG {b:.2f} s, ratio {a / b:.2f}" if b else "no QEMU here",
            f"median of {TURNS}; {instructions / 1e6:.0f} M instructions, {guest:.1f} guest s"))
    report(rows)


if __name__ == "__main__":
    main()

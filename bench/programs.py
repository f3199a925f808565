"""Small programs in C (programs.c), the native tier beside QEMU TCG in the same run: ratio of times for the same work, geometric mean.

The number of repetitions is chosen so that this PC works for about half a second.  A repeated string instruction counts
as one in MIPS.
"""
from __future__ import annotations

import math
import pathlib
import re
import sys

import guest
from common import median, report, row
from mips import ours, theirs
from qemu import found

TURNS, SECONDS = 3, 0.5
TRIAL, WARM = 20, 100                                   # repetitions of the first try; instructions before the clock starts
SOURCE = pathlib.Path(__file__).with_name("programs.c")


def beside_qemu(text: str, *options: str, called: str = "") -> tuple[list[dict[str, object]], float | None]:
    """A row for each function u32 name(u32 repeat, u32 *memory) of a C text, and the geometric mean of the ratios, None without QEMU.

    Names on the command line choose among them."""
    names = re.findall(r"^u32 (\w+)\(u32 repeat", text, re.M)
    code, at = guest.compiled(text, "-O2", "-fno-builtin", *options)
    rows, ratios = [], []
    for name in [n for n in names if n in sys.argv[1:]] or names:
        _, took, _, _ = ours("native", code, at[name], TRIAL, WARM)
        reps = max(int(TRIAL * SECONDS / took), TRIAL)
        mine, peer = [], []
        for _ in range(TURNS):
            mips, took, _, answer = ours("native", code, at[name], reps, WARM)
            mine.append((took, mips))
            if found():
                took, other = theirs(code, at[name], reps)
                assert other == answer, f"{name}: QEMU computes {other:#x}, this PC {answer:#x}"
                peer.append(took)
        took, mips = median([t for t, _ in mine]), median([m for _, m in mine])
        if peer:
            ratios.append(median(peer) / took)
        against = f"QEMU TCG, ratio {ratios[-1]:.2f}" if peer else "no QEMU here"
        rows.append(row(called + name.replace("_", " "), f"{mips:.0f} MIPS", "", None, against, f"medians of {TURNS}"))
    return rows, math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def main() -> None:
    rows, mean = beside_qemu(SOURCE.read_text())
    if mean is not None:
        rows.append(row("small programs, geometric mean", f"{mean:.2f} x QEMU TCG", "≥ 1 x, aim 2 x", mean >= 1))
    report(rows)


if __name__ == "__main__":
    main()

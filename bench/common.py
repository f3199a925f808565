"""What the benchmarks share: medians, the conditions, and how a script hands its rows to `bench/run`."""
from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable


def median(values: list[float]) -> float:
    return statistics.median(values)


def timed(f: Callable[[], object]) -> float:
    """Host seconds that a call takes."""
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def row(what: str, ours: str, reach: str, met: bool | None, peer: str = "", note: str = "") -> dict[str, object]:
    """One line of the table; `met` None where there is no figure to reach."""
    return {"what": what, "ours": ours, "peer": peer, "reach": reach, "met": met, "note": note}


def report(rows: list[dict[str, object]]) -> None:
    """Print the rows, as JSON lines for bench/run, else as a table."""
    if "--json" in sys.argv:
        for r in rows:
            print(json.dumps(r))
    else:
        print(table(rows))


def table(rows: list[dict[str, object]]) -> str:
    """A Markdown table."""
    out = ["| what | here | peer, same run | reach | met |", "|---|---|---|---|---|"]
    for r in rows:
        met = {True: "yes", False: "NO", None: ""}[r["met"]]
        note = f" ({r['note']})" if r["note"] else ""
        out.append(f"| {r['what']}{note} | {r['ours']} | {r['peer']} | {r['reach']} | {met} |")
    return "\n".join(out)


def conditions() -> str:
    """One line: processor, cores, load, versions."""
    import llvmlite
    import numba

    try:
        with open("/proc/cpuinfo") as f:
            cpu = next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (f"{cpu}, {os.cpu_count()} cores, load {load:.1f}; {platform.system()}, CPython {platform.python_version()}, "
            f"numba {numba.__version__}, llvmlite {llvmlite.__version__}")

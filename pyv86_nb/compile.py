"""The first start: everything that is compiled, by processes of their own, side by side.

    echo kernels | python -m pyv86_nb.compile           # one part, into the cache
    prepare()                                           # all that is missing; a moment when nothing is

Parts: the handlers of the native and the threaded tier, the loop, the kernels, the chips of the board, its wires.  Later starts load object files.
"""
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from .engine import bus, cache, fpu_door, kernels, processor, stencils, unit

UNITS = {"loop": processor.LOOP, "kernels": kernels.UNIT, "fpu": fpu_door.UNIT, "wires": bus.WIRES}
COMMON = "kernels", "loop", "chips", "fpu", "wires"
TIERS = {"native": ("native", *COMMON), "threaded": ("threaded", *COMMON), "python": ("wires",)}
# glibc's malloc for what LLVM does, little but allocate and free: nothing goes back to the system, few pages, short ways.  A fifth quicker.
MALLOC = [f"glibc.malloc.{n}" for n in ("tcache_count=4000", "top_pad=67108864", "trim_threshold=1000000000", "mmap_threshold=1000000000",
                                         "hugetlb=1")]
# Seconds, for the progress bar.  In this order two processes share them best: chips and handlers, and what calls the same functions.
TYPICAL = {"chips": 10, "loop": 8, "kernels": 7, "native": 8, "threaded": 7, "fpu": 4, "wires": 1}


def missing(tier: str = "native") -> list[str]:
    """The parts that a tier needs and the cache has not."""
    names = {"native": "handlers-native.o", "threaded": "handlers-threaded.o", "chips": "chips-ready",
             **{part: unit.file_name(functions) for part, functions in UNITS.items()}}
    return [p for p in TIERS[tier] if cache.load(names[p]) is None]


def build(part: str) -> None:
    """Compile one part into the cache."""
    if part in ("native", "threaded"):
        stencils.load(part)
    elif part in UNITS:
        unit.addresses(UNITS[part])
    else:
        from .board.at_pc import at_pc
        at_pc()
        cache.save("chips-ready", b"1")


def prepare(tier: str = "native", progress: Callable[[int, int, str], None] | None = None) -> None:
    """Compile what is missing, in the order of TYPICAL, by as many processes as there are processors.  progress(done, total, what) is
    told several times a second, in seconds that such things usually take."""
    waiting = sorted(missing(tier), key=list(TYPICAL).index)
    if not waiting:
        return
    progress = progress or cache.progress or (lambda done, total, what: None)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total, begun, running = sum(TYPICAL[p] for p in waiting), time.monotonic(), set[str]()
    workers = [threading.Thread(target=_worker, args=(waiting, running), daemon=True) for _ in range(min(processors, len(waiting)))]
    speed = min(processors, 2)
    for w in workers:
        w.start()
    while any(w.is_alive() for w in workers):
        time.sleep(0.1)
        progress(min(int((time.monotonic() - begun) * speed), total - 1), total, "compiling " + ", ".join([*running, *waiting]))
    for part in missing(tier):                          # where no process can be started, and to show what is wrong
        build(part)
    progress(total, total, "ready")


def _worker(waiting: list[str], running: set[str]) -> None:
    """One process, which is given parts until none waits: what it has compiled for one it need not compile for the next."""
    command = [sys.executable, "-m", "pyv86_nb.compile"]
    try:
        child = subprocess.Popen(command, env=_environment(), text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return
    with child:
        assert child.stdin and child.stdout
        try:
            while waiting:
                part = waiting.pop(0)
                running.add(part)
                child.stdin.write(part + "\n")
                child.stdin.flush()
                done = child.stdout.readline()
                running.discard(part)
                if not done:
                    return
        except (OSError, IndexError):                   # the process has ended; another worker was quicker
            return


def _environment():
    """Of a child, which finds this package where we found it."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return {**os.environ, cache.LEAN: "1", "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "GLIBC_TUNABLES": ":".join([*filter(None, [os.environ.get("GLIBC_TUNABLES")]), *MALLOC])}


if __name__ == "__main__":
    gc.disable()                                        # nothing is thrown away before this process ends
    for line in sys.stdin:
        build(line.strip())
        print(line.strip(), flush=True)
    os._exit(0)                                         # to give back a gigabyte piece by piece takes two seconds

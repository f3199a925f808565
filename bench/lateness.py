"""How late the main thread is woken while a guest runs flat out in the background, and what an idle prompt costs."""
from __future__ import annotations

import os
import time

from boot import PROMPT, image
from common import report, row

SECONDS, NAP = 5.0, 0.001
# Never idle and never the same: arithmetic, memory, a port.
FLAT_OUT = """
        mov     edi, 0x10000
1:      imul    eax, eax, 1103515245
        add     eax, 12345
        mov     ecx, eax
        shr     ecx, 16
        and     ecx, 0xFFFC
        add     [edi + ecx], eax
        test    eax, 0xFFF00000
        jnz     1b
        in      al, 0x61
        jmp     1b
"""


def naps() -> list[float]:
    """How much later than asked this thread woke, in seconds, sorted."""
    late, end = [], time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        time.sleep(NAP)
        late.append(max(time.perf_counter() - start - NAP, 0))
    return sorted(late)


def busy() -> dict[str, object]:
    from pyv86_nb import VM, demo

    quiet = naps()
    with VM(memory="1M", bare="flat", clock="virtual") as vm:
        vm.load(0x1000, demo.assemble(FLAT_OUT, 0x1000, bits=32), entry=0x1000)
        vm.run(instructions=1_000_000)
        vm.start()
        late = naps()
        vm.pause()
        mips = vm.measured_mips
    p50, p99 = (late[int(len(late) * q)] * 1e3 for q in (0.5, 0.99))
    return row("main-thread lateness, guest flat out", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", "p99 ≤ 10 ms", p99 <= 10,
               f"no guest: p99 {quiet[int(len(quiet) * 0.99)] * 1e3:.2f} ms", f"{len(late)} naps of 1 ms" + (f", {mips:.0f} MIPS" if mips else ""))


def idle() -> dict[str, object]:
    """The FreeDOS prompt polls and never halts: in real time it may cost its guest rate, no more."""
    from pyv86_nb import VM

    path = image("freedos722.img")
    if path is None:
        return row("CPU of the FreeDOS prompt in real time", "not measured: no freedos722.img here", "", None)
    with VM(fda=path, clock="wall") as vm:
        vm.run(until=PROMPT, timeout=120)
        vm.start()
        time.sleep(1)
        cpu, count, start = time.process_time(), vm.instructions, time.perf_counter()
        time.sleep(SECONDS)
        wall = time.perf_counter() - start
        used, mips = (time.process_time() - cpu) / wall, (vm.instructions - count) / wall / 1e6
        vm.pause()
    return row("CPU of the FreeDOS prompt in real time", f"{used:.0%} of a core at {mips:.0f} MIPS", "below one core", used < 0.9)


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report([busy(), idle()])


if __name__ == "__main__":
    main()

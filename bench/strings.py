"""REP MOVS and REP STOS, the native tier beside the host's own memmove and memset, and QEMU TCG, on blocks of the same size.

STOS fills with zeros, as systems mostly do.
"""
from __future__ import annotations

import ctypes
import mmap

import guest
from common import median, report, row, timed
from mips import ours, theirs
from qemu import found

TURNS, MEMORY = 3, "64M"
SOURCE, TO = 0x1000000, 0x2000000
BLOCKS = {"1 KiB": 1 << 10, "16 KiB": 16 << 10, "256 KiB": 256 << 10, "16 MiB": 16 << 20}
BYTES, THEIR_BYTES = 1 << 33, 1 << 25                   # that each measurement moves: the first touch of a page is little of it; QEMU is much slower
BEFORE = 4                                              # instructions before the clock starts: none of them repeated
CALLS = 256 << 10                                       # the size from which the host's speed is not that of the calls


def program(instruction: str, elements: int) -> bytes:
    """top(repeat, buffer): so often the instruction on a block."""
    from pyv86_nb import demo

    return demo.assemble(f"""
        push    esi
        push    edi
        mov     edx, [esp+12]
        mov     esi, {SOURCE}
        cmp     dword ptr [esi], 0              # a page that was never written would be the host's one page of zeros
        jne     1f
        mov     edi, esi
        mov     ecx, {max(BLOCKS.values()) // 4}
        mov     eax, edx
        rep     stosd
1:      xor     eax, eax
2:      mov     esi, {SOURCE}
        mov     edi, {TO}
        mov     ecx, {elements}
        rep     {instruction}
        dec     edx
        jnz     2b
        mov     eax, edi
        pop     edi
        pop     esi
        ret
""", guest.ORIGIN, bits=32)


def of_host(moving: bool, size: int) -> float:
    """Bytes in a second of memmove or memset."""
    room = mmap.mmap(-1, 64 << 20)
    at = ctypes.addressof(ctypes.c_char.from_buffer(room))

    def work(times: int) -> None:
        for _ in range(times):
            if moving:
                ctypes.memmove(at + TO, at + SOURCE, size)
            else:
                ctypes.memset(at + TO, 1, size)

    ctypes.memset(at, 2, len(room))
    times = BYTES // size
    return BYTES / timed(lambda: work(times))


def main() -> None:
    rows = []
    for instruction, width in (("movsd", 4), ("movsb", 1), ("stosd", 4), ("stosb", 1)):
        for called, size in BLOCKS.items():
            code, times = program(instruction, size // width), BYTES // size
            mine, peer, host = [], [], []
            for _ in range(TURNS):
                _, took, _, answer = ours("native", code, guest.ORIGIN, times, BEFORE, MEMORY)
                mine.append(BYTES / took)
                if size >= CALLS:
                    host.append(of_host(instruction.startswith("m"), size))
                if found():
                    repeat = max(THEIR_BYTES // size, 1)
                    took, other = theirs(code, guest.ORIGIN, repeat, MEMORY)
                    assert other == answer
                    peer.append(repeat * size / took)
            against = [f"the host {median(host) / 1e9:.1f} GB/s, ratio {median(mine) / median(host):.2f}"] if host else []
            against += [f"QEMU TCG {median(peer) / 1e9:.2f} GB/s"] if peer else []
            rows.append(row(f"REP {instruction.upper()}, {called}", f"{median(mine) / 1e9:.1f} GB/s", "memory speed" if host else "", None,
                            "; ".join(against), f"medians of {TURNS}"))
    report(rows)


if __name__ == "__main__":
    main()

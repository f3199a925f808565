"""What the battery has kept: the CMOS bytes that a BIOS and an operating system expect of a set-up machine.

IBM PC/AT Technical Reference (1984), "CMOS RAM"; SeaBIOS src/hw/rtc.h and src/boot.c; Bochs and QEMU fill the same bytes.

    0E diagnostics  0F shutdown     15-16 base memory, KiB                    2E-2F sum of 10-2D
    10 floppy types, A in bits 7-4  17-18, 30-31 memory from 1 MiB on, KiB    32, 37 century
    12 hard disk types (F: see 19)  34-35 memory from 16 MiB on, 64 KiB       38, 3D boot order
    14 equipment                    5B-5D memory from 4 GiB on, 64 KiB        5F processors - 1
    19-1A disk types (47: own)      1B-23, 24-2C geometry of the disks        39 translation of the disks
"""
from __future__ import annotations

from collections.abc import Sequence

FLOPPY = {None: 0, "360K": 1, "1.2M": 2, "720K": 3, "1.44M": 4, "2.88M": 5}
BOOT = {"a": 1, "c": 2, "d": 3}
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
OWN_TYPE = 47


def translation(disk: tuple[int, int, int]) -> int:
    """How firmware shows a disk to INT 13h: 0 as it is, 1 by sector number (LBA assist), for INT 13h counts 1024 cylinders."""
    return int(disk[0] > 1024)


def fill(ram: memoryview, memory: int, *, floppies: Sequence[str | None] = (None, None),
         disks: Sequence[tuple[int, int, int] | None] = (None, None, None, None), boot: str = "cda", century: int = 20, cpus: int = 1,
         mouse: bool = True) -> None:
    """Write the bytes into the RTC's RAM.

    memory: bytes below 4 GiB; floppies: a drive type of FLOPPY each, None for no drive; disks: (cylinders, heads, sectors)
    of the four IDE drives; boot: letters of BOOT in their order.  ValueError for a drive type or letter that does not exist.
    """
    for f in floppies:
        if f not in FLOPPY: raise ValueError(f"a floppy drive is one of {', '.join(filter(None, FLOPPY))}, not {f!r}")
    if not boot or set(boot) - set(BOOT):
        raise ValueError(f"boot is an order of the letters a (floppy), c (disk), d (CD), not {boot!r}")

    def word(at, v): ram[at], ram[at + 1] = v & 255, v >> 8

    extended = min(max(memory - MIB, 0) // KIB, 0xFFFF)
    word(0x15, 640), word(0x17, extended), word(0x30, extended)
    word(0x34, min(max(memory - 16 * MIB, 0) // (64 * KIB), 0xFFFF))

    drives = [FLOPPY[f] for f in (*floppies, None, None)[:2]]
    n = sum(1 for d in drives if d)
    ram[0x10] = drives[0] << 4 | drives[1]
    ram[0x14] = (n - 1 << 6 | 1 if n else 0) | 2 | mouse << 2        # floppies, coprocessor, pointing device; VGA in 5-4: 0
    ram[0x12] = sum(0xF0 >> 4 * i for i, d in enumerate(disks[:2]) if d)
    for i, d in enumerate(disks[:2]):
        if not d: continue
        cylinders, heads, sectors = d
        at = 0x1B + 9 * i
        ram[0x19 + i] = OWN_TYPE
        word(at, cylinders)
        ram[at + 2], ram[at + 3], ram[at + 4], ram[at + 5] = heads & 255, 0xFF, 0xFF, 0xC0 | (heads > 8) << 3
        word(at + 6, cylinders)
        ram[at + 8] = sectors

    ram[0x39] = sum(translation(d) << 2 * i for i, d in enumerate(disks) if d)
    order = [BOOT[c] for c in boot] + [0, 0]
    ram[0x3D] = order[0] | order[1] << 4
    ram[0x38] = order[2] << 4 | 1                                    # bit 0: do not look for the floppy's signature
    ram[0x32] = ram[0x37] = century // 10 << 4 | century % 10
    ram[0x5F] = cpus - 1
    word(0x2E, sum(ram[0x10:0x2E]))
    ram[0x2E], ram[0x2F] = ram[0x2F], ram[0x2E]                      # the sum alone has its high byte first

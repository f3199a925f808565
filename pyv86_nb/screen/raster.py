"""How the CRT controller walks through display memory: one address and one row of the cell for each scan line.

    start address CRC, CRD + byte panning CR8      row r of cells begins at start + r * 2 * CR13, in steps of the address counter
    preset row scan CR8                            the first row of cells begins at this line of the cell
    line compare CR18                              below this line address and row begin again at 0 (split screen)
    CR9                                            bit 7: each line twice; bits 4-0: lines of a cell, less one

The address counter becomes a plane address as it is (byte mode, CR17 bit 6), times 2 (word) or times 4 (double word, CR14 bit 6); CR17 bits 0
and 1 at 0 put the row of the cell into address bits 13 and 14 (the interleaved lines of CGA and Hercules).

Not emulated: counting by two or four characters (CR17 bit 3, CR14 bit 5), interlace.
"""
import functools
from typing import NamedTuple

import numpy as np


class Raster(NamedTuple):
    """The picture as the CRT controller draws it; arrays have one entry a scan line."""
    columns: int                    # characters shown in a line
    lines: int                      # scan lines shown
    cell: int                       # lines of a cell, as counted (before doubling)
    double: int                     # 1: every line is drawn twice
    base: np.ndarray                # address counter at the left edge
    scan: np.ndarray                # line of the cell
    split: int                      # first scan line below the line compare (`lines` when there is no split)


def raster(vga) -> Raster:
    """The CRT controller's registers, unfolded.  Arrays are read-only: as long as the registers are the same, so are they."""
    return unfolded(bytes(vga.crtc[:0xE]), bytes(vga.crtc[0x10:0x19]))    # without the cursor's place


@functools.lru_cache(8)
def unfolded(low: bytes, high: bytes) -> Raster:
    c = low + bytes(2) + high
    over = c[7]
    lines = (c[0x12] | over >> 1 << 8 & 0x100 | over >> 6 << 9 & 0x200) + 1 << (c[0x17] >> 2 & 1)
    compare = c[0x18] | over >> 4 << 8 & 0x100 | c[9] >> 6 << 9 & 0x200
    double, cell, pitch = c[9] >> 7, (c[9] & 31) + 1, 2 * c[0x13]
    y = np.arange(lines)
    split = min(compare + 1, lines)
    n = np.where(y < split, (y >> double) + (c[8] & 31), y - split >> double)
    start = (c[0xC] << 8 | c[0xD]) + (c[8] >> 5 & 3)
    base = np.where(y < split, start, 0) + n // cell * pitch
    scan = n % cell
    base.flags.writeable = scan.flags.writeable = False
    return Raster(c[1] + 1, lines, cell, double, base, scan, split)


def addresses(vga, base, scan, columns) -> np.ndarray:
    """Plane addresses of `columns` characters of each line: (lines, columns)."""
    c = vga.crtc
    n = (base[:, None] + np.arange(columns)) & 0xFFFF
    if c[0x14] & 0x40: a = n << 2 | n >> 14 & 3
    elif c[0x17] & 0x40: a = n
    else: a = n << 1 | n >> (15 if c[0x17] & 0x20 else 13) & 1
    if not c[0x17] & 1: a = a & ~0x2000 | (scan[:, None] & 1) << 13
    if not c[0x17] & 2: a = a & ~0x4000 | (scan[:, None] & 2) << 13
    return a & 0xFFFF


def planes(vga) -> np.ndarray:
    """The four planes, (4, 65536), as a view."""
    return np.frombuffer(vga.planes, np.uint8).reshape(4, -1)


def panned(vga) -> int:
    """Pixels that the picture is moved to the left by (AR13)."""
    pan = vga.attr[0x13] & 15
    if vga.gr[6] & 1 or vga.seq[1] & 1: return pan >> 1 & 3 if vga.gr[5] & 0x40 else pan & 7
    return (pan + 1) % 9 if pan <= 8 else 0


def strips(vga, r, step):
    """The raster in strips of one panning: (base, scan, pan) of every step-th line, above and below the split."""
    pan = panned(vga)
    base, scan, above = r.base[::step], r.scan[::step], -(-r.split // step)
    if pan == 0 or above >= len(base) or not vga.attr[0x10] & 0x20: return [(base, scan, pan)]
    return [(base[:above], scan[:above], pan), (base[above:], scan[above:], 0)]

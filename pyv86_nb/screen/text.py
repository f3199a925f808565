"""Text modes: cells, characters, fonts, cursor, and the picture of them.   IBM PS/2 Hardware Interface Technical Reference, Video Subsystem.

    plane 0: character    plane 1: attribute 7 blink or background intensity (AR10 bit 3), 6-4 background, 3-0 foreground
    plane 2: fonts, eight of 8 KiB, 32 bytes a character; SR3 chooses one for attribute bit 3 = 0 and one for 1 (512 characters)
    9 dots (SR1 bit 0 = 0): the ninth is background, but for characters C0h-DFh, with AR10 bit 2, it repeats the eighth

Not emulated: underline (monochrome attributes), cursor skew.
"""
import functools
from typing import NamedTuple

import numpy as np

from .palette import palette16
from .raster import Raster, addresses, planes, raster, strips

CP437 = (" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼" + bytes(range(32, 127)).decode("ascii") + "⌂"
         + bytes(range(128, 255)).decode("cp437") + " ")
CHARACTERS = np.array(list(CP437))
FONT_AT = np.array([0x0000, 0x4000, 0x8000, 0xC000, 0x2000, 0x6000, 0xA000, 0xE000])
PLANE = 1 << 16                                          # plane 1 begins here
SOLID, LINE = 512, 256                                   # entries of the dot table: all on; the ninth dot repeats the eighth

_bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
_nine = np.zeros((513, 9), np.uint8)
_nine[:256, :8] = _nine[256:512, :8] = _bits
_nine[256:512, 8] = _bits[:, 7]
_nine[SOLID] = 1
DOTS = {8: np.ascontiguousarray(_nine[:, :8]), 9: _nine}
MASKS = {wide: dots * np.uint8(255) for wide, dots in DOTS.items()}


class Cursor(NamedTuple):
    """The hardware cursor.  row, column: the cell, or -1, -1 when it is not on the screen; lines top..bottom of the cell are filled."""
    row: int
    column: int
    top: int
    bottom: int
    enabled: bool


def is_text(vga) -> bool:
    """Whether the VGA shows characters: a picture is produced, and not a graphics one."""
    return bool(vga.crtc[0x17] & 0x80) and not vga.gr[6] & 1 and not vga.linear()


def rows(vga, r: Raster) -> np.ndarray:
    """The address counter at the left of each row of cells."""
    height = r.cell << r.double
    return r.base[0:max(r.lines // height, 1) * height:height]


def text_cells(vga) -> np.ndarray:
    """uint16 (rows, columns): attribute << 8 | character.  (0, 0) when no text is shown."""
    if not is_text(vga): return np.zeros((0, 0), np.uint16)
    r = raster(vga)
    return cells(vga, rows(vga, r), r.columns)


def cells(vga, base, columns):
    a, p = addresses(vga, base, np.zeros_like(base), columns), planes(vga)
    return p[0][a] | p[1][a].astype(np.uint16) << 8


class Glance:
    """The text screen for whoever looks again and again: the very same array, read-only, until something that it shows has changed."""

    def __init__(self, vga) -> None:
        self.vga, self.registers, self.shown = vga, b"", (b"", b"")
        self.first = self.end = 0                        # where in a plane the characters lie
        self.cells = np.zeros((0, 0), np.uint16)

    def __call__(self) -> np.ndarray:
        vga, last = self.vga, self.registers
        registers = vga.crtc.tobytes() + bytes((vga.gr[6], vga.linear()))
        if registers == last and self.shown == self.bytes(): return self.cells
        if registers != last and is_text(vga):
            r = raster(vga)
            at = addresses(vga, rows(vga, r), np.zeros(1, np.intp), r.columns)
            self.first, self.end = int(at.min()), int(at.max()) + 1
        self.registers, self.shown, self.cells = registers, self.bytes(), text_cells(vga)
        self.cells.flags.writeable = False
        return self.cells

    def bytes(self) -> tuple[bytes, bytes]:
        """Characters and attributes, and what lies between them."""
        return self.vga.planes[self.first:self.end].tobytes(), self.vga.planes[PLANE + self.first:PLANE + self.end].tobytes()


def text(vga) -> list[str]:
    """The rows of the screen as unicode, each of the full width; [] when no text is shown."""
    c = text_cells(vga)
    if c.size == 0: return []
    return CHARACTERS[c & 255].view(f"U{c.shape[1]}").ravel().tolist()


def font_maps(vga) -> tuple[int, int]:
    """Where in plane 2 the fonts for attribute bit 3 = 0 and = 1 begin (character map select, SR3)."""
    s = vga.seq[3]
    return int(FONT_AT[s & 3 | s >> 2 & 4]), int(FONT_AT[s >> 2 & 3 | s >> 3 & 4])


def font(vga) -> np.ndarray:
    """Glyphs as 0 and 1: uint8 (256 or 512, lines of a cell, 8 or 9).  With 512, glyph 256 + c is character c of attributes with bit 3.
    Read-only: the very same array for the same font."""
    b, a = font_maps(vga)
    p = planes(vga)[2]
    maps = b"".join(p[at:at + 0x2000].tobytes() for at in ((b, a) if a != b else (b,)))
    return glyphs(maps, (int(vga.crtc[9]) & 31) + 1, 8 if vga.seq[1] & 1 else 9, bool(vga.attr[0x10] & 4))


@functools.lru_cache(4)
def glyphs(maps: bytes, height: int, wide: int, repeats: bool) -> np.ndarray:
    rows = np.frombuffer(maps, np.uint8).reshape(-1, 32)[:, :height]
    dots = DOTS[wide][rows + nine_line(repeats, np.arange(len(rows)) & 255)[:, None]]
    dots.flags.writeable = False
    return dots


def nine_line(repeats, characters):
    """LINE for characters whose ninth dot repeats the eighth, if any does."""
    return np.where((characters & 0xE0 == 0xC0) & repeats, LINE, 0).astype(np.uint16)


def cursor(vga) -> Cursor:
    """The cursor as the CRT controller has it (CRA, CRB, CRE, CRF)."""
    c = vga.crtc
    top, bottom, at = c[10] & 31, c[11] & 31, c[14] << 8 | c[15]
    row = column = -1
    if is_text(vga):
        r = raster(vga)
        off = at - rows(vga, r)
        hit = np.flatnonzero((off >= 0) & (off < r.columns))
        if len(hit): row, column = int(hit[0]), int(off[hit[0]])
    return Cursor(row, column, top, bottom, not c[10] & 0x20 and top <= bottom)


def text_image(vga, blink_phase: int = 0) -> np.ndarray:
    """The text screen as (h, w, 3) uint8.

    blink_phase: bit 0 set hides the cursor, bit 1 set hides blinking characters; a VGA counts it up every eight frames.
    Forty-column text (SR1 bit 3) is drawn twice as wide, as the halved dot clock does.
    """
    r, wide = raster(vga), 8 if vga.seq[1] & 1 else 9
    parts = [strip(vga, r, base, scan, wide, blink_phase)[:, pan:pan + r.columns * wide] for base, scan, pan in strips(vga, r, 1)]
    index = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if vga.seq[1] & 8: index = index.repeat(2, axis=1)
    return np.take(palette16(vga), index, axis=0)


def strip(vga, r, base, scan, wide, phase):
    """Palette indices of some scan lines, one column more than is shown (for panning)."""
    first = np.flatnonzero(np.diff(base, prepend=-1))                  # one line of each row of cells
    row = np.repeat(np.arange(len(first)), np.diff(first, append=len(base)))
    c = cells(vga, base[first], r.columns + 1)
    ch, attr = c & 255, c >> 8
    b, a = font_maps(vga)
    at = (np.where(attr & 8, a, b) if a != b else b) + ch * np.intp(32)
    fg, bg = (attr & 15).astype(np.uint8), (attr >> 4).astype(np.uint8)
    dots = np.take(planes(vga)[2], at[row] + scan[:, None]).astype(np.uint16)
    if wide == 9: dots += nine_line(bool(vga.attr[0x10] & 4), ch)[row]
    if vga.attr[0x10] & 8:
        bg &= 7
        if phase & 2: fg = np.where(attr & 0x80, bg, fg)
    top, bottom, where = vga.crtc[10] & 31, vga.crtc[11] & 31, vga.crtc[14] << 8 | vga.crtc[15]
    if not vga.crtc[10] & 0x20 and not phase & 1:
        column = where - base
        y = np.flatnonzero((column >= 0) & (column < r.columns) & (scan >= top) & (scan <= bottom))
        dots[y, column[y]] = SOLID
    mask = np.take(MASKS[wide], dots, axis=0).reshape(len(base), -1)
    return mask & (fg ^ bg).repeat(wide, axis=1)[row] ^ bg.repeat(wide, axis=1)[row]    # pixels of a row of cells share their colours

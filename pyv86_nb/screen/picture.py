"""The screen as a whole: which mode it is, its picture, its PNG.

    str(mode(vga))   "text 80x25", "graphics 320x200", "blank"
    image(vga)       (h, w, 3) uint8
"""
import struct
import zlib
from typing import NamedTuple

import numpy as np

from .graphics import graphics_image, size
from .palette import overscan
from .raster import raster
from .text import is_text, rows, text_image


class Mode(NamedTuple):
    """What is shown.  kind: "text", "graphics" or "blank"; columns, rows: of text cells, 0 otherwise; width, height: pixels of the image;
    colours: how many can be seen at once."""
    kind: str
    columns: int
    rows: int
    width: int
    height: int
    colours: int

    def __str__(self):
        if self.kind == "text": return f"text {self.columns}x{self.rows}"
        return f"graphics {self.width}x{self.height}" if self.kind == "graphics" else "blank"


def mode(vga) -> Mode:
    """The mode that the registers make; "blank" until the CRT controller runs (CR17 bit 7)."""
    if is_text(vga):
        r = raster(vga)
        width = r.columns * (8 if vga.seq[1] & 1 else 9) << (vga.seq[1] >> 3 & 1)
        return Mode("text", r.columns, len(rows(vga, r)), width, r.lines, 16)
    if not vga.crtc[0x17] & 0x80 and not vga.linear(): return Mode("blank", 0, 0, 720, 400, 1)
    return Mode("graphics", 0, 0, *size(vga))


def image(vga, blink_phase: int = 0) -> np.ndarray:
    """The picture as (h, w, 3) uint8; blink_phase as in `text_image`.  A screen that is off (SR1 bit 5) is black; while the palette
    is being loaded (attribute address bit 5 = 0) only the border's colour is seen."""
    m = mode(vga)
    if shown(vga): return text_image(vga, blink_phase) if m.kind == "text" else graphics_image(vga)
    dark = m.kind == "blank" or vga.seq[1] & 0x20
    return np.broadcast_to(np.zeros(3, np.uint8) if dark else overscan(vga), (m.height, m.width, 3)).copy()


def shown(vga) -> bool:
    """Whether what is in display memory is to be seen."""
    if vga.seq[1] & 0x20: return False
    return vga.linear() or bool(vga.crtc[0x17] & 0x80 and vga.attr_index & 0x20)


def png(vga, blink_phase: int = 0) -> bytes:
    """The picture as a PNG file (RGB, 8 bits a channel)."""
    return encode_png(image(vga, blink_phase))


def encode_png(rgb: np.ndarray) -> bytes:
    """(h, w, 3) uint8 as a PNG file.   W3C Portable Network Graphics specification, filter type 0."""
    h, w, _ = rgb.shape
    lines = np.zeros((h, 1 + 3 * w), np.uint8)
    lines[:, 1:] = rgb.reshape(h, 3 * w)

    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)) + chunk(b"IEND", b""))

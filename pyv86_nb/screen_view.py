"""`vm.screen`: what the video card shows, read from its planes and registers."""
from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from . import screen as video

if TYPE_CHECKING:
    from .vm import VM

DARK = 720, 400                                          # the picture of a machine without a video card


class Screen:
    """The screen of the machine, as it is at the next slice boundary."""

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def text(self) -> list[str]:
        """The rows of the text screen, without blanks at their ends; an empty list in a graphics mode."""
        with self._vm._at_rest() as machine:
            return [row.rstrip() for row in video.text(machine.vga)] if machine.vga is not None else []

    def array(self) -> np.ndarray:
        """The picture, uint8 (height, width, 3), red green blue."""
        with self._vm._at_rest() as machine:
            if machine.vga is None:
                return np.zeros((*DARK[::-1], 3), np.uint8)
            return np.asarray(video.image(machine.vga), np.uint8)

    def png(self) -> bytes:
        """The picture as a PNG file."""
        with self._vm._at_rest() as machine:
            return video.png(machine.vga) if machine.vga is not None else dark_png(*DARK)

    @property
    def mode(self) -> str:
        """The video mode in words, such as "text 80x25"."""
        with self._vm._at_rest() as machine:
            return str(video.mode(machine.vga)) if machine.vga is not None else "no video card"

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        return "\n".join(self.text()) or f"<screen: {self.mode}>"


def dark_png(width: int, height: int) -> bytes:
    """A black picture (PNG specification: one IDAT of rows with filter type 0)."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def view_state(machine: Any) -> dict[str, Any]:
    """What a picture is made of, for a front end that paints it itself.  Looking changes nothing.

    Returns
    -------
    dict
        "mode" always.  Text: "cells" uint16 (rows, columns), attribute << 8 | character; "font" uint8 (256 or 512, h, w) of 0 and 1;
        "font_version" (another font has another); "palette" uint8 (16, 3); "cursor" (row, column, first line, last line, visible);
        "blink"; "cell" (w, h).  Graphics with a palette: "indices" uint8 (h, w), "palette" uint8 (16 or 256, 3).  Other graphics: "raw" uint8
        (h, w, bytes of a pixel), "bpp", and "colours", a function from a piece of raw to its RGB, because to convert all of a large
        picture takes longer than the machine should wait.  Blank: "rgb" uint8 (h, w, 3).
    """
    vga = machine.vga
    if vga is None:
        return {"mode": "no video card", "indices": np.zeros(DARK[::-1], np.uint8), "palette": np.zeros((256, 3), np.uint8)}
    cells = video.text_cells(vga)
    if cells.size == 0:
        return graphics_state(vga)
    font, cursor = np.ascontiguousarray(video.font(vga), np.uint8), video.cursor(vga)
    return {
        "mode": str(video.mode(vga)), "cells": cells, "font": font, "font_version": zlib.crc32(font.tobytes()), "palette": video.palette16(vga),
        "cursor": (cursor.row, cursor.column, cursor.top, cursor.bottom, bool(cursor.enabled and cursor.row >= 0)),
        "blink": bool(vga.attr[0x10] & 8), "cell": (font.shape[2], font.shape[1])}


def graphics_state(vga: Any) -> dict[str, Any]:
    """`view_state` of what is no text.  Arrays are copies: the machine goes on."""
    name = str(video.mode(vga))
    if not video.shown(vga):
        return {"mode": name, "rgb": video.image(vga)}
    picture = video.indexed(vga)
    if picture is not None:
        return {"mode": name, "indices": np.array(picture[0]), "palette": picture[1]}
    raw, bpp = np.array(video.linear(vga)), int(vga.bpp)
    return {"mode": name, "raw": raw.reshape(len(raw), vga.xres, -1), "bpp": bpp, "colours": lambda part: video.colours(part, bpp)}

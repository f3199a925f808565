"""Pictures of the guest's screen as small messages for the browser.

`FrameEncoder` remembers what the browser already has and turns a new video state into at most one message with the
difference: in text modes the plane of character and attribute cells (4 kB for 80x25, so no finer difference pays) and, when they
changed, the character generator and the palette; in graphics modes the rectangles that changed, as palette indices or RGB.
The glyphs, the cursor, its blinking and the blinking of characters are drawn by the browser (`paint.js`), which therefore
needs no message for them.

The video state is a dict (or an object with these attributes), as `VM._view_state()` gives it:

    mode          str, for the status line: "text 80x25", "320x200x8" ...
  text modes
    cells         uint16 (rows, columns): character code in bits 0-7, attribute in bits 8-15
    font          uint8 (256 or 512, height, 8 or 9): 0 is background.  Glyphs 256-511 are shown where attribute bit 3 is set
    font_version  int, another number whenever `font` has changed (147 kB are not compared 30 times a second)
    palette       uint8 (16, 3): the colours of attribute 0-15, after attribute controller and DAC
    cursor        (row, column, first scan line, last scan line, visible)
    blink         bool: attribute bit 7 blinks the character (else it is the fourth bit of the background colour)
    cell          (width, height) in pixels
  graphics modes
    indices       uint8 (height, width) with `palette` uint8 (n, 3), or
    rgb           uint8 (height, width, 3), or
    raw           uint8 (height, width, bytes of a pixel) with `bpp` and `colours`, a function from a piece of it to its RGB

Source of the text rules: IBM VGA Technical Reference, "Attribute byte" and "Cursor"; the ninth column of a 9-dot cell repeats the eighth
for codes C0h-DFh (line graphics) and is background for all others, unless the font already comes nine columns wide.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Message = tuple[dict[str, Any], list[bytes]]

RAW_LIMIT = 8192  # bytes: below this zlib costs more time than it saves on any connection
BAND_GAP = 16  # unchanged rows worth sending to save another rectangle
COLUMN_GAP = 64  # ... and columns
LINE_GRAPHICS = slice(0xC0, 0xE0)


def field(state: Any, name: str, default: Any = None) -> Any:
    """`state[name]` or `state.name`, whichever kind of object the machine hands out."""
    if isinstance(state, Mapping):
        return state.get(name, default)
    return getattr(state, name, default)


def glyphs(font: np.ndarray, width: int, height: int) -> np.ndarray:
    """The font as uint8 (n, height, width) cells: cut or filled with background to the cell's size, ninth column as the VGA does."""
    n, h, w = font.shape
    out = np.zeros((n, height, width), np.uint8)
    h, w = min(h, height), min(w, width)
    out[:, :h, :w] = font[:, :h, :w] != 0
    if w == 8 and width == 9:
        for first in range(0, n, 256):
            half = out[first : first + 256]
            half[LINE_GRAPHICS, :, 8] = half[LINE_GRAPHICS, :, 7]
    return out


def bands(changed_rows: np.ndarray, gap: int = BAND_GAP) -> Iterator[tuple[int, int]]:
    """Runs [first, last) of changed rows (or columns), joined over gaps of fewer than `gap` unchanged ones."""
    rows = np.flatnonzero(changed_rows)
    if not len(rows):
        return
    cuts = np.flatnonzero(np.diff(rows) > gap)
    for first, last in zip(np.r_[0, cuts + 1], np.r_[cuts, len(rows) - 1], strict=True):
        yield int(rows[first]), int(rows[last]) + 1


class FrameEncoder:
    """Differences between the video state and what the browser has. Used by one thread at a time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The browser has nothing (new page): the next message carries everything."""
        self._kind: str | None = None
        self._cells = np.zeros((0, 0), np.uint16)
        self._palette = b""
        self._font_key: object = None
        self._header: tuple[Any, ...] = ()
        self._pixels = np.zeros((0, 0), np.uint8)

    def size(self, state: Any) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        cells = field(state, "cells")
        if cells is not None:
            width, height = field(state, "cell")
            return int(cells.shape[1] * width), int(cells.shape[0] * height)
        pixels = self._picture(state)[1]
        return int(pixels.shape[1]), int(pixels.shape[0])

    @staticmethod
    def _picture(state: Any) -> tuple[str, np.ndarray]:
        """What graphics are given as, and the array of it."""
        name = next(n for n in ("indices", "raw", "rgb") if field(state, n) is not None)
        return name, np.asarray(field(state, name), np.uint8)

    def update(self, state: Any) -> Message | None:
        """The message that brings the browser from what it has to `state`; None if nothing has changed."""
        if field(state, "cells") is not None:
            return self._text(state)
        return self._graphics(state)

    def _palette_bytes(self, state: Any) -> bytes:
        palette = field(state, "palette")
        return b"" if palette is None else np.asarray(palette, np.uint8).tobytes()

    def _text(self, state: Any) -> Message | None:
        if self._kind != "text":
            self.forget()
            self._kind = "text"
        cells = field(state, "cells")
        width, height = (int(n) for n in field(state, "cell"))
        row, column, first, last, visible = field(state, "cursor")
        header = (
            str(field(state, "mode")),
            cells.shape,
            width,
            height,
            (int(row), int(column), int(first), int(last), bool(visible)),
            bool(field(state, "blink")),
        )
        has: list[str] = []
        buffers: list[bytes] = []
        message: dict[str, Any] = {"k": "text", "has": has}
        font_key = (field(state, "font_version"), width, height)
        if font_key != self._font_key:
            font = glyphs(np.asarray(field(state, "font")), width, height)
            has.append("font")
            buffers.append(np.packbits(font.reshape(-1)).tobytes())
            message["glyphs"] = len(font)
            self._font_key = font_key
        palette = self._palette_bytes(state)
        if palette != self._palette:
            has.append("palette")
            buffers.append(palette)
            self._palette = palette
        if not np.array_equal(cells, self._cells):
            has.append("cells")
            buffers.append(cells.tobytes())
            self._cells = np.array(cells, np.uint16)  # a copy: the machine may reuse its array
        if not has and header == self._header:
            return None
        self._header = header
        mode, (rows, columns), *_, cursor, blink = header
        message.update(mode=mode, rows=rows, cols=columns, cw=width, ch=height, cursor=cursor, blink=blink)
        return message, buffers

    def _graphics(self, state: Any) -> Message | None:
        given, pixels = self._picture(state)
        kind = "indices" if given == "indices" else "rgb"
        height, width = pixels.shape[:2]
        rows = pixels.reshape(height, -1)
        bytes_per_pixel = rows.shape[1] // max(width, 1)
        header = (str(field(state, "mode")), kind, width, height, given, field(state, "bpp"))
        has: list[str] = []
        buffers: list[bytes] = []
        rects: list[list[int]] = []
        if self._header != header:
            self.forget()
            self._kind, self._header = kind, header
            changed = np.ones(height, bool)
            self._pixels = np.zeros_like(rows)
            self._pixels[:] = ~rows  # everything differs
        else:
            changed = (rows != self._pixels).any(axis=1)
        palette = self._palette_bytes(state) if kind == "indices" else b""
        if palette != self._palette:
            has.append("palette")
            buffers.append(palette)
            self._palette = palette
        for top, bottom in bands(changed):
            columns = (rows[top:bottom] != self._pixels[top:bottom]).any(axis=0)
            for left, right in bands(columns.reshape(width, bytes_per_pixel).any(axis=1), COLUMN_GAP):
                part = pixels[top:bottom, left:right]
                data = (field(state, "colours")(part) if given == "raw" else part).tobytes()
                packed = len(data) >= RAW_LIMIT
                rects.append([left, top, right - left, bottom - top, int(packed)])
                buffers.append(zlib.compress(data, 1) if packed else data)
            self._pixels[top:bottom] = rows[top:bottom]
        if not has and not rects:
            return None
        message = {"k": kind, "mode": header[0], "w": width, "h": height, "has": has, "rects": rects}
        return message, buffers

"""A machine with nothing inside: the names the notebook room uses, an animated text plane, and a record of what came in.

It lets the room be tested without an engine. Typed letters are echoed at the cursor, as a guest would; `events` keeps what was posted,
with the time of its arrival (`time.time()`), so latency from the browser can be measured.
"""

from __future__ import annotations

import io
import threading
import time
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# the sixteen colours of a VGA after power-on, 6-bit DAC values scaled to 8 bits
PALETTE = np.array(
    [
        (r, g, b)
        for r, g, b in [
            (0, 0, 0), (0, 0, 170), (0, 170, 0), (0, 170, 170), (170, 0, 0), (170, 0, 170), (170, 85, 0), (170, 170, 170),
            (85, 85, 85), (85, 85, 255), (85, 255, 85), (85, 255, 255), (255, 85, 85), (255, 85, 255), (255, 255, 85),
            (255, 255, 255),
        ]
    ],
    np.uint8,
)  # fmt: skip


def test_font(height: int = 16, glyphs: int = 256) -> np.ndarray:
    """Printable ASCII from Pillow's built-in bitmap font; codes C0h-DFh are solid in their right-most column; DBh is a full block."""
    font = np.zeros((glyphs, height, 8), np.uint8)
    face = ImageFont.load_default_imagefont()
    for code in range(32, 127):
        cell = Image.new("1", (8, height))
        ImageDraw.Draw(cell).text((1, max((height - 11) // 2, 0)), chr(code), fill=1, font=face)
        font[code] = np.asarray(cell)
    font[0xC0:0xE0, :, 7] = 1
    font[0xDB] = 1
    if glyphs == 512:
        font[256:] = 1 - font[:256]  # the second font is the first in reverse
    return font


test_font.__test__ = False  # not a test


class FakeVM:
    """A text screen of `rows` x `columns`; while it runs, a counter moves in the last row `rate` times a second."""

    def __init__(
        self, name: str = "fake", rows: int = 25, columns: int = 80, *, rate: float = 20.0, height: int = 16
    ) -> None:
        self.name, self.rate = name, rate
        self.cells = np.full((rows, columns), 0x0720, np.uint16)
        self.font, self.font_version = test_font(height), 1
        self.palette = PALETTE.copy()
        self.cell = (9, height)
        self.cursor = [2, 0, height - 3, height - 2, True]
        self.blink = True
        self.graphics: dict | None = None
        self.events: list[tuple] = []
        self.calls: list[str] = []
        self.looks = 0
        self.running = False
        self.closed = self.failed = False
        self.mips = 100
        self.ticks = 0
        self.screen = SimpleNamespace(png=self._png)
        self.keyboard = SimpleNamespace(press=lambda keys: self.calls.append(f"press {keys}"))
        self._thread: threading.Thread | None = None
        self.write(0, 0, f"{name}: a machine with nothing inside", 0x1F)

    def __repr__(self) -> str:
        return f"<FakeVM {self.name}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        from pyv86_nb.notebook.pc_view import mimebundle

        return mimebundle(self, include, exclude)

    @property
    def state(self) -> str:
        return "closed" if self.closed else "failed" if self.failed else "running" if self.running else "paused"

    @property
    def measured_mips(self) -> float:
        return 31.4 if self.running else 0.0

    @property
    def time(self) -> float:
        return self.ticks / self.rate

    def write(self, row: int, column: int, text: str, attribute: int = 0x07) -> None:
        codes = np.frombuffer(text.encode("cp437"), np.uint8).astype(np.uint16)
        self.cells[row, column : column + len(codes)] = codes | attribute << 8

    def start(self) -> None:
        self.calls.append("start")
        if not self.running:
            self.running = True
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def pause(self) -> None:
        self.calls.append("pause")
        self.running = False

    def reset(self) -> None:
        self.calls.append("reset")
        self.ticks = 0

    def snapshot(self) -> np.ndarray:
        self.calls.append("snapshot")
        return self.cells.copy()

    def restore(self, state: np.ndarray) -> None:
        self.calls.append("restore")
        self.cells[:] = state

    def _work(self) -> None:
        while self.running:
            time.sleep(1 / self.rate)
            self.ticks += 1
            if self.graphics is None:
                self.write(len(self.cells) - 1, 0, f"tick {self.ticks:6}", 0x0A)

    def _post(self, event: str, *values: object) -> None:
        self.events.append((time.time(), threading.current_thread().name, event, *values))
        if event == "key_down" and str(values[0]).startswith("Key"):
            self.write(self.cursor[0], self.cursor[1], str(values[0])[3].lower(), 0x0E)
            self.cursor[1] += 1

    def _view_state(self) -> dict:
        self.looks += 1
        if self.graphics is not None:
            return self.graphics
        rows, columns = self.cells.shape
        return {
            "mode": f"text {columns}x{rows}",
            "cells": self.cells,
            "font": self.font,
            "font_version": self.font_version,
            "palette": self.palette,
            "cursor": tuple(self.cursor),
            "blink": self.blink,
            "cell": self.cell,
        }

    def _png(self) -> bytes:
        out = io.BytesIO()
        Image.fromarray(self.picture()).save(out, "PNG")
        return out.getvalue()

    def picture(self) -> np.ndarray:
        """The picture a VGA would show, without cursor and blinking: uint8 (h, w, 3). Written from the manual, not from paint.js."""
        if self.graphics is not None:
            g = self.graphics
            return g["rgb"] if "rgb" in g else g["palette"][g["indices"]]
        width, height = self.cell
        rows, columns = self.cells.shape
        out = np.zeros((rows * height, columns * width, 3), np.uint8)
        for row in range(rows):
            for column in range(columns):
                code, attribute = int(self.cells[row, column]) & 0xFF, int(self.cells[row, column]) >> 8
                if len(self.font) == 512 and attribute & 8:
                    code += 256
                ink, paper = self.palette[attribute & 15], self.palette[attribute >> 4 & (7 if self.blink else 15)]
                glyph = np.zeros((height, width), bool)
                glyph[:, :8] = self.font[code][:height]
                if width == 9 and 0xC0 <= code & 0xFF <= 0xDF:
                    glyph[:, 8] = glyph[:, 7]
                out[row * height : (row + 1) * height, column * width : (column + 1) * width] = np.where(
                    glyph[..., None], ink, paper
                )
        return out

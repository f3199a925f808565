"""Read text off a picture: each cell of 9x16 or 8x16 dots is compared with the glyphs of a font file, dot for dot.

No state of the emulator is asked. The fonts come from the VGA BIOS of the system's SeaBIOS package and from the demonstration disk's source.
"""

from __future__ import annotations

import pathlib

import numpy as np

VGA_BIOS = pathlib.Path("/usr/share/seabios/vgabios-stdvga.bin")
LETTER_A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")  # the IBM VGA's 8x16 A, to find the font in the file


def bios_font() -> dict[bytes, str]:
    """The 8x16 font of the VGA BIOS: sixteen rows -> character, for printable ASCII."""
    rom = VGA_BIOS.read_bytes()
    start = rom.index(LETTER_A) - 16 * ord("A")
    return {rom[start + 16 * code : start + 16 * code + 16]: chr(code) for code in range(32, 127)}


def demo_font() -> dict[bytes, str]:
    """The font of the demonstration disk, for printable ASCII."""
    from pyv86_nb import demo

    return {bytes(rows): chr(code) for code, rows in demo.font().items() if 32 <= code < 127}


def read(pixels: np.ndarray, font: dict[bytes, str], width: int = 9, height: int = 16) -> list[str]:
    """The rows of text in a picture (h, w, 3); "?" where a cell shows no glyph of the font."""
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    colours = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    out = []
    for row in range(rows):
        line = ""
        for column in range(columns):
            cell = colours[row * height : (row + 1) * height, column * width : column * width + 8]
            line += cell_text(cell, font)
        out.append(line.rstrip())
    return out


def cell_text(cell: np.ndarray, font: dict[bytes, str]) -> str:
    """The character of one cell, whichever of its two colours is the ink."""
    values = np.unique(cell)
    if len(values) == 1:
        return " "
    if len(values) > 2:
        return "?"
    for ink in values:
        found = font.get(np.packbits(cell == ink, axis=1).tobytes())
        if found is not None:
            return found
    return "?"

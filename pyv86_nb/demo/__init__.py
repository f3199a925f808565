"""The built-in demonstration disk, made in memory from `boot.s` and `font.txt` beside this file.

    vm = VM(bare="real"); vm.load(0x7C00, demo.program(), entry=0x7C00)    # without firmware
    vm = VM(fda=demo.disk())                                                # under SeaBIOS
"""

from __future__ import annotations

import functools
import pathlib

from pyv86_nb.demo.assemble import AssemblyError, Code, assemble

__all__ = ["AssemblyError", "Code", "assemble", "boot_sector", "disk", "font", "program", "source"]

HERE = pathlib.Path(__file__).parent
ORIGIN = 0x7C00                                                             # where a BIOS puts a boot sector
SECTOR = 512
TRACK = 18 * SECTOR
DISK = 80 * 2 * TRACK                                                       # 1.44 MB, 3.5 inch, high density


def font() -> dict[int, bytes]:
    """The glyphs of `font.txt`: code page 437 code -> sixteen rows, the leftmost dot in bit 7."""
    lines = (HERE / "font.txt").read_text(encoding="ascii").splitlines()
    glyphs = {}
    for band in range(0, len(lines), 17):
        for x in range(0, len(lines[band + 1]), 9):
            dots = [line[x:x + 8].replace("#", "1").replace(".", "0") for line in lines[band + 1:band + 17]]
            glyphs[int(lines[band][x:x + 2], 16)] = bytes(int(row, 2) for row in dots)
    return glyphs


def source() -> str:
    """The whole text that is assembled: `boot.s`, then the font as data."""
    rows = [f".byte {code:#04x}, {', '.join(map(str, glyph))}" for code, glyph in font().items()]
    return "\n".join([(HERE / "boot.s").read_text(encoding="utf-8"), *rows, ".byte 0xFF", ".balign 512, 0", ""])


@functools.lru_cache(maxsize=1)
def program() -> Code:
    """The program as it stands in memory from 7C00h on; `.symbols` has the address of each label."""
    code = assemble(source(), ORIGIN)
    if len(code) > TRACK:
        raise AssemblyError(f"the demonstration program has {len(code)} bytes; the first track holds {TRACK}")
    return code


def boot_sector() -> bytes:
    """The first sector of the disk, 512 bytes that end in 55h AAh."""
    return program()[:SECTOR]


def disk() -> bytes:
    """A 1.44 MB floppy image with the program on its first track."""
    return bytes(program()).ljust(DISK, b"\0")

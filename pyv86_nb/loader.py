"""What `vm.load` puts into memory: bytes at an address, or the segments of an ELF file (System V ABI, chapters 4 and 5)."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .media import elf
from .memory_view import octets


def pieces(addr: int | None, data: Any) -> tuple[list[tuple[int, bytes]], int | None, elf.Symbols | None]:
    """([(physical address, bytes)], entry or None, symbols or None)."""
    if isinstance(data, (str, os.PathLike)):
        path = Path(data).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"load: {str(data)!r} is not a file; give bytes, or the path of a file")
        data = path.read_bytes()
    raw = octets(data)
    if not raw:
        raise ValueError("load: there are 0 bytes to load")
    if addr is None:
        if raw[:4] != elf.MAGIC:
            raise ValueError("load: addr=None is for ELF files, and these bytes do not begin with 7Fh \"ELF\"; give an address for a flat binary")
        program = elf.read(raw, "load")
        return program.pieces, program.entry, program.symbols
    if isinstance(addr, bool) or not isinstance(addr, int) or addr < 0:
        raise ValueError(f"load: addr={addr!r} is not an address; give an int of 0 or more, or None for an ELF file")
    return [(addr, raw)], None, None

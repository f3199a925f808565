"""What `vm.load` puts into memory: bytes at an address, or the segments of an ELF file (System V ABI, chapters 4 and 5)."""
from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from .memory_view import octets

ELF, CLASS32, LITTLE, I386, LOAD = b"\x7fELF", 1, 1, 3, 1


def pieces(addr: int | None, data: Any) -> tuple[list[tuple[int, bytes]], int | None]:
    """([(physical address, bytes)], entry or None)."""
    if isinstance(data, (str, os.PathLike)):
        path = Path(data).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"load: {str(data)!r} is not a file; give bytes, or the path of a file")
        data = path.read_bytes()
    raw = octets(data)
    if not raw:
        raise ValueError("load: there are 0 bytes to load")
    if addr is None:
        return elf(raw)
    if isinstance(addr, bool) or not isinstance(addr, int) or addr < 0:
        raise ValueError(f"load: addr={addr!r} is not an address; give an int of 0 or more, or None for an ELF file")
    return [(addr, raw)], None


def elf(raw: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The segments of type PT_LOAD by physical address, zero-filled to their size in memory, and the entry point."""
    if raw[:4] != ELF:
        raise ValueError("load: addr=None is for ELF files, and these bytes do not begin with 7Fh \"ELF\"; give an address for a flat binary")
    if len(raw) < 52 or (raw[4], raw[5]) != (CLASS32, LITTLE) or struct.unpack_from("<H", raw, 18)[0] != I386:
        raise ValueError("load: this ELF file is not for the 32-bit x86 (EM_386); link it with -m elf_i386")
    entry, table = struct.unpack_from("<II", raw, 24)
    size, count = struct.unpack_from("<HH", raw, 42)
    out = []
    for i in range(count):
        at = table + i * size
        if at + 32 > len(raw):
            raise ValueError("load: the program headers of this ELF file lie beyond its end; is it cut short?")
        kind, offset, _, physical, in_file, in_memory = struct.unpack_from("<6I", raw, at)
        if kind == LOAD and in_memory:
            if offset + in_file > len(raw):
                raise ValueError("load: a segment of this ELF file lies beyond its end; is it cut short?")
            out.append((physical, raw[offset:offset + in_file].ljust(in_memory, b"\0")))
    if not out:
        raise ValueError("load: this ELF file has nothing to load (no PT_LOAD segment); link it first")
    return out, entry

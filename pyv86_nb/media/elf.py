"""ELF files for the 32-bit x86: what to load, where to begin, and the names of addresses.

System V ABI, chapters 4 and 5, and its Intel386 supplement; pyelftools reads the tables.
"""
from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass, field

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

MAGIC = b"\x7fELF"
CLASS32, LITTLE, EM_386 = 1, 1, 3
SHOWN = "STT_FUNC", "STT_OBJECT", "STT_NOTYPE"
FAR = 1 << 16                                            # a symbol without a size names at most so many bytes


@dataclass
class Symbols:
    """Names of addresses, as the linker has put them down."""

    rows: list[tuple[int, int, str]] = field(default_factory=list)       # (address, size, name), sorted

    def at(self, address: int) -> str:
        """The name for an address, "main" or "main+1A"; "" if none covers it."""
        i = bisect_right(self.rows, (address, 1 << 64, "")) - 1
        if i < 0:
            return ""
        start, size, name = self.rows[i]
        if address - start >= (size or FAR):
            return ""
        return name if address == start else f"{name}+{address - start:X}"

    def address(self, name: str) -> int | None:
        """Where a name is, or None."""
        return next((a for a, _, n in self.rows if n == name), None)


@dataclass
class Program:
    """What an ELF file asks to be put into memory."""

    pieces: list[tuple[int, bytes]]                      # (physical address, bytes), zero-filled to their size in memory
    entry: int                                           # as it stands in the file: virtual
    physical_entry: int                                  # the same place by physical address
    symbols: Symbols


def read(raw: bytes, who: str) -> Program:
    """The program in these bytes.  ValueError, beginning with `who`, says why it cannot be loaded."""
    if raw[:4] != MAGIC:
        raise ValueError(f"{who}: these bytes are no ELF file, they do not begin with 7Fh \"ELF\"")
    if len(raw) < 52 or (raw[4], raw[5]) != (CLASS32, LITTLE) or int.from_bytes(raw[18:20], "little") != EM_386:
        what = "for a 64-bit processor" if raw[4:5] == b"\2" else "not for the 32-bit x86 (EM_386)"
        raise ValueError(f"{who}: this ELF file is {what}; this PC has a 32-bit processor: link it with -m elf_i386")
    try:
        return _program(ELFFile(io.BytesIO(raw)), len(raw), who)
    except (ELFError, ConstructError, UnicodeError, ValueError, OverflowError) as e:
        if str(e).startswith(who):
            raise
        raise ValueError(f"{who}: the tables of this ELF file cannot be read ({e}); is it cut short?") from None


def _program(elf: ELFFile, size: int, who: str) -> Program:
    pieces, physical_entry = [], elf["e_entry"]
    for s in elf.iter_segments("PT_LOAD"):
        if not s["p_memsz"]:
            continue
        if s["p_offset"] + s["p_filesz"] > size:
            raise ValueError(f"{who}: a segment of this ELF file lies beyond its end; is it cut short?")
        if s["p_paddr"] + s["p_memsz"] > 1 << 32 or s["p_filesz"] > s["p_memsz"]:
            raise ValueError(f"{who}: a segment of this ELF file does not lie in 32-bit memory; is it damaged?")
        pieces.append((s["p_paddr"], s["p_memsz"], s))
        if s["p_vaddr"] <= elf["e_entry"] < s["p_vaddr"] + s["p_memsz"]:
            physical_entry = elf["e_entry"] - s["p_vaddr"] + s["p_paddr"]
    if not pieces:
        raise ValueError(f"{who}: this ELF file has nothing to load (no PT_LOAD segment); link it first")
    if sum(n for _, n, _ in pieces) > 3 << 30:
        raise ValueError(f"{who}: the segments of this ELF file are larger than any memory of this PC")
    return Program([(at, s.data().ljust(n, b"\0")) for at, n, s in pieces], elf["e_entry"], physical_entry, _symbols(elf))


def _symbols(elf: ELFFile) -> Symbols:
    rows = set()
    for section in elf.iter_sections():
        if isinstance(section, SymbolTableSection):
            for s in section.iter_symbols():
                if s.name and s["st_info"]["type"] in SHOWN and s["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS"):
                    rows.add((s["st_value"], s["st_size"], s.name))
    return Symbols(sorted(rows))

"""The page walk, shown: SDM vol. 3, 4.3 (32-bit paging with 4 KiB and 4 MiB pages), 4.4 (PAE paging).

    >>> vm.translate(0xC0000123)
    0xc0000123 -> 0x00100123 (PDE 0x00001027 at 0x00000c00, PTE 0x00100063 at 0x00001000)
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PE, PG, PSE, PAE = 1, 1 << 31, 1 << 4, 1 << 5
FLAGS = (("present", 1), ("writable", 2), ("user", 4), ("accessed", 32), ("dirty", 64), ("large", 128), ("global", 256),
         ("no-execute", 1 << 63))
FRAME = 0xFFFFFF000                                      # 36 bits


@dataclass(frozen=True)
class Entry:
    """One entry of a paging structure: its level ("PDPTE", "PDE" or "PTE"), where it lies, and its value."""

    level: str
    address: int
    value: int

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(name for name, bit in FLAGS if self.value & bit and (name != "large" or self.level == "PDE")
                     and (self.level != "PDPTE" or name == "present"))

    def __str__(self) -> str:
        return f"{self.level} {self.value:#010x} at {self.address:#010x}"


@dataclass(frozen=True)
class Walk:
    """Linear to physical.  `physical` is None when the walk ends early, and `why` says where."""

    linear: int
    physical: int | None
    entries: tuple[Entry, ...] = ()
    why: str = ""

    def __int__(self) -> int:
        if self.physical is None:
            raise ValueError(f"linear address {self.linear:#010x} is not mapped: {self.why}")
        return self.physical

    __index__ = __int__

    def __repr__(self) -> str:
        trail = ", ".join(map(str, self.entries)) or "paging is off"
        return f"{self.linear:#010x} -> " + (f"{self.physical:#010x} ({trail})" if self.physical is not None else f"nothing: {self.why} ({trail})")


def walk(linear: int, cr0: int, cr3: int, cr4: int, dword: Callable[[int], int]) -> Walk:
    """Follow the page tables as the processor would, without setting accessed bits.

    Parameters
    ----------
    dword : callable
        dword(physical address) reads four bytes of memory.
    """
    if not 0 <= linear < 1 << 32:
        raise ValueError(f"{linear:#x} is not a linear address of 32 bits")
    if not cr0 & PG:
        return Walk(linear, linear)
    entries, size, table = [], 4, cr3 & ~0xFFF
    if cr4 & PAE:
        size = 8
        at = (cr3 & ~0x1F) + (linear >> 30) * 8
        entries.append(Entry("PDPTE", at, qword(at, dword)))
        table = entries[0].value & FRAME
        if not entries[0].value & 1:
            return Walk(linear, None, tuple(entries), "the page directory pointer is not present")
    bits = 9 if size == 8 else 10                        # of the index of a table
    for level, shift in (("PDE", 12 + bits), ("PTE", 12)):
        at = table + (linear >> shift & (1 << bits) - 1) * size
        value = dword(at) if size == 4 else qword(at, dword)
        entries.append(Entry(level, at, value))
        if not value & 1:
            return Walk(linear, None, tuple(entries), f"the page {'directory' if level == 'PDE' else 'table'} entry is not present")
        table = value & FRAME
        if level == "PDE" and value & 128 and cr4 & (PSE | PAE):
            break
    below = (1 << shift) - 1
    if shift > 12 and size == 4:
        table = (value & 0xFFC00000) | (value >> 13 & 15) << 32
    return Walk(linear, (table & ~below) | (linear & below), tuple(entries))


def qword(at: int, dword: Callable[[int], int]) -> int:
    return dword(at) | dword(at + 4) << 32

"""The page walk, shown: SDM vol. 3, 4.3 (32-bit paging with 4 KiB and 4 MiB pages).

    >>> vm.translate(0xC0000123)
    0xc0000123 -> 0x00100123 (PDE 0x00001027 at 0x00000c00, PTE 0x00100063 at 0x00001000)
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PE, PG, PSE, PAE = 1, 1 << 31, 1 << 4, 1 << 5
FLAGS = (("present", 1), ("writable", 2), ("user", 4), ("accessed", 32), ("dirty", 64), ("large", 128), ("global", 256))


@dataclass(frozen=True)
class Entry:
    """One entry of a paging structure: its level ("PDE" or "PTE"), where it lies, and its value."""

    level: str
    address: int
    value: int

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(name for name, bit in FLAGS if self.value & bit and (name != "large" or self.level == "PDE"))

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
    if cr4 & PAE:
        return Walk(linear, None, (), "CR4.PAE is set, and this version does not walk PAE tables")
    at = (cr3 & ~0xFFF) + (linear >> 22) * 4
    pde = Entry("PDE", at, dword(at))
    if not pde.value & 1:
        return Walk(linear, None, (pde,), "the page directory entry is not present")
    if pde.value & 128 and cr4 & PSE:
        return Walk(linear, (pde.value & 0xFFC00000) + (linear & 0x3FFFFF), (pde,))
    at = (pde.value & ~0xFFF) + (linear >> 12 & 0x3FF) * 4
    pte = Entry("PTE", at, dword(at))
    if not pte.value & 1:
        return Walk(linear, None, (pde, pte), "the page table entry is not present")
    return Walk(linear, (pte.value & ~0xFFF) + (linear & 0xFFF), (pde, pte))

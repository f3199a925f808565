"""`vm.memory`: guest-physical memory as numpy, and through the page tables.

    vm.memory[0x7C00:0x7E00]                    # uint8, read-only
    vm.memory[0x7C00:0x7E00] = bytes(512)       # an input: logged, and translated code is dropped
    vm.memory.virtual[0xC0000000:0xC0000010]    # linear addresses, through the page tables
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .vm import VM

PAGE = 4096
SPACE = 1 << 32


class Memory:
    """Guest-physical memory.

    A slice inside RAM is a view while the machine stands still, and a copy of the moment while it runs; a slice that touches ROM or devices
    is a copy of what a read there shows (the VGA its planes, and nobody FFh), without the read's side effects.  All are read-only:
    assignment is how memory is written.
    """

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def __len__(self) -> int:
        """Bytes of RAM."""
        self._vm._check_open()
        return self._vm._machine.memory.ram.size

    def __getitem__(self, where: int | slice) -> Any:
        first, last, step = extent(where, len(self))
        with self._vm._at_rest() as machine:
            out = piece(machine, first, last, copy=self._vm.running)
        return int(out[0]) if isinstance(where, int) else out[::step]

    def __setitem__(self, where: int | slice, data: Any) -> None:
        first, last, step = extent(where, len(self))
        if step != 1:
            raise ValueError(f"vm.memory is written in one piece; the slice has a step of {step}")
        raw = octets(data) if not isinstance(where, int) else octets([data])
        if len(raw) == 1 and not isinstance(data, (bytes, bytearray)):
            raw *= last - first                          # memory[a:b] = 0 fills
        if len(raw) != last - first:
            raise ValueError(f"{len(raw):,} bytes do not fit into vm.memory[{first:#x}:{last:#x}], which has {last - first:,}")
        self.write(first, raw)

    def read(self, addr: int, n: int) -> bytes:
        """n bytes from physical address addr on; FFh where nobody answers."""
        first, last, _ = extent(slice(addr, addr + n), len(self))
        with self._vm._at_rest() as machine:
            return bytes(piece(machine, first, last, copy=False))

    def write(self, addr: int, data: Any) -> None:
        """Write bytes at physical address addr; writes to ROM vanish, as on the bus."""
        raw = octets(data)
        extent(slice(addr, addr + len(raw)), len(self))
        with self._vm._at_rest("memory", addr, raw) as machine:
            machine.write(addr, raw)

    @property
    def virtual(self) -> Virtual:
        """The same by linear address, through the page tables as they are."""
        return Virtual(self._vm)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        out = self[:]
        return out.astype(dtype) if dtype is not None and dtype != out.dtype else out

    def __repr__(self) -> str:
        return f"<memory: {len(self) >> 10:,} KiB of RAM; vm.memory[a:b] is a numpy array of guest-physical bytes>"


class Virtual:
    """Memory by linear address.  A page that is not present raises ValueError and nothing is written."""

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def __getitem__(self, where: int | slice) -> Any:
        first, last, step = extent(where, SPACE)
        out = np.empty(last - first, np.uint8)
        with self._vm._at_rest() as machine:
            for at, physical, n in self._pages(first, last):
                out[at:at + n] = piece(machine, physical, physical + n, copy=False)
        out.flags.writeable = False
        return int(out[0]) if isinstance(where, int) else out[::step]

    def __setitem__(self, where: int | slice, data: Any) -> None:
        first, last, step = extent(where, SPACE)
        raw = octets(data) if not isinstance(where, int) else octets([data])
        if step != 1 or len(raw) != last - first:
            raise ValueError(f"{len(raw):,} bytes do not fit into vm.memory.virtual[{first:#x}:{last:#x}], which has {last - first:,}")
        for at, physical, n in list(self._pages(first, last)):
            self._vm.memory.write(physical, raw[at:at + n])

    def _pages(self, first: int, last: int) -> Any:
        at = first
        while at < last:
            n = min(PAGE - at % PAGE, last - at)
            walk = self._vm.translate(at)
            if walk.physical is None:
                raise ValueError(f"linear address {at:#010x} is not mapped: {walk.why}")
            yield at - first, walk.physical, n
            at += n


def piece(machine: Any, first: int, last: int, copy: bool) -> np.ndarray:
    """Bytes [first, last) of physical memory: a view of RAM where that is what lies there."""
    ram = machine.memory.ram
    plain = last <= 0xA0000 or 0x100000 <= first and last <= ram.size
    out = ram[first:last] if plain and last <= ram.size else np.frombuffer(machine.read(first, last - first), np.uint8)
    out = out.copy() if copy and out.base is not None else out.view()
    out.flags.writeable = False
    return out


def extent(where: Any, size: int) -> tuple[int, int, int]:
    """(first, last, step) of an index or slice of guest-physical memory; open ends are those of RAM."""
    if isinstance(where, (int, np.integer)) and not isinstance(where, bool):
        where = slice(int(where), int(where) + 1)
    if not isinstance(where, slice):
        raise TypeError(f"memory is indexed by an address or a slice of addresses, not {where!r}")
    step = 1 if where.step is None else int(where.step)
    first = 0 if where.start is None else int(where.start)
    last = size if where.stop is None else int(where.stop)
    if first < 0 or last > SPACE or step < 1:
        raise ValueError(f"addresses go from 0 to {SPACE:#x} with a step of 1 or more, not [{where.start}:{where.stop}:{where.step}]")
    if last - first > max(size, 1 << 24):
        raise ValueError(f"{last - first:,} bytes are more than this machine's memory ({size:,} bytes)")
    return first, max(last, first), step


def octets(data: Any) -> bytes:
    """Bytes from bytes, an int, ints below 256 or a numpy array (its bytes as they lie in memory)."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).tobytes()
    if isinstance(data, str):
        raise TypeError("memory takes bytes, not a str; encode it, for instance with data.encode(\"ascii\")")
    try:
        return bytes([int(data)] if isinstance(data, (int, np.integer)) else [int(b) for b in data])
    except (TypeError, ValueError):
        raise ValueError(f"memory takes bytes, or ints from 0 to 255, not {data!r:.60}") from None

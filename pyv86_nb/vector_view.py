"""`vm.regs.xmm` and `vm.regs.mm`: the registers of SSE and MMX, as numpy arrays of bytes.

    vm.regs.xmm[0].view("f4")           # four numbers, of which the first is the lowest
    vm.regs.xmm[0] = np.array([1, 2, 3, 4], "f4")
    vm.regs.mm[7] = bytes(8)
"""
from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .vm import VM

SIZES = {"xmm": 16, "mm": 8}


class VectorRegisters:
    """Eight of them.  What is read is a copy that cannot be written; what is written has all the bytes: bytes or an array."""

    __slots__ = ("_kind", "_vm")

    def __init__(self, vm: VM, kind: str) -> None:
        self._vm, self._kind = vm, kind

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> np.ndarray:
        name = name_of(self._kind, i)
        with self._vm._at_rest() as machine:
            return np.frombuffer(machine.processor.get(name), np.uint8)

    def __setitem__(self, i: int, x: Any) -> None:
        name, size = name_of(self._kind, i), SIZES[self._kind]
        if not isinstance(x, (np.ndarray, bytes, bytearray, memoryview)):
            raise TypeError(f"vm.regs.{self._kind}[i] takes {size} bytes or a numpy array of as many, not {x!r}")
        data = x.tobytes() if isinstance(x, np.ndarray) else bytes(x)
        if len(data) != size:
            raise ValueError(f"vm.regs.{name} has {size} bytes; these are {len(data)}")
        with self._vm._at_rest("register", name, data) as machine:
            machine.processor.set(name, data)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(8))

    def __repr__(self) -> str:
        return "\n".join(f"{self._kind}{i} {x.tobytes()[::-1].hex()}" for i, x in enumerate(self))


def name_of(kind: str, i: Any) -> str:
    """The name of register i (0-7) of `vm.regs.<kind>`."""
    try:
        n = operator.index(i)
    except TypeError:
        raise TypeError(f"vm.regs.{kind}[i] takes a number from 0 to 7, not {i!r}") from None
    if not 0 <= n < 8:
        raise IndexError(f"vm.regs.{kind}[{n}]: there are registers 0 to 7")
    return f"{kind}{n}"

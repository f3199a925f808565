"""`vm.regs`: the registers by their names, and as a numpy row.

    vm.regs.eax, vm.regs.eip = 1, 0x7C00
    vm.regs.cs = 0x1000                 # loads the segment as the current mode would: a selector without descriptor is refused
    vm.regs.st[0], vm.regs.fpu_status   # the FPU
    vm.regs.xmm[0].view("f4"), vm.regs.mm[0], vm.regs.mxcsr
    pd.DataFrame(vm.regs.array)
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .fpu_view import Stack
from .vector_view import VectorRegisters

if TYPE_CHECKING:
    from .vm import VM

GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")
CONTROL = ("cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
TABLES = ("gdtr", "idtr")
FPU = ("fpu_control", "fpu_status", "fpu_tag")
NAMES = GENERAL + SEGMENTS + CONTROL + TABLES + FPU + ("mxcsr",)
NUMBERED = ("st", "xmm", "mm")
ALIASES = {"dr4": "dr6", "dr5": "dr7"}                   # SDM vol. 3, 18.2.2

COUNTED = [("instruction", "u8"), ("time", "f8")]
DTYPE = np.dtype(COUNTED + [(n, "u4") for n in GENERAL] + [(n, "u2") for n in SEGMENTS] + [(n, "u4") for n in CONTROL]
                 + [(f"{n}_{part}", t) for n in TABLES for part, t in (("base", "u4"), ("limit", "u2"))])


class Registers:
    """Registers of the processor, read and written by attribute.

    Values are ints; `gdtr` and `idtr` are pairs (base, limit), `st` is the FPU's stack (fpu_view.py), `xmm` and `mm` are arrays of
    bytes (vector_view.py).  Reading and writing wait for the next slice boundary of a running machine.

    Raises
    ------
    AttributeError
        For a name that this processor does not have.
    ValueError, TypeError
        For a value that does not fit, or a selector that the current mode refuses.
    """

    __slots__ = ("_vm",)
    _vm: VM

    def __init__(self, vm: VM) -> None:
        object.__setattr__(self, "_vm", vm)

    def __getattr__(self, name: str) -> Any:
        if name in NUMBERED:
            return Stack(self._vm) if name == "st" else VectorRegisters(self._vm, name)
        name = known(name)
        with self._vm._at_rest() as machine:
            value = machine.processor.get(name)
        return tuple(int(v) for v in value) if name in TABLES else int(value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NUMBERED:
            example = "1.5" if name == "st" else "bytes(16)" if name == "xmm" else "bytes(8)"
            raise AttributeError(f"vm.regs.{name} is written by number: vm.regs.{name}[0] = {example}")
        name = known(name)
        made = pair(name, value) if name in TABLES else word(name, value, 16 if name in SEGMENTS + FPU else 32)
        with self._vm._at_rest("register", name, made) as machine:
            try:
                machine.processor.set(name, made)
            except ValueError:
                raise
            except Exception as e:
                raise ValueError(f"{name} = {value!r} was refused as the current mode would refuse it: {e}") from e

    def __dir__(self) -> list[str]:
        return [*NAMES, *NUMBERED, "array"]

    @property
    def array(self) -> np.ndarray:
        """One row: instruction (u8), time (f8, guest seconds), then every register (u4; selectors u2; gdtr and idtr as base and limit)."""
        out = np.zeros(1, DTYPE)
        with self._vm._at_rest() as machine:
            out[0] = values(machine)
        return out

    def __repr__(self) -> str:
        row = self.array[0]
        line = lambda names, digits: "  ".join(f"{n}={row[n]:0{digits}X}" for n in names)
        return "\n".join((line(GENERAL[:8], 8), line(GENERAL[8:], 8), line(SEGMENTS, 4), line(CONTROL, 8),
                          "  ".join(f"{n}={row[n + '_base']:08X}/{row[n + '_limit']:04X}" for n in TABLES)))


def values(machine: Any) -> tuple[Any, ...]:
    """The registers as they are, as one row of dtype DTYPE."""
    get = machine.processor.get
    tables = [int(v) for n in TABLES for v in get(n)]
    return (int(machine.processor.instructions), machine.time, *(int(get(n)) for n in GENERAL + SEGMENTS + CONTROL), *tables)


def known(name: str) -> str:
    name = ALIASES.get(name, name)
    if name in NAMES:
        return name
    raise AttributeError(f"vm.regs.{name}: there is no such register; the names are {', '.join(NAMES)}")


def word(name: str, value: Any, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"vm.regs.{name} takes an int of {bits} bits, not {value!r}")
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise ValueError(f"vm.regs.{name} has {bits} bits; {int(value):#x} does not fit")
    return int(value) & (1 << bits) - 1


def pair(name: str, value: Any) -> tuple[int, int]:
    try:
        base, limit = value
    except (TypeError, ValueError):
        raise TypeError(f"vm.regs.{name} takes a pair (base, limit), not {value!r}") from None
    return word(f"{name} base", base, 32), word(f"{name} limit", limit, 16)

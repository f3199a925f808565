"""`vm.regs.st`: the FPU's stack, as numbers.

    vm.regs.st[0]                       # a float, and exactly: .exact, .significand, .exponent, .bytes, .kind, .empty
    vm.regs.st[0] = 0.1                 # also an int, a Fraction, ten bytes, or what another register has shown

SDM vol. 1, 4.2.2 and 8.1.2: 64 bits of significand, integer bit included, 15 of exponent, biased by 16383, and a sign.
"""
from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from .engine.isa import real80
from .engine.isa.wide import wrap
from .vector_view import name_of

if TYPE_CHECKING:
    from .vm import VM

ONE, BIAS, LARGEST = 1 << 63, 16383, 0x7FFE
KINDS = "zero", "normal", "denormal", "infinity", "quiet NaN", "signalling NaN", "unsupported"


class Real(float):
    """A number of the FPU: as a float the nearest one, and beside that everything.

    significand: 64 bits; exponent: 16 bits, sign and biased exponent; kind: one of KINDS; empty: what the register's tag says.
    """

    significand: int
    exponent: int
    empty: bool

    def __new__(cls, significand: int, exponent: int, empty: bool = False) -> Real:
        made = super().__new__(cls, nearest(significand, exponent))
        made.significand, made.exponent, made.empty = significand, exponent, empty
        return made

    @property
    def kind(self) -> str:
        return KINDS[real80.kind(wrap(self.significand), self.exponent)]

    @property
    def exact(self) -> Fraction:
        """The value.  ValueError for what has none."""
        if real80.kind(wrap(self.significand), self.exponent) >= real80.INFINITY:
            raise ValueError(f"{self.kind} has no value (significand {self.significand:#018x}, exponent {self.exponent:#06x})")
        return value(self.significand, self.exponent)

    @property
    def bytes(self) -> builtins.bytes:
        """As FSTP m80 stores it."""
        return self.significand.to_bytes(8, "little") + self.exponent.to_bytes(2, "little")

    def __repr__(self) -> str:
        return f"{float(self)!r}{' (empty)' if self.empty else ''}"


def value(significand: int, exponent: int) -> Fraction:
    size = Fraction(significand) * Fraction(2) ** ((exponent & 0x7FFF or 1) - BIAS - 63)
    return -size if exponent >> 15 else size


def nearest(significand: int, exponent: int) -> float:
    """The float nearest to a number."""
    k, sign = real80.kind(wrap(significand), exponent), -1.0 if exponent >> 15 else 1.0
    if k >= real80.QUIET:
        return math.nan
    try:
        return math.copysign(math.inf if k == real80.INFINITY else float(value(significand, exponent)), sign)
    except OverflowError:
        return math.copysign(math.inf, sign)


def words(x: Any) -> tuple[int, int]:
    """(significand, exponent) of what is to be written.  TypeError, ValueError for what is no such number."""
    if isinstance(x, Real):
        return x.significand, x.exponent
    if isinstance(x, (bytes, bytearray)):
        if len(x) != 10:
            raise ValueError(f"a register of the FPU has 10 bytes, not {len(x)}")
        return int.from_bytes(x[:8], "little"), int.from_bytes(x[8:], "little")
    if isinstance(x, bool) or not isinstance(x, (int, float, Fraction, np.integer, np.floating)):
        raise TypeError(f"vm.regs.st[i] takes a number, ten bytes, or what another register has shown, not {x!r}")
    if isinstance(x, (float, np.floating)):
        sign = 0x8000 if math.copysign(1.0, x) < 0 else 0
        if math.isnan(x):
            return 3 << 62, sign | 0x7FFF
        if math.isinf(x):
            return ONE, sign | 0x7FFF
        if x == 0:
            return 0, sign
        x = Fraction(float(x))
    x = Fraction(int(x) if isinstance(x, np.integer) else x)
    return rounded(x) if x else (0, 0)


def rounded(x: Fraction) -> tuple[int, int]:
    """To nearest, as FLD would if it could."""
    sign, x = (0x8000 if x < 0 else 0), abs(x)
    e = x.numerator.bit_length() - x.denominator.bit_length()
    e -= x < Fraction(2) ** e
    e = max(e, 1 - BIAS)
    m = round(x / Fraction(2) ** (e - 63))
    if m >> 64:
        m, e = m >> 1, e + 1
    if e > BIAS:
        raise ValueError("a register of the FPU holds numbers below 2 to the power of 16384")
    return m, sign | (e + BIAS if m & ONE else 0)


class Stack:
    """ST(0) to ST(7).  Writing a register makes it one that is not empty."""

    __slots__ = ("_vm",)

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Real:
        name = name_of("st", i)
        with self._vm._at_rest() as machine:
            return Real(*machine.processor.get(name))

    def __setitem__(self, i: int, x: Any) -> None:
        name, made = name_of("st", i), words(x)
        with self._vm._at_rest("register", name, made) as machine:
            machine.processor.set(name, made)

    def __iter__(self) -> Iterator[Real]:
        return (self[i] for i in range(8))

    def __repr__(self) -> str:
        return "\n".join(f"st{i} {x!r}" for i, x in enumerate(self))

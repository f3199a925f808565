"""`vm.disassemble`: rows of address, bytes, text, symbol.  iced-x86 prints them; it is an extra."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

LONGEST = 15                                             # bytes of an instruction, SDM vol. 2, 2.3.11


class Line(NamedTuple):
    address: int
    bytes: bytes
    text: str
    symbol: str = ""

    def __str__(self) -> str:
        return f"{self.address:08X}  {self.bytes.hex():20}  {self.text}" + (f"    ; {self.symbol}" if self.symbol else "")


class Listing(list[Line]):
    """Lines that print as a listing; `pandas.DataFrame(listing)` makes a table."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self))


def listing(machine: Any, translate: Callable[[int], Any], addr: int | None, n: int) -> Listing:
    """n instructions from linear address `addr`, or from CS:EIP, in the operand size of the current code segment."""
    try:
        from iced_x86 import Decoder, Formatter, FormatterSyntax
    except ImportError:
        raise ImportError("disassemble() needs iced-x86; pip install iced-x86, or pip install \"pyv86_nb[lab]\"") from None
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 100_000:
        raise ValueError(f"disassemble(n={n!r}): give a number of instructions from 1 to 100000")
    base = machine.code_base
    if addr is None:
        addr = (base + int(machine.processor.get("eip"))) & 0xFFFFFFFF
    if isinstance(addr, bool) or not isinstance(addr, int) or not 0 <= addr < 1 << 32:
        raise ValueError(f"disassemble({addr!r}): give a linear address of 32 bits")
    raw = fetch(machine, translate, addr, n * LONGEST)
    bits = machine.code_bits
    decoder, formatter = Decoder(bits, raw, ip=(addr - base) & (0xFFFFFFFF if bits == 32 else 0xFFFF)), Formatter(FormatterSyntax.INTEL)
    formatter.space_after_operand_separator = True
    out, at = Listing(), 0
    while len(out) < n and at < len(raw):
        instruction = decoder.decode()
        out.append(Line((addr + at) & 0xFFFFFFFF, raw[at:at + instruction.len], formatter.format(instruction),
                        machine.symbols.at((addr + at) & 0xFFFFFFFF)))
        at += instruction.len
    return out


def fetch(machine: Any, translate: Callable[[int], Any], addr: int, n: int) -> bytes:
    """Up to n bytes from a linear address, as far as pages are mapped."""
    raw = b""
    while len(raw) < n and addr + len(raw) < 1 << 32:
        at = addr + len(raw)
        walk = translate(at)
        if walk.physical is None:
            break
        raw += machine.memory.read(walk.physical, min(4096 - at % 4096, n - len(raw)))
    if not raw:
        raise ValueError(f"linear address {addr:#010x} is not mapped: {walk.why}")
    return raw

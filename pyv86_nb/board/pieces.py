"""What the ways of starting a kernel share: a piece of memory, and the refusal."""
from __future__ import annotations

from dataclasses import dataclass

from ..devices.fw_cfg import INITRD_DATA, KERNEL_DATA, SETUP_DATA

__all__ = ["INITRD_DATA", "KERNEL_DATA", "LOW", "RESERVED", "SETUP_DATA", "KernelError", "Piece", "mib"]

LOW = 0x10000                                            # base memory for setup code and structures: SeaBIOS uses none of it here
RESERVED = 0x80000                                       # firmware's tables below the end of memory: 256 KiB, and room


class KernelError(ValueError):
    """A kernel, initial RAM disk or command line that cannot be started."""


@dataclass
class Piece:
    """Bytes of a fw_cfg item that go to a physical address."""

    item: int
    address: int
    data: bytes


def mib(n: int) -> str:
    """A size for people."""
    return f"{n / (1 << 20):.1f} MiB" if n >= 1 << 20 else f"{n:,} bytes"

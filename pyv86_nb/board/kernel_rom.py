"""A kernel given to the machine, without a boot loader: what is put where, and the option ROM that does it.

Firmware runs first, so the kernel finds its memory map, ACPI and MP tables, and a screen.  The ROM (kernel_rom.s) is a boot
device like any other; it asks fw_cfg for the pieces by DMA and enters the kernel as its protocol says (linux_boot.py, multiboot.py).
A refusal is one ValueError; it comes before anything is built.
"""
from __future__ import annotations

import pathlib
import struct
from dataclasses import dataclass, field

from ..devices.fw_cfg import READ, SELECT
from ..media import elf
from . import linux_boot, multiboot
from .pieces import KernelError, Piece

FILE = "genroms/pyv86_nb.bin"
HEX = pathlib.Path(__file__).with_name("kernel_rom.hex")
BLOCK, PNP, PARAMETERS = 512, 0x20, 0x1C0


@dataclass
class Kernel:
    """What the machine is to start: pieces in memory, and how they are entered."""

    kind: int                                            # linux_boot.KIND or multiboot.KIND
    segment: int                                         # real-mode segment of the setup code or the information structure
    entry: int                                           # of a Multiboot kernel
    pieces: list[Piece]
    symbols: elf.Symbols = field(default_factory=elf.Symbols)

    def items(self) -> dict[int, bytes]:
        """Large items of fw_cfg by selector."""
        out: dict[int, bytes] = {}
        for p in self.pieces:
            out[p.item] = out.get(p.item, b"") + p.data
        return out

    def rom(self) -> bytes:
        """The option ROM with the parameters behind its code."""
        code = bytearray(bytes.fromhex(HEX.read_text(encoding="ascii")))
        code[PARAMETERS:] = struct.pack("<HHIQ", self.kind, self.segment, self.entry, 0)
        last = 0
        for p in self.pieces:                            # pieces of one item follow each other: it is selected once
            control = READ | (SELECT | p.item << 16 if p.item != last else 0)
            code += struct.pack(">IIQ", control, len(p.data), p.address)
            last = p.item
        code += bytes(16)
        code += bytes(-len(code) % BLOCK)
        code[2] = len(code) // BLOCK
        code[PNP + 9] = -sum(code[PNP:PNP + 32]) & 255
        code[-1] = -sum(code) & 255
        return bytes(code)

    def files(self) -> dict[str, bytes]:
        """Files of fw_cfg: the ROM, and that it boots before all disks."""
        return {FILE: self.rom(), "bootorder": f"/rom@{FILE}\0".encode()}


def kernel(image: bytes, modules: list[tuple[str, bytes]], cmdline: str, ram_bytes: int) -> Kernel:
    """What to do with this kernel file and these modules (for Linux: one initial RAM disk).

    Raises
    ------
    KernelError
        For a file that is neither a bzImage nor a Multiboot kernel, and for what does not fit into the memory.
    """
    try:
        line = cmdline.encode()
    except UnicodeError:
        raise KernelError(f"cmdline={cmdline!r:.60} cannot be written as UTF-8; use ordinary characters") from None
    if 0 in line: raise KernelError("cmdline= holds a zero byte, where a command line ends; leave it out")
    if linux_boot.is_bzimage(image):
        if len(modules) > 1: raise KernelError(f"initrd= names {len(modules)} files; Linux takes one initial RAM disk, modules are for Multiboot")
        segment, pieces = linux_boot.plan(image, modules[0][1] if modules else b"", line, ram_bytes)
        return Kernel(linux_boot.KIND, segment, 0, pieces)
    if multiboot.header(image) is not None:
        return Kernel(multiboot.KIND, *multiboot.plan(image, modules, line, ram_bytes))
    if image[:5] == elf.MAGIC + b"\2": raise KernelError("kernel= is an ELF file for a 64-bit processor; this PC has a 32-bit processor")
    if image[:4] == elf.MAGIC:
        raise KernelError("kernel= is an ELF file without a Multiboot header in its first 8192 bytes; of Linux give the bzImage (vmlinuz), "
                          "not vmlinux; a program of yours can be put into memory with bare= and vm.load(None, file)")
    raise KernelError(f"kernel= is not a Linux bzImage (no \"HdrS\" at 202h) nor a Multiboot kernel; it has {len(image):,} bytes and "
                      f"begins with {image[:4].hex(' ')}")

"""Kernels by the Multiboot Specification, version 0.6.96: ELF files, or flat ones with the addresses in the header.

    10000  information structure   +80h memory map (by the ROM, from firmware)   +800h modules, strings
    kernel where it wants to be;   modules on page boundaries behind it

Given in the structure: flags 0 mem_*, 2 command line, 3 modules, 6 memory map, 9 loader's name.

Not emulated: graphics modes (header flag 2; the screen stays in text mode), a.out and ELF symbol tables handed to the kernel, the
BIOS device (flag 1), drives, APM and VBE tables.
"""
from __future__ import annotations

import struct

from ..media import elf
from .pieces import INITRD_DATA, KERNEL_DATA, LOW, RESERVED, SETUP_DATA, KernelError, Piece, mib

KIND = 1
MAGIC, SEARCHED, PAGE = 0x1BADB002, 8192, 4096
ALIGN, MEMORY, GRAPHICS, ADDRESSES, KNOWN = 1, 2, 4, 1 << 16, 0x10007
MAP, TEXTS = 128, 2048
WHOLE = 0x10000 - TEXTS                                  # the structure has one segment
ROM, MIB = 0xC0000, 0x100000
GIVEN = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
NAME = b"pyv86_nb\0"


def header(image: bytes) -> int | None:
    """Where the Multiboot header is: in the first 8192 bytes, on a multiple of 4, its three words adding up to 0."""
    head = image[:SEARCHED]
    at = head.find(struct.pack("<I", MAGIC))
    while at >= 0:
        if at % 4 == 0 and at + 12 <= len(head) and sum(struct.unpack_from("<3I", head, at)) & 0xFFFFFFFF == 0: return at
        at = head.find(struct.pack("<I", MAGIC), at + 1)
    return None


def plan(image: bytes, modules: list[tuple[str, bytes]], line: bytes, ram_bytes: int) -> tuple[int, int, list[Piece], elf.Symbols]:
    """(segment of the structure, entry, pieces, symbols).  KernelError says what does not fit."""
    at = header(image)
    flags = struct.unpack_from("<I", image, at + 4)[0]
    if flags & 0xFFFF & ~KNOWN: raise KernelError(f"kernel= has Multiboot flags {flags:#x} with something unknown; flags 0, 1, 2 and 16 are served")
    if flags & ADDRESSES: (loads, entry), symbols = flat(image, at), elf.Symbols()
    else:
        try: program = elf.read(image, "kernel=")
        except ValueError as e: raise KernelError(str(e)) from None
        loads, entry, symbols = without_headers(program.pieces), program.physical_entry, program.symbols
    top, end = ram_bytes - RESERVED, 0
    for a, data in loads:
        if a < LOW + 0x10000 and a + len(data) > LOW or 0xA0000 < a + len(data) and a < MIB:
            raise KernelError(f"kernel= wants to be at {a:#x}, where the Multiboot structure (10000h) or the video memory and ROMs are; "
                              "link it at 1 MiB or above")
        end = max(end, a + len(data))
    if end > top: raise KernelError(f"kernel= needs memory up to {mib(end)}, and there are {mib(ram_bytes)}; give the VM more with memory=")
    pieces = [Piece(KERNEL_DATA, a, data) for a, data in loads]
    end, rows = max(end, MIB), []
    texts = bytearray(16 * len(modules))                 # the module table; the strings behind it

    def text(b: bytes) -> int:
        texts.extend(b + b"\0")
        return LOW + TEXTS + len(texts) - len(b) - 1

    for name, data in modules:
        end = end + PAGE - 1 & -PAGE
        if end + len(data) > top:
            raise KernelError(f"initrd= {name} has {mib(len(data))} and does not fit behind the kernel into {mib(ram_bytes)}; give more with memory=")
        pieces.append(Piece(INITRD_DATA, end, data))
        rows.append((end, end + len(data), text(name.encode(errors="replace")), 0))
        end += len(data)
    for i, row in enumerate(rows): struct.pack_into("<4I", texts, 16 * i, *row)
    command, loader = text(line), text(NAME[:-1])
    if len(texts) > WHOLE: raise KernelError(f"cmdline= and the names of modules have {len(texts):,} bytes; {WHOLE:,} fit")
    info = bytearray(TEXTS) + texts
    struct.pack_into("<I", info, 0, GIVEN)
    struct.pack_into("<III", info, 16, command, len(modules), LOW + TEXTS)
    struct.pack_into("<II", info, 44, 0, LOW + MAP)
    struct.pack_into("<I", info, 64, loader)
    return LOW >> 4, entry, [*pieces, Piece(SETUP_DATA, LOW, bytes(info))], symbols


def without_headers(loads: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """A linker that is told no more than to begin at 1 MiB puts the file's own headers on the page before.  There is ROM, and nobody wants them."""
    cut = [(MIB, data[MIB - a:]) if data.startswith(elf.MAGIC) and ROM <= a < MIB else (a, data) for a, data in loads]
    return [(a, data) for a, data in cut if data]


def flat(image: bytes, at: int) -> tuple[list[tuple[int, bytes]], int]:
    """([(address, bytes)], entry) by the address fields of the header."""
    if at + 32 > len(image): raise KernelError("kernel= is cut off inside its Multiboot header")
    header_addr, load, load_end, bss_end, entry = struct.unpack_from("<5I", image, at + 12)
    start = at - (header_addr - load)
    size = load_end - load if load_end else len(image) - start
    if start < 0 or size <= 0 or start + size > len(image) or bss_end and bss_end < load + size:
        raise KernelError("kernel= has Multiboot addresses that do not fit its file; is it cut short?")
    whole = bss_end - load if bss_end else size
    if whole > 3 << 30: raise KernelError("kernel= has a Multiboot bss_end beyond any memory of this PC")
    return [(load, image[start:start + size].ljust(whole, b"\0"))], entry

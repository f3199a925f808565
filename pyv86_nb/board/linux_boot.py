"""Linux by its own boot protocol, 2.00 and later.   Documentation/x86/boot.rst, "The Real-Mode Kernel Header", "Sample Boot Configuration".

    10000  setup code, (setup_sects + 1) * 512 bytes      SS:SP and heap end at 1E000, the command line is there
    100000 protected-mode kernel                           the initial RAM disk as high as header and firmware's tables allow

The setup code asks firmware for the memory map and the screen itself and makes the zero page.

Not emulated: zImage (kernels that are loaded low), the 32- and 64-bit entries, EFI.
"""
from __future__ import annotations

import re
import struct

from .pieces import INITRD_DATA, KERNEL_DATA, LOW, RESERVED, SETUP_DATA, KernelError, Piece, mib

KIND = 0
HIGH, HEAP_END, HEAP_GAP, ROOM_FOR_LINE = 0x100000, 0xE000, 0x200, 0x2000
LOADED_HIGH, CAN_USE_HEAP, XLF_KERNEL_64 = 1, 0x80, 1
UNDEFINED_LOADER = 0xFF
VIDEO = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}
OLD_INITRD_MAX = 0x37FFFFFF                              # what kernels before 2.03 assume


def is_bzimage(image: bytes) -> bool:
    """Whether the header is there: "HdrS" at 202h behind the mark of a boot sector."""
    return image[0x1FE:0x200] == b"\x55\xAA" and image[0x202:0x206] == b"HdrS"


def plan(image: bytes, initrd: bytes, line: bytes, ram_bytes: int) -> tuple[int, list[Piece]]:
    """(segment of the setup code, pieces).  KernelError says what does not fit."""
    if len(image) < 0x268: raise KernelError(f"kernel= is a bzImage cut off at {len(image):,} bytes, inside its header")
    word = lambda at, form: struct.unpack_from(form, image, at)[0]
    version, flags = word(0x206, "<H"), image[0x211]
    if version < 0x200 or not flags & LOADED_HIGH:
        raise KernelError("kernel= is an old Linux zImage, which is loaded below 1 MiB; give a bzImage")
    if version >= 0x20C and word(0x236, "<H") & XLF_KERNEL_64:
        raise KernelError("kernel= is a 64-bit Linux kernel (XLF_KERNEL_64); this PC has a 32-bit processor: give one for i386, i486 or i686")
    split = ((image[0x1F1] or 4) + 1) * 512
    setup, body = bytearray(image[:split]), image[split:]
    promised = word(0x1F4, "<I") * 16 if version >= 0x204 else 0
    if not body or len(body) + 16 < promised:
        raise KernelError(f"kernel= is a bzImage cut short: its header promises {mib(split + promised)}, the file has {mib(len(image))}")
    longest = min(word(0x238, "<I") if version >= 0x206 else 255, ROOM_FOR_LINE - 1)
    if len(line) > longest: raise KernelError(f"cmdline= has {len(line)} bytes; this kernel takes {longest}")
    end = HIGH + len(body)
    if version >= 0x20A:                                 # where it unpacks itself, and how much it needs for that
        end = max(end, word(0x258, "<Q") + word(0x260, "<I"))
    top = ram_bytes - RESERVED
    if end > top: raise KernelError(f"kernel= needs memory up to {mib(end)}, and there are {mib(ram_bytes)}; give the VM more with memory=")
    pieces = [Piece(SETUP_DATA, LOW, b""), Piece(SETUP_DATA, LOW + HEAP_END, line + b"\0"), Piece(KERNEL_DATA, HIGH, body)]
    at = 0
    if initrd:
        most = word(0x22C, "<I") if version >= 0x203 else OLD_INITRD_MAX
        at = (min(most + 1, top) - len(initrd)) & ~4095
        if at < end:
            raise KernelError(f"initrd= has {mib(len(initrd))} and does not fit between the kernel, which needs memory up to {mib(end)}, and the "
                              f"end of {mib(ram_bytes)}; give the VM more with memory=")
        pieces.append(Piece(INITRD_DATA, at, initrd))
    setup[0x210] = UNDEFINED_LOADER
    setup[0x211] = flags | CAN_USE_HEAP
    struct.pack_into("<H", setup, 0x1FA, video_mode(line))
    struct.pack_into("<H", setup, 0x224, HEAP_END - HEAP_GAP)
    struct.pack_into("<I", setup, 0x228, LOW + HEAP_END)
    struct.pack_into("<II", setup, 0x218, at, len(initrd))
    pieces[0].data = bytes(setup)
    return LOW >> 4, pieces


def video_mode(line: bytes) -> int:
    """`vga=` of the command line, which a boot loader takes from there; 0FFFFh, as it is, where there is none."""
    m = re.search(rb"(?:^|\s)vga=(\S+)", line)
    if not m: return VIDEO["normal"]
    text = m[1].decode("ascii", "replace").lower()
    try: return VIDEO[text] if text in VIDEO else int(text, 0) & 0xFFFF
    except ValueError: raise KernelError(f"cmdline= has vga={text}; write normal, ext, ask or the number of a mode, such as vga=0x317") from None

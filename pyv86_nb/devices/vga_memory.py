"""VGA display memory: what a CPU access at A0000-BFFFF does to the four planes.   IBM PS/2 Hardware Interface Technical Reference
(Video Subsystem, 1992), "Graphics controller", "Sequencer"; Intel OSRC PRM volume 3 (VGA).

    GR6 3-2 window     0: A0000 128 KiB   1: A0000 64 KiB   2: B0000 32 KiB   3: B8000 32 KiB

    address -> plane, offset     SR4 bit 3 chain 4:   plane = A1 A0              offset = A15..A2 0 0
                                 SR4 bit 2 = 0:       planes 0, 2 or 1, 3 by A0  offset = A15..A1 0        (odd/even; reads: GR5 bit 4)
                                 else                 all planes                 offset = A15..A0

    write   CPU byte --rotate--> mode 0: byte, or SET/RESET where enabled -+                     +-> MAP MASK (SR2) -> planes
            (GR3 2-0)            mode 2: bit p of the byte, all over plane p +-> AND OR XOR with -+
                                 mode 3: SET/RESET; byte becomes a mask      |   the latches      |  BIT MASK (GR8): 0 keeps
                                 mode 1: the latches, untouched  ------------+   (GR3 4-3)        +-- the latches' bit
    read    latches <- 4 planes; mode 0: the plane of GR4; mode 1: 1 where all planes that GR7 cares for equal GR2

One 32-bit number holds the byte of plane p in bits 8p..8p+7, so the four planes pass the data path together.

Not emulated: the odd/even page bit (misc output bit 5), wait states, the content of memory at power-on (zero here).
"""
from .chip import kernel

PLANE = 16                                               # plane p begins at p << 16


@kernel
def spread(bits):
    """Four bits, each all over its plane's byte."""
    return (bits * 0x00204081 & 0x01010101) * 255


@kernel
def aperture(vga, a):
    """Where in the mapped window the address is; -1: outside, or display memory is off (misc output bit 1)."""
    select = vga.gr[6] + 0 >> 2 & 3
    if vga.misc & 2 == 0: return -1
    if select == 0: return a
    if select == 1: return a if a < 0x10000 else -1
    if select == 2: return a & 0x7FFF if a >> 15 == 2 else -1
    return a & 0x7FFF if a >> 15 == 3 else -1


@kernel
def write_byte(vga, a, v):
    """One byte through the graphics controller; a is relative to A0000."""
    a = aperture(vga, a)
    if a < 0: return
    sr4, mask = vga.seq[4] + 0, vga.seq[2] & 15
    if sr4 & 8:
        mask &= 1 << (a & 3)
        at = a & 0xFFFC | a >> 16
    elif sr4 & 4 == 0:
        mask &= 5 << (a & 1)
        at = a & 0xFFFE | a >> 16
    else: at = a & 0xFFFF
    mode, turn, keep, data = vga.gr[5] & 3, vga.gr[3] + 0, (vga.gr[8] + 0) * 0x01010101, vga.latch
    if mode != 1:
        if mode != 2 and turn & 7: v = (v >> (turn & 7) | v << 8 - (turn & 7)) & 255
        if mode == 0:
            enabled = spread(vga.gr[1] & 15)
            data = v * 0x01010101 & (0xFFFFFFFF ^ enabled) | spread(vga.gr[0] & 15) & enabled
        elif mode == 2: data = spread(v & 15)
        else:
            data = spread(vga.gr[0] & 15)
            keep &= v * 0x01010101
        logic = turn >> 3 & 3
        if logic == 1: data &= vga.latch
        elif logic == 2: data |= vga.latch
        elif logic == 3: data ^= vga.latch
        data = data & keep | vga.latch & (0xFFFFFFFF ^ keep)
    for p in range(4):
        if mask >> p & 1: vga.planes[p << PLANE | at] = data >> 8 * p & 255


@kernel
def read_byte(vga, a):
    """One byte, and the latches loaded."""
    a = aperture(vga, a)
    if a < 0: return 255
    plane, at, mode = vga.gr[4] & 3, a & 0xFFFF, vga.gr[5] + 0
    if vga.seq[4] & 8:
        plane = a & 3
        at = a & 0xFFFC | a >> 16
    elif mode & 16:
        plane = plane & 2 | a & 1
        at = a & 0xFFFE | a >> 16
    latch = 0
    for p in range(4): latch |= (vga.planes[p << PLANE | at] + 0) << 8 * p
    vga.latch = latch
    if mode & 8 == 0: return latch >> 8 * plane & 255
    differs = (latch ^ spread(vga.gr[2] & 15)) & spread(vga.gr[7] & 15)
    return 255 ^ (differs | differs >> 8 | differs >> 16 | differs >> 24) & 255


@kernel
def write(vga, address, size, v):
    """1, 2 or 4 bytes, low first."""
    for i in range(size): write_byte(vga, address + i, v >> 8 * i & 255)


@kernel
def read(vga, address, size):
    """1, 2 or 4 bytes, low first."""
    v = 0
    for i in range(size): v |= read_byte(vga, address + i) << 8 * i
    return v

"""Graphics modes: planes or framebuffer to a picture.   IBM PS/2 Hardware Interface Technical Reference, "Graphics mode register" (GR5).

    GR5 bit 6      each character is 4 pixels of 8 bits, plane 0 first            (mode 13h, unchained 256 colours)
        bit 5      8 pixels of 2 bits from planes 0, 1 (low) and 2, 3 (high)      (CGA 320 x 200)
        neither    8 pixels of 4 bits, one from each plane                        (16 colours; CGA 640 x 200 through AR12 = 1)
    Bochs VBE      8 bits by the DAC; 15, 16, 24, 32 bits: blue lowest

Repeated scan lines are given once: mode 13h is 320 x 200.
"""
import numpy as np

from .palette import dac_palette, palette16
from .raster import Raster, addresses, planes, raster, strips


def repeat(vga, r: Raster) -> int:
    """How many scan lines in a row show the same memory."""
    lines = r.cell if vga.crtc[0x17] & 1 and (vga.crtc[0x17] & 2 or r.cell < 3) else 1
    return lines << r.double


def size(vga) -> tuple[int, int, int]:
    """(width, height, colours) of the graphics picture."""
    if vga.linear(): return vga.xres, vga.yres, 1 << min(vga.bpp, 24)
    r = raster(vga)
    wide, colours = (4, 256) if vga.gr[5] & 0x40 else (8, 4 if vga.gr[5] & 0x20 else 1 << bin(vga.attr[0x12] & 15).count("1"))
    return r.columns * wide, max(r.lines // repeat(vga, r), 1), colours


def indexed(vga) -> tuple[np.ndarray, np.ndarray] | None:
    """The graphics screen as palette indices, uint8 (h, w), with their colours, uint8 (16 or 256, 3); None in modes without a palette."""
    if vga.linear():
        if vga.bpp != 8: return None
        return linear(vga) & np.uint8(vga.pel_mask), dac_palette(vga)
    r = raster(vga)
    w, h, _ = size(vga)
    parts = [pixels(vga, addresses(vga, base, scan, r.columns + 2))[:, pan:pan + w] for base, scan, pan in strips(vga, r, repeat(vga, r))]
    index = (parts[0] if len(parts) == 1 else np.concatenate(parts))[:h]
    return (index & np.uint8(vga.pel_mask), dac_palette(vga)) if vga.gr[5] & 0x40 else (index, palette16(vga))


def graphics_image(vga) -> np.ndarray:
    """The graphics screen as (h, w, 3) uint8."""
    picture = indexed(vga)
    if picture is None: return direct(vga)
    index, colours = picture
    return np.take(colours, index, axis=0)


def pixels(vga, a):
    """Colour indices of the characters at plane addresses a."""
    p = planes(vga)
    lines = len(a)
    if vga.gr[5] & 0x40: return np.stack([p[i][a] for i in range(4)], axis=2).reshape(lines, -1)
    if vga.gr[5] & 0x20:
        out = np.empty((*a.shape, 8), np.uint8)
        for i in range(2):
            low, high = p[i][a], p[i + 2][a]
            for n in range(4): out[:, :, 4 * i + n] = low >> 6 - 2 * n & 3 | (high >> 6 - 2 * n & 3) << 2
        return out.reshape(lines, -1)
    out = np.zeros((lines, a.shape[1] * 8), np.uint8)
    for i in range(4): out |= np.unpackbits(p[i][a], axis=1) << i
    return out


def linear(vga) -> np.ndarray:
    """The bytes of a Bochs VBE picture, (h, bytes of a line); zeros while the framebuffer is not there."""
    w, h, step, pitch = vga.xres, vga.yres, vga.bpp + 7 >> 3, vga.pitch()
    if vga.framebuffer is None: return np.zeros((h, w * step), np.uint8)
    start = vga.y_offset * pitch + vga.x_offset * step
    raw = np.asarray(vga.framebuffer)[start:start + h * pitch]
    if len(raw) < h * pitch: raw = np.pad(raw, (0, h * pitch - len(raw)))  # the last line may end with the memory
    return raw.reshape(h, pitch)[:, :w * step]


def direct(vga) -> np.ndarray:
    """A Bochs VBE mode of 15, 16, 24 or 32 bits as (h, w, 3)."""
    raw = linear(vga)
    return colours(raw.reshape(len(raw), vga.xres, -1), vga.bpp)


def colours(raw: np.ndarray, bpp: int) -> np.ndarray:
    """Pixels of 15, 16, 24 or 32 bits, (h, w, bytes of a pixel), as (h, w, 3)."""
    if bpp > 16: return np.ascontiguousarray(raw[:, :, 2::-1])
    v = np.ascontiguousarray(raw).view("<u2")[:, :, 0]
    if bpp == 16: red, green, blue = v >> 11, v >> 3 & 0xFC | v >> 9 & 3, v & 31
    else: red, green, blue = v >> 10 & 31, five(v >> 5 & 31), v & 31
    return np.stack([five(red), green, five(blue)], axis=2).astype(np.uint8)


def five(v):
    """Five bits stretched to eight."""
    return v << 3 | v >> 2

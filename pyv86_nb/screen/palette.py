"""From attribute to colour: attribute controller palette, colour select, DAC mask, DAC.

    4 bits --AR12--> AR0-AR15: 6 bits --AR10 bit 7: bits 5, 4 from AR14 bits 1, 0; AR14 bits 3, 2 above--> 8 bits --mask--> DAC entry
"""
import numpy as np


def dac_palette(vga) -> np.ndarray:
    """The DAC's 256 colours as (256, 3) uint8; six bits are stretched to eight (63 becomes 255)."""
    dac = np.frombuffer(vga.dac, np.uint8).reshape(256, 3)
    return dac.copy() if vga.enable & 0x20 else dac << 2 | dac >> 4


def palette16(vga) -> np.ndarray:
    """The colours of attributes 0-15 as (16, 3) uint8, as they arrive at the screen."""
    v = np.frombuffer(vga.attr, np.uint8, 16)[np.arange(16) & vga.attr[0x12] & 15].astype(np.intp) & 0x3F
    select = vga.attr[0x14]
    v = v & 15 | (select & 3) << 4 if vga.attr[0x10] & 0x80 else v
    return dac_palette(vga)[(v | (select >> 2 & 3) << 6) & vga.pel_mask]


def overscan(vga) -> np.ndarray:
    """The border's colour, (3,)."""
    return dac_palette(vga)[vga.attr[0x11] & vga.pel_mask]

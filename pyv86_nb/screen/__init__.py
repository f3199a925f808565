"""What the monitor shows: pictures and text made from a VGA's registers and memory, never from BIOS calls.

A function here is given the VGA chip (any object with its fields and buffers: crtc, seq, gr, attr, dac, planes ...) and reads it; nothing
is changed, no port is read.  See picture.py for what can be asked.
"""
from .graphics import colours, graphics_image, indexed, linear
from .palette import dac_palette, palette16
from .picture import Mode, image, mode, png, shown
from .raster import Raster, raster
from .text import Cursor, Glance, cursor, font, text, text_cells, text_image

__all__ = ["Cursor", "Glance", "Mode", "Raster", "colours", "cursor", "dac_palette", "font", "graphics_image", "image", "indexed", "linear", "mode",
           "palette16", "png", "raster", "shown", "text", "text_cells", "text_image"]

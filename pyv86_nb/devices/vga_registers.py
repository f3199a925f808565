"""The VGA's registers by name and meaning.   Data sheet: IBM PS/2 Hardware Interface Technical Reference, Video Subsystem (1992).

The chip keeps its registers as bytes of buffers, since jitted code indexes them as the guest does.  Here each gets the name of the manual:
`vga.CR0C`, `vga.GR5`, `vga.SR4`, `vga.AR10` read and write a byte, and the card shows them with their meaning.

Not emulated: registers of other makers (all indices above the manual's read as 0).
"""

CRT = ("horizontal total, less 5", "horizontal display end", "start of horizontal blanking", "end of horizontal blanking",
       "start of horizontal retrace", "end of horizontal retrace", "vertical total, less 2",
       "overflow: bits 8 and 9 of vertical registers", "preset row scan, byte panning", "maximum scan line, double scan",
       "cursor start, bit 5: off", "cursor end", "start address, high", "start address, low", "cursor location, high",
       "cursor location, low", "vertical retrace start", "vertical retrace end, bit 7: protects CR00-CR07", "vertical display end",
       "offset: half the address counter's step from row to row", "underline location, bit 6: double words",
       "start of vertical blanking", "end of vertical blanking", "mode control", "line compare")
SEQUENCER = ("reset", "clocking mode: 5 off, 3 half dot clock, 0 eight dots", "map mask", "character map select",
             "memory mode: 3 chain 4, 2 odd/even off")
GRAPHICS = ("set/reset", "enable set/reset", "colour compare", "rotate, function", "read map select",
            "mode: 6 256 colours, 5 interleaved, 4 odd/even, 3 read, 1-0 write",
            "miscellaneous: 3-2 window, 1 chain odd/even, 0 graphics", "colour don't care", "bit mask")
ATTRIBUTE = (*(f"palette {i}" for i in range(16)),
             "mode control: 7 P5-4 select, 6 256 colours, 5 panning, 3 blink, 2 line graphics, 0 graphics",
             "overscan colour", "colour plane enable", "horizontal pixel panning", "colour select")

NAMED = [(f"{prefix}{i:0{digits}X}", buffer, i, doc) for prefix, digits, buffer, docs in (
    ("SR", 1, "seq", SEQUENCER), ("CR", 2, "crtc", CRT), ("GR", 1, "gr", GRAPHICS), ("AR", 2, "attr", ATTRIBUTE)) for i, doc in enumerate(docs)]


class Byte:
    """One register in a buffer of the chip."""
    def __init__(self, buffer, index, doc): self.buffer, self.index, self.__doc__ = buffer, index, doc
    def __get__(self, chip, cls=None): return self if chip is None else getattr(chip, self.buffer)[self.index]

    def __set__(self, chip, v):
        if not 0 <= v < 256: raise ValueError(f"{self.buffer}[{self.index}] of {chip.name} has 8 bits; {v:#x} does not fit")
        getattr(chip, self.buffer)[self.index] = v


class Named:
    """Gives a chip the registers of NAMED, and its card their rows."""
    def rows(self):
        yield from super().rows()
        for name, buffer, i, doc in NAMED: yield name, f"{getattr(self, buffer)[i]:02X}h", {}, doc


for _name, _buffer, _i, _doc in NAMED: setattr(Named, _name, Byte(_buffer, _i, _doc))

"""Bochs VBE extensions ("dispi") of a VGA: linear colour modes.   Data sheet: Bochs VBE Display API 0.7 (vbe_display_api.txt), ID B0C5h.

    1CEh  index, 16 bits      0 ID        1 XRES   2 YRES   3 BPP (4, 8, 15, 16, 24, 32)
    1CFh  data, 16 bits       4 ENABLE    7 NOCLEARMEM  6 LFB  5 8BIT_DAC  1 GETCAPS: 1-3 read as the greatest values  0 ENABLED
                              5 BANK      64 KiB pieces of the framebuffer at A0000
                              6, 7 virtual width, height     8, 9 X and Y of the picture in it     A video memory in 64 KiB

    picture line y begins at byte (Y + y) * pitch + X * bytes of the framebuffer

The framebuffer (PCI base address 0 of the VGA) is plain memory that the board owns and maps; `framebuffer` is its view, and REMAP
tells that the 64 KiB at A0000 now show a bank of it, or the planes again.  With 4 bpp the planes stay, and the CRT controller is set for them:
a picture of as many lines as 64 KiB a plane hold, 512 of 1024 dots.

Not emulated: the first 256 KiB of the framebuffer are not the planes (they are in the Bochs and QEMU cards), virtual height is read only,
display timing of VBE modes (retrace bits go on as the CRT controller has it), the DDC registers, base address 2.
"""
from .chip import Chip, field, reads, writes

ENABLED, GETCAPS, DAC_8BIT, LFB, NOCLEARMEM = 1, 2, 0x20, 0x40, 0x80
ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY_64K = range(11)
MAX_X, MAX_Y, MAX_BPP = 2560, 1600, 32
PLANAR = 2048, 1024, 4080                                # width, height, virtual width that the CRT controller's registers can hold


class Vbe(Chip):
    """Bochs VBE registers"""
    vbe_index = field(16, "VBE index")
    vbe_id = field(16, "VBE 0: interface version", 0xB0C5)
    xres = field(16, "VBE 1: width in pixels")
    yres = field(16, "VBE 2: height in lines")
    bpp = field(16, "VBE 3: bits per pixel")
    enable = field(16, "VBE 4", names="NOCLEAR:7 LFB:6 DAC8:5 GETCAPS:1 ENABLED:0")
    bank = field(16, "VBE 5: the 64 KiB shown at A0000")
    virt_width = field(16, "VBE 6: virtual width in pixels")
    x_offset = field(16, "VBE 8: first pixel shown")
    y_offset = field(16, "VBE 9: first line shown")
    vram_bytes, framebuffer = 16 << 20, None             # framebuffer: the board's uint8 view of that memory

    def pitch(self):
        """Bytes from one line to the next; with 4 bpp, in each plane."""
        return self.virt_width // 8 if self.bpp == 4 else self.virt_width * (self.bpp + 7 >> 3)

    def room(self):
        """How many lines the memory holds."""
        return (0x10000 if self.bpp == 4 else self.vram_bytes) // self.pitch()

    def linear(self):
        """Whether the picture comes from the framebuffer and not from the planes."""
        return bool(self.enable & ENABLED) and self.bpp != 4

    def fit(self):
        """Give the registers of an enabled mode values that can be shown; the API asks for no error report."""
        if not self.enable & ENABLED: return
        if self.bpp not in (4, 8, 15, 16, 24, 32): self.bpp = 8
        most_x, most_y, most_virtual = PLANAR if self.bpp == 4 else (MAX_X, MAX_Y, 0xFFF8)
        self.xres = min(max(self.xres & ~7, 8), most_x)
        self.virt_width = min(max(self.virt_width & ~7, self.xres), most_virtual)
        room = self.room()
        self.yres = min(max(self.yres, 1), most_y, room)
        self.x_offset = min(self.x_offset, self.virt_width - self.xres)
        self.y_offset = min(self.y_offset, room - self.yres)
        if self.bpp == 4: self.set_planes()

    def set_planes(self):
        """The CRT controller for a planar picture of this size."""
        last, c = self.yres - 1, self.crtc
        c[0x01], c[0x12], c[0x13] = self.xres // 8 - 1, last & 255, self.virt_width // 16 & 255
        c[0x07] = c[0x07] & ~0x42 | last >> 7 & 2 | last >> 3 & 0x40
        c[0x17], c[0x14], c[0x09] = c[0x17] | 0x43, c[0x14] & ~0x40, c[0x09] & ~0x9F
        start = self.y_offset * self.pitch() + self.x_offset // 8
        c[0x0C], c[0x0D] = start >> 8 & 255, start & 255
        self.gr[5], self.gr[6] = self.gr[5] & ~0x60, self.gr[6] & ~0x0E | 0x05
        self.seq[4] = self.seq[4] & ~8 | 6

    @reads(0, "VBE index", bank="vbe", size=2)
    def get_vbe_index(self, now): return self.vbe_index

    @writes(0, "VBE index", bank="vbe", size=2)
    def put_vbe_index(self, v, now): self.vbe_index = v

    @reads(1, "VBE data", bank="vbe", size=2)
    def get_vbe(self, now):
        i = self.vbe_index
        if i in (XRES, YRES, BPP) and self.enable & GETCAPS: return (MAX_X, MAX_Y, MAX_BPP)[i - XRES]
        if i == VIRT_HEIGHT: return min(self.room(), 0xFFFF) if self.enable & ENABLED else 0
        if i == MEMORY_64K: return self.vram_bytes >> 16
        name = REGISTERS.get(i)
        return getattr(self, name) if name else 0

    @writes(1, "VBE data", bank="vbe", size=2)
    def put_vbe(self, v, now):
        i = self.vbe_index
        if i == ID: self.vbe_id = v if 0xB0C0 <= v <= 0xB0C5 else self.vbe_id
        elif i == ENABLE: self.switch(v)
        elif i == BANK:
            self.bank = v % (self.vram_bytes >> 16)
            self.REMAP = self.REMAP | self.linear()
        elif i in REGISTERS:
            setattr(self, REGISTERS[i], v)
            self.fit()

    def switch(self, v):
        """ENABLE is written."""
        fresh = v & ENABLED and not self.enable & ENABLED
        self.enable = v & 0xE3
        if fresh:
            self.virt_width = self.x_offset = self.y_offset = 0
            self.fit()
            if not v & NOCLEARMEM:
                if self.bpp == 4: self.planes[:] = bytes(len(self.planes))
                elif self.framebuffer is not None: self.framebuffer[:self.yres * self.pitch()] = 0
        self.bank = 0
        self.REMAP = 1


REGISTERS = {ID: "vbe_id", XRES: "xres", YRES: "yres", BPP: "bpp", ENABLE: "enable", BANK: "bank", VIRT_WIDTH: "virt_width",
             X_OFFSET: "x_offset", Y_OFFSET: "y_offset"}

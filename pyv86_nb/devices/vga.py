"""IBM VGA: sequencer, CRT controller, graphics and attribute controllers, DAC.   Data sheet: IBM PS/2 Hardware Interface Technical Reference,
Video Subsystem (1992); the four planes and the CPU's way to them are in vga_memory.py, the registers' names in vga_registers.py,
the Bochs VBE registers in vga_vbe.py.

    3C0/1 attribute    index and data through one port: a flip-flop, reset by reading 3xA     AR0-F palette, 10-14
    3C2 w misc output  3CC r     7, 6 sync polarity  3-2 dot clock: 25.175, 28.322 MHz  1 display memory  0: 1 = 3Dx, 0 = 3Bx
    3C4/5 sequencer    SR1 clocking  SR2 map mask  SR3 character maps  SR4 memory mode
    3C6-9 DAC          mask, read index, write index, data (R, G, B of 6 bits, then the next entry)
    3CE/F graphics     GR0-8
    3x4/5 CRT          CR0-18; CR11 bit 7 protects CR0-7 (of CR7 all but bit 4)
    3xA r status 1     0: 1 = not displaying   3: 1 = vertical retrace             w feature control, r 3CA

                 |<------- horizontal total CR0 + 5 characters ------->|
         ---     +----------------------------+------------------------+        A character takes 8 or 9 dots (SR1 bit 0) of the dot clock,
          ^      | display: CR1+1 characters  | blank, retrace         |        halved by SR1 bit 3.  Nothing ticks: the beam's place is the
       total     |   bit 0 = 0                |   bit 0 = 1            |        number of characters since power-on, modulo the frame.
       CR6 + 2   +----------------------------+------------------------+        With CR17 bit 2 vertical counts are in pairs of lines.
       lines     | bit 0 = 1;   bit 3 = 1 from line CR10 for (CR11 - CR10) mod 16 lines
         ---     +-----------------------------------------------------+

Not emulated: the vertical interrupt (CR11 bits 5-4; rarely wired), video subsystem sleep (3C3h, 46E8h), the light pen, diagnostic bits of status 1,
the beam's phase after timing registers were written (it is that of a machine which had them from power-on), external dot clocks (2, 3: as 0).
"""
from . import vga_memory
from .chip import buffer, field, keep, kernel, memory_reads, memory_writes, pin_out, reads, writes
from .clock import ticks
from .pci import PREFETCHABLE, Bar, Header
from .vga_registers import Named
from .vga_vbe import Vbe

VRAM = 16 << 20
HEADER = Header(0x1234, 0x1111, 0x030000, 2, bars={0: Bar(VRAM, PREFETCHABLE)}, rom=0x10000, subsystem=(0x1AF4, 0x1100))
WINDOW, WINDOW_BYTES = 0xA0000, 0x20000                  # where a PC has the display memory


# MASKS: bits that exist, by register

@kernel
def sequencer_bits(i): return 0x0E3F0F3D03 >> 8 * i & 255 if i < 5 else 0


@kernel
def graphics_bits(i):
    if i == 8: return 255
    return 0x0F0F7B031F0F0F0F >> 8 * i & 255 if i < 8 else 0


@kernel
def attribute_bits(i):
    if i < 16: return 0x3F
    if i == 16: return 0xEF
    return 0xFF if i == 17 else 0x3F if i == 18 else 0x0F


# WHERE THE BEAM IS

@kernel
def lines(vga, low, bit8, bit9):
    """A vertical register: eight bits of its own, two in the overflow register."""
    return vga.crtc[low] + 0 | (vga.crtc[7] + 0 >> bit8 & 1) << 8 | (vga.crtc[7] + 0 >> bit9 & 1) << 9


@kernel
def beam(vga, now):
    """(character, line) of the beam, in the units of the CRT controller."""
    hz = 28_322_000 if vga.misc >> 2 & 3 == 1 else 25_175_000
    if vga.seq[1] & 8: hz //= 2
    dots = ticks(now, hz, vga.ips)
    width, height = vga.crtc[0] + 5, lines(vga, 6, 0, 5) + 2
    if vga.crtc[0x17] & 4: height *= 2
    place = dots // (8 if vga.seq[1] & 1 else 9) % (width * height)
    line = place // width
    return place % width, line // 2 if vga.crtc[0x17] & 4 else line


@kernel
def status_1(vga, now):
    x, y = beam(vga, now)
    start = lines(vga, 0x10, 2, 7)
    shown = x <= vga.crtc[1] and y <= lines(vga, 0x12, 1, 6)
    retrace = 0 <= y - start < ((vga.crtc[0x11] & 15) - start) % 16
    return (0 if shown else 1) | (8 if retrace else 0)


@kernel
def shows_other(vga):
    """What the screen shows may be another thing now."""
    if vga.watched:
        vga.watched = 0
        vga.NOTICE = 1


# CRT CONTROLLER: at 3B4h or 3D4h, as misc output bit 0 says; at the other place nobody answers

@kernel
def write_crtc(vga, v):
    i = vga.crtc_index
    shows_other(vga)
    if vga.crtc[0x11] & 0x80 and i < 8:
        if i == 7: vga.crtc[7] = vga.crtc[7] & 0xEF | v & 0x10
    elif i <= 0x18: vga.crtc[i] = v


def crt_ports(bank, here, kernel):
    """The CRT controller and status methods of one of the two places; compiled at 3Dxh, where everybody is."""
    @reads(4, "CRT controller address", bank=bank)
    @kernel
    def get_index(vga, now): return vga.crtc_index if vga.misc & 1 == here else 255

    @writes(4, "CRT controller address", bank=bank)
    @kernel
    def put_index(vga, v, now):
        if vga.misc & 1 == here: vga.crtc_index = v

    @reads(5, "CRT controller data", bank=bank)
    @kernel
    def get(vga, now):
        if vga.misc & 1 != here: return 255
        return vga.crtc[vga.crtc_index] + 0 if vga.crtc_index < 32 else 0

    @writes(5, "CRT controller data", bank=bank)
    @kernel
    def put(vga, v, now):
        if vga.misc & 1 == here: write_crtc(vga, v)

    @reads(10, "input status 1; the attribute flip-flop goes to address", bank=bank)
    @kernel
    def status(vga, now):
        if vga.misc & 1 != here: return 255
        vga.attr_data = 0
        return status_1(vga, now)

    @writes(10, "feature control", bank=bank)
    def put_feature(vga, v, now):
        if vga.misc & 1 == here: vga.feature = v & 3

    return get_index, put_index, get, put, status, put_feature


class Vga(Named, Vbe):
    """IBM VGA with Bochs VBE extensions"""
    REMAP = pin_out("the display memory's window has moved (VBE modes)")
    NOTICE = pin_out("somebody waits for a change on the screen, and here is one")
    watched = field(1, "somebody waits for a change on the screen", keep(0))
    misc = field(8, "miscellaneous output", names="VSP:7 HSP:6 PAGE:5 CLOCK:3-2 RAM:1 IOS:0")
    feature = field(8, "feature control")
    seq_index = field(8, "sequencer address")
    seq = buffer(8, "sequencer SR0-SR4")
    crtc_index = field(8, "CRT controller address")
    crtc = buffer(32, "CRT controller CR0-CR18")
    gr_index = field(8, "graphics address")
    gr = buffer(16, "graphics controller GR0-GR8")
    attr_index = field(6, "attribute address", names="PAS:5 INDEX:4-0")
    attr_data = field(1, "flip-flop: the next write to 3C0h is data")
    attr = buffer(24, "attribute controller AR0-AR14")
    pel_mask = field(8, "DAC mask", 0xFF)
    dac_write = field(8, "DAC entry written next")
    dac_read = field(8, "DAC entry read next")
    dac_state = field(2, "0: writing, 3: reading")
    dac_part = field(2, "0 red, 1 green, 2 blue comes next")
    dac_red = field(8, "red waiting for its blue")
    dac_green = field(8, "green waiting for its blue")
    dac = buffer(768, "DAC: 256 entries of R, G, B")
    latch = field(32, "latches: the byte of plane p in bits 8p to 8p+7")
    planes = buffer(4 << vga_memory.PLANE, "display memory: four planes of 64 KiB, one after the other")
    ips = field(63, "instructions per guest second", keep(0))
    header = HEADER

    # DISPLAY MEMORY, from A0000
    @memory_reads("window")
    @kernel
    def window_read(vga, address, size, now): return vga_memory.read(vga, address, size)

    @memory_writes("window")
    @kernel
    def window_write(vga, address, size, v, now):
        vga_memory.write(vga, address, size, v)
        shows_other(vga)

    # PORTS from 3C0h: attribute controller
    @writes(0x0, "attribute address, then data")
    @kernel
    def put_attribute(vga, v, now):
        if vga.attr_data == 0: vga.attr_index = v & 0x3F
        elif vga.attr_index < 16 or vga.attr_index & 0x1F >= 16 and vga.attr_index & 0x1F <= 20:
            i = vga.attr_index & 0x1F                    # with PAS=1 the palette is the screen's and cannot be written
            vga.attr[i] = v & attribute_bits(i)
        vga.attr_data ^= 1

    @reads(0x0, "attribute address")
    @kernel
    def get_attribute_index(vga, now): return vga.attr_index

    @reads(0x1, "attribute data")
    @kernel
    def get_attribute(vga, now): return vga.attr[vga.attr_index & 0x1F] + 0 if vga.attr_index & 0x1F <= 20 else 0

    # miscellaneous
    @writes(0x2, "miscellaneous output")
    @kernel
    def put_misc(vga, v, now): vga.misc = v

    @reads(0x2, "input status 0: a colour monitor is there")
    def get_status_0(vga, now): return 0x10

    @reads(0xA, "feature control")
    def get_feature(vga, now): return vga.feature

    @reads(0xC, "miscellaneous output")
    @kernel
    def get_misc(vga, now): return vga.misc

    # sequencer
    @writes(0x4, "sequencer address")
    @kernel
    def put_seq_index(vga, v, now): vga.seq_index = v

    @reads(0x4, "sequencer address")
    @kernel
    def get_seq_index(vga, now): return vga.seq_index

    @writes(0x5, "sequencer data")
    @kernel
    def put_seq(vga, v, now):
        if vga.seq_index < 8: vga.seq[vga.seq_index] = v & sequencer_bits(vga.seq_index)

    @reads(0x5, "sequencer data")
    @kernel
    def get_seq(vga, now): return vga.seq[vga.seq_index] + 0 if vga.seq_index < 8 else 0

    # DAC
    @reads(0x6, "DAC mask")
    @kernel
    def get_pel_mask(vga, now): return vga.pel_mask

    @writes(0x6, "DAC mask")
    @kernel
    def put_pel_mask(vga, v, now): vga.pel_mask = v

    @reads(0x7, "DAC state")
    @kernel
    def get_dac_state(vga, now): return vga.dac_state

    @writes(0x7, "DAC read address")
    @kernel
    def put_dac_read(vga, v, now):
        vga.dac_read, vga.dac_part, vga.dac_state = v, 0, 3

    @reads(0x8, "DAC write address")
    @kernel
    def get_dac_write(vga, now): return vga.dac_write

    @writes(0x8, "DAC write address")
    @kernel
    def put_dac_write(vga, v, now):
        vga.dac_write, vga.dac_part, vga.dac_state = v, 0, 0

    @writes(0x9, "DAC data")
    @kernel
    def put_dac(vga, v, now):
        """An entry is written when its blue has come."""
        v &= 255 if vga.enable & 0x20 else 63
        if vga.dac_part == 0: vga.dac_red = v
        elif vga.dac_part == 1: vga.dac_green = v
        else:
            at = 3 * vga.dac_write
            vga.dac[at], vga.dac[at + 1], vga.dac[at + 2] = vga.dac_red, vga.dac_green, v
            vga.dac_write = vga.dac_write + 1 & 255
        vga.dac_part = (vga.dac_part + 1) % 3

    @reads(0x9, "DAC data")
    @kernel
    def get_dac(vga, now):
        v = vga.dac[3 * vga.dac_read + vga.dac_part] + 0
        if vga.dac_part == 2: vga.dac_read = vga.dac_read + 1 & 255
        vga.dac_part = (vga.dac_part + 1) % 3
        return v

    # graphics controller
    @writes(0xE, "graphics address")
    @kernel
    def put_gr_index(vga, v, now): vga.gr_index = v

    @reads(0xE, "graphics address")
    @kernel
    def get_gr_index(vga, now): return vga.gr_index

    @writes(0xF, "graphics data")
    @kernel
    def put_gr(vga, v, now):
        if vga.gr_index < 16: vga.gr[vga.gr_index] = v & graphics_bits(vga.gr_index)

    @reads(0xF, "graphics data")
    @kernel
    def get_gr(vga, now): return vga.gr[vga.gr_index] + 0 if vga.gr_index < 16 else 0

    # CRT controller, from 3D0h and 3B0h
    color_index, color_index_put, color_get, color_put, color_status, color_feature = crt_ports("color", 1, kernel)
    mono_index, mono_index_put, mono_get, mono_put, mono_status, mono_feature = crt_ports("mono", 0, lambda f: f)

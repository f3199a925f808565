"""Intel 82371SB (PIIX3) PCI-ISA bridge: interrupt steering and reset control.   Data sheet 290550-002.

    PIRQA#..D#  ->  PIRQRC A..D (60h-63h):  7 = 1 off, 3-0 the ISA IRQ        several may share one IRQ: wired-OR, level triggered
    CF9h        ->  2 RCPU: 0 to 1 resets    1 SRST: 1 hard, 0 soft           (the chip sees the byte; i440fx.py has CF8h, 32 bits)

The configuration bytes live in the bridge (pci.py); `configured` takes PIRQRC from there when the board has heard of a change.
Edge or level is chosen in ELCR (4D0h, 4D1h), which belongs to this part too and is told in pic_8259.py, where the sense logic is.

Not emulated: ISA timing (IORT, XBCS, TOM are stored), the second 8259/8254/8237 pair of the data sheet (files of their own), the I/O APIC
chip select, DDMA, SMI generation, the difference between a hard and a soft reset.
"""
from .chip import Chip, field, kernel, parts, pin_out, pins_in, reads, writes
from .pci import Header

PIRQRC = 0x60
ALLOWED = 0b1101_1110_1111_1000                          # "reserved": IRQ 0, 1, 2, 8, 13

HEADER = Header(
    0x8086, 0x7000, 0x060100, 0, command=0x0007, command_mask=0x0008, status=0x0200, header_type=0x80, subsystem=(0x1AF4, 0x1100),
    registers={0x4C: (0x4D, 0xFF), 0x4E: (0x03, 0xFF), 0x4F: (0, 0x01), **{PIRQRC + i: (0x80, 0x8F) for i in range(4)},
               0x69: (0x02, 0xFE), 0x6A: (0, 0xFF), 0x6B: (0, 0x80), 0x70: (0x80, 0xEF), 0x71: (0x80, 0xEF), 0x76: (0x0C, 0x8F),
               0x77: (0x0C, 0x8F), 0x78: (0x02, 0xFF), 0x79: (0, 0xFF), 0x80: (0, 0x7F), 0x82: (0, 0x0F), 0xA0: (0x08, 0x1F),
               0xA2: (0, 0xFF), 0xA3: (0, 0x01), 0xA4: (0, 0xFF), 0xA5: (0, 0xFF), 0xA6: (0, 0xFF), 0xA7: (0, 0xFF),
               0xA8: (0x0F, 0xFF), 0xAA: (0, 0xFF), 0xAB: (0, 0x01), 0xAC: (0, 0xFF), 0xAE: (0, 0xFF)},
    remaps=range(PIRQRC, PIRQRC + 4))


@kernel
def route(isa):
    """Each IRQ is the OR of the PIRQ lines steered to it."""
    levels = 0
    for i in range(4):
        r = isa.pirqrc >> 8 * i & 255
        if r < 0x80 and isa.PIRQ >> i & 1: levels |= 1 << (r & 15)
    levels &= ALLOWED
    for n in range(16): isa.line[n].IRQ = levels >> n & 1


class IsaIrq(Chip):
    """one ISA interrupt line of the bridge"""
    IRQ = pin_out("interrupt request, to the 8259 of the same number")


class Piix3(Chip):
    """82371SB PCI-ISA bridge"""
    PIRQ = pins_in(4, "PIRQA#-PIRQD# (active low on the chip, high here)")
    line = parts(16, IsaIrq, "ISA interrupt lines: `pins.IRQ[n]`")
    RESET = pin_out("resets the processor and all chips")
    pirqrc = field(32, "PIRQRC A-D, low byte first, as the board last took them from configuration space", 0x80808080)
    rc = field(8, "reset control (CF9h)", names="RCPU:2 SRST:1")
    header = HEADER

    def configured(self, config):
        """The bytes at 60h-63h are in force."""
        self.pirqrc = int.from_bytes(config[PIRQRC:PIRQRC + 4], "little")
        route(self)

    @PIRQ.changed
    @kernel
    def asked(isa, n, level, now): route(isa)

    @reads(0, "RC: reset control (CF9h)", bank="reset")
    @kernel
    def get_rc(isa, now): return isa.rc

    @writes(0, "RC: reset control (CF9h)", bank="reset")
    @kernel
    def set_rc(isa, v, now):
        if v & 4 and isa.rc & 4 == 0: isa.RESET = 1
        isa.rc = v & 6

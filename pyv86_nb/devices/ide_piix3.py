"""Intel 82371SB (PIIX3) IDE interface, function 1.   Data sheet: 290550-002, sections 2.3 and 5.2; Bus Master IDE Controller 1.0.

    40h-43h IDETIM    a word for each channel: 15 the channel decodes its ports    the other bits: timing
    44h     SIDETIM   timing of devices 1
    20h     BMIBA     sixteen ports of the bus master: eight for each channel (ide_channel.py)

    channel     command block   control block   interrupt
    primary     1F0h-1F7h       3F6h            IRQ 14          all while the command register has I/O space on, and IDETIM bit 15 is 1
    secondary   170h-177h       376h            IRQ 15

Not emulated: timing (it is stored), prefetch and posting.
"""
from .chip import Chip, field
from .pci import COMMAND, IO, IO_SPACE, Bar, Header

IDETIM, BMIBA = 0x40, 4
LEGACY = ((0x1F0, 0x3F6), (0x170, 0x376))                # command block, control block

HEADER = Header(
    0x8086, 0x7010, 0x010180, 0, command=0, command_mask=0x0005, status=0x0280, subsystem=(0x1AF4, 0x1100), bars={BMIBA: Bar(16, IO)},
    registers={IDETIM: (0, 0xFF), IDETIM + 1: (0, 0xFF), IDETIM + 2: (0, 0xFF), IDETIM + 3: (0, 0xFF), 0x44: (0, 0xFF)},
    remaps=(IDETIM + 1, IDETIM + 3))


class Piix3Ide(Chip):
    """82371SB IDE interface"""
    idetim = field(32, "IDETIM of both channels, primary in the low half", names="SDECODE:31 PDECODE:15")
    io_space = field(1, "the function decodes ports")
    header = HEADER

    def configured(self, config):
        """These are the function's bytes now."""
        self.idetim = int.from_bytes(config[IDETIM:IDETIM + 4], "little")
        self.io_space = config[COMMAND] & IO_SPACE

    def decoded(self, channel: int) -> tuple[int, int] | None:
        """Command and control block of a channel, or None while it decodes none."""
        return LEGACY[channel] if self.io_space and self.idetim >> 16 * channel & 0x8000 else None

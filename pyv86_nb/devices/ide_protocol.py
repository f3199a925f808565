"""How data cross an IDE cable: the protocols of a command, block by block.   Data sheet: ATA/ATAPI-6 (T13 1410D), clause 9.

    PIO in    BSY | buffer filled | DRQ, INTRQ | the host reads a block | BSY | DRQ, INTRQ | ... the last word: DRDY, no interrupt
    PIO out   BSY | DRQ | the host fills a block | BSY | INTRQ, DRQ | ... buffer to disk | INTRQ, DRDY
    PACKET    BSY | DRQ, C/D | twelve bytes | then as above, with the byte count in LBA Mid and High | INTRQ, I/O and C/D, DRDY
    DMA       BSY | the bus master's start bit | buffer after buffer (ide_bus_master.py) | INTRQ, DRDY

`ch` is the IdeChannel (ide_channel.py); its buffer holds up to 128 sectors, `at` <= `stop` <= `filled`: passed, the block, the rest.

Not emulated: 8-bit transfers, overlap and queueing, CRC errors.
"""
from .chip import kernel
from .ide_drive import BSY, DRDY, DRQ, DSC, sign

SECTOR, BUFFER = 512, 128 * 512
IDLE, COMMAND, DATA_IN, DATA_OUT, PACKET, DMA_IN, DMA_OUT, RESETTING = range(8)
IO, CD = 2, 1                                            # interrupt reason of a packet device: to the host; command or status
START, TO_MEMORY = 1, 8                                  # BMICX
ACTIVE, ERROR, INTERRUPT = 1, 2, 4                       # BMISX
NIEN, SRST, HOB = 2, 4, 0x80                             # Device Control
DEVICE_RESET, DIAGNOSTIC, PACKET_COMMAND = 0x08, 0x90, 0xA0
COMMAND_US, BLOCK_US, RESET_US = 5, 1, 50               # what a command, a block and a reset take; a guest may sleep meanwhile
FLOATS = 0x7F


# WHO IS MEANT

@kernel
def reader(ch):
    """The drive whose registers are read: device 0 answers for a device 1 that is not there.  -1: nobody."""
    if ch.drive[ch.selected].kind: return ch.selected
    if ch.selected and ch.drive[0].kind: return 0
    return -1


@kernel
def after(ch, us, now): return now + max(ch.ips * us // 1_000_000, 1)


@kernel
def free(ch):
    """Whether registers can be written: not while the selected drive is busy or moves data."""
    return ch.drive[ch.selected].status & (BSY | DRQ) == 0


@kernel
def show_interrupt(ch):
    """INTRQ is the selected drive's, unless nIEN; its rising edge sets the bus master's interrupt bit."""
    level = ch.drive[ch.selected].pending if ch.control & NIEN == 0 else 0
    if level and ch.INTRQ == 0: ch.bm_status |= INTERRUPT
    ch.INTRQ = level


@kernel
def interrupt(ch):
    ch.drive[ch.active].pending = 1
    show_interrupt(ch)


# A COMMAND'S WAY

@kernel
def finish(ch, status, error):
    """The command is over.  A packet command says so in the interrupt reason."""
    d = ch.drive[ch.active]
    if ch.command == PACKET_COMMAND: d.count = d.count & 0xF8 | IO | CD
    d.status, d.error = status, error
    ch.phase, ch.left, ch.at, ch.filled, ch.stop = IDLE, 0, 0, 0, 0
    interrupt(ch)


@kernel
def present(ch):
    """The next block of the buffer is the host's to read or to fill."""
    d = ch.drive[ch.active]
    n = min(ch.block, ch.filled - ch.at)
    ch.stop = ch.at + n
    if ch.command == PACKET_COMMAND:
        d.count = d.count & 0xF8 | (IO if ch.phase == DATA_IN else CD if ch.phase == PACKET else 0)
        d.mid, d.high = n & 0xFF, n >> 8
    d.status = DRDY | DSC | DRQ
    if ch.quiet: ch.quiet = 0
    else: interrupt(ch)


@kernel
def passed(ch, now):
    """The host has moved the last word of a block."""
    d = ch.drive[ch.active]
    ch.at = ch.stop
    over = ch.phase == DATA_IN and ch.at == ch.filled and ch.left == 0 and ch.fault == 0
    if over and ch.command != PACKET_COMMAND:                        # "the device shall not interrupt" after the last block read
        d.status, ch.phase, ch.at, ch.stop, ch.filled = DRDY | DSC, IDLE, 0, 0, 0
        return
    d.status = BSY | DSC
    if over or ch.at < ch.filled: ch.ready = after(ch, BLOCK_US, now)
    else: ch.work = after(ch, BLOCK_US, now)


@kernel
def take(ch, size, now):
    """The host reads the data port."""
    if ch.phase != DATA_IN or ch.at >= ch.stop: return (1 << 8 * size) - 1
    v = 0
    for i in range(size): v |= (ch.data[ch.at + i] + 0) << 8 * i
    ch.at += size
    if ch.at >= ch.stop: passed(ch, now)
    return v


@kernel
def give(ch, size, v, now):
    """The host writes the data port."""
    if ch.phase != DATA_OUT and ch.phase != PACKET or ch.at >= ch.stop: return
    for i in range(size): ch.data[ch.at + i] = v >> 8 * i & 0xFF
    ch.at += size
    if ch.at >= ch.stop: passed(ch, now)


@kernel
def reset_drives(ch):
    """Both drives after a reset or diagnostics: signature, no command, device 0 selected."""
    for i in range(2):
        sign(ch.drive[i])
        ch.drive[i].device = 0
        ch.drive[i].pending = 0
    ch.phase, ch.left, ch.at, ch.filled, ch.stop, ch.fault, ch.selected, ch.active = IDLE, 0, 0, 0, 0, 0, 0, 0
    show_interrupt(ch)

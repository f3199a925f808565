"""What one drive on an IDE cable keeps: its registers and settings.   Data sheet: ATA/ATAPI-6 (T13 1410D), clauses 7 and 9.12.

    Error     7 ICRC/BBK  6 UNC  5 MC  4 IDNF  3 MCR  2 ABRT  1 NM  0 -    (a packet device: 7-4 sense key, 2 ABRT)
    Status    7 BSY  6 DRDY  5 DF  4 DSC  3 DRQ  2 CORR  1 IDX  0 ERR/CHK
    Device    6 LBA  4 DEV  3-0 head, or LBA 27-24

Both drives of a cable hear every register write, so each has a whole set; only the one that DEV selects is read.  Of the five registers
that LBA48 fills twice the older byte is kept beside the newer one (HOB in Device Control shows it).

After a reset the registers hold the signature: 1, 1, 0, 0 of a disk, 1, 1, 14h, EBh of a packet device (clause 9.12).

Not emulated: security, SMART, host protected area, overlapped commands, media status notification.
"""
from .chip import Chip, field, keep, kernel

NO_DRIVE, ATA, ATAPI = range(3)
BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
ICRC, UNC, IDNF, ABRT = 0x80, 0x40, 0x10, 0x04
LBA, DEV = 0x40, 0x10


class IdeDrive(Chip):
    """a drive on an IDE cable"""
    kind = field(2, "0 no drive, 1 ATA disk, 2 ATAPI CD-ROM", keep(0))
    status = field(8, "Status", names="BSY:7 DRDY:6 DF:5 DSC:4 DRQ:3 ERR:0")
    error = field(8, "Error")
    feature = field(8, "Features")
    count = field(8, "Sector Count (packet device: interrupt reason, 1 I/O, 0 C/D)")
    low = field(8, "LBA Low, or sector")
    mid = field(8, "LBA Mid, or cylinder low (packet device: byte count low)")
    high = field(8, "LBA High, or cylinder high (packet device: byte count high)")
    device = field(8, "Device", names="LBA:6 DEV:4 HEAD:3-0")
    feature_before = field(8, "Features, previous content")
    count_before = field(8, "Sector Count, previous content")
    low_before = field(8, "LBA Low, previous content: LBA 31-24")
    mid_before = field(8, "LBA Mid, previous content: LBA 39-32")
    high_before = field(8, "LBA High, previous content: LBA 47-40")
    pending = field(1, "interrupt pending: INTRQ while it is selected and nIEN is 0")
    capacity = field(48, "sectors of the disk in it", keep(0))
    cylinders = field(16, "default translation: cylinders", keep(0))
    heads = field(5, "default translation: heads", keep(0))
    sectors = field(8, "default translation: sectors", keep(0))
    now_heads = field(5, "heads in force (INITIALIZE DEVICE PARAMETERS)", keep(0))
    now_sectors = field(8, "sectors in force", keep(0))
    multiple = field(8, "sectors in a block of READ and WRITE MULTIPLE, 0: not set")
    mode = field(8, "transfer mode of SET FEATURES 03h: 08h+n PIO, 20h+n multiword DMA, 40h+n Ultra DMA", 0x0C)
    no_cache = field(1, "SET FEATURES 82h: write cache off")
    no_ahead = field(1, "SET FEATURES 55h: read look-ahead off")
    power = field(8, "CHECK POWER MODE: FFh active or idle, 0 standby", 0xFF)
    # a packet device
    medium = field(1, "a medium is in it", keep(0))
    tray = field(1, "the tray is out", keep(0))
    locked = field(1, "PREVENT MEDIUM REMOVAL")
    event = field(2, "media event to report: 2 new media, 3 media removal")
    attention = field(16, "unit attention to report: ASC and ASCQ, 0: none", 0x2900)
    key = field(4, "sense key of the last command")
    asc = field(8, "additional sense code")
    ascq = field(8, "additional sense code qualifier")


@kernel
def sign(d):
    """The signature, and status and error after reset or diagnostics."""
    packet = d.kind == ATAPI
    d.count, d.low, d.error = 1, 1, 1
    d.mid, d.high = (0x14, 0xEB) if packet else (0, 0)
    d.device &= DEV
    d.count_before = d.low_before = d.mid_before = d.high_before = 0
    d.status = 0 if packet or d.kind == NO_DRIVE else DRDY | DSC

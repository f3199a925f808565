"""The commands of an ATA disk.   Data sheet: ATA/ATAPI-6 (T13 1410D), clause 8; obsolete ones (CHS, RECALIBRATE, 94h-99h) as in ATA-3.

    sectors   20 21 24x READ SECTORS    29x C4 READ MULTIPLE    25x C8 C9 READ DMA     40 41 42x READ VERIFY     x: 48-bit address
              30 31 34x WRITE SECTORS   39x C5 WRITE MULTIPLE   35x CA CB WRITE DMA    70-7F SEEK   10-1F RECALIBRATE
    settings  91 INITIALIZE DEVICE PARAMETERS (translation)     C6 SET MULTIPLE MODE   EF SET FEATURES
    others    EC IDENTIFY DEVICE   E7 EA FLUSH CACHE   E0-E3 E5 E6 (94-99) power   90 EXECUTE DEVICE DIAGNOSTIC

A sector is named by cylinder, head and sector of the translation in force, or by a number of 28 or 48 bits (Device bit 6).  One that
is not on the disk ends the command with IDNF, after those before it have passed, and its address is left in the registers.

Writes go to the disk's layer of changes before the command ends, so there is nothing to flush.  SLEEP ends with the next command.

Not emulated: READ LONG, FORMAT TRACK, SMART, security, host protected area, queued commands, streaming.
"""
from __future__ import annotations

import struct

from . import ide_bus_master
from .ide_drive import ABRT, DF, DRDY, DSC, ERR, IDNF, LBA, UNC
from .ide_protocol import BUFFER, COMMAND, DATA_IN, DATA_OUT, DMA_IN, DMA_OUT, SECTOR, finish, present

MULTIPLE = 16                                            # most sectors in a block
READ = {0x20: "pio", 0x21: "pio", 0x24: "pio", 0xC4: "multiple", 0x29: "multiple", 0xC8: "dma", 0xC9: "dma", 0x25: "dma"}
WRITE = {0x30: "pio", 0x31: "pio", 0x34: "pio", 0xC5: "multiple", 0x39: "multiple", 0xCA: "dma", 0xCB: "dma", 0x35: "dma"}
VERIFY = (0x40, 0x41, 0x42)
LONG_ADDRESS = (0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x42)
STANDBY, ACTIVE = (0xE0, 0xE2, 0xE6, 0x94, 0x96, 0x99), (0xE1, 0xE3, 0x95, 0x97)
GOOD = DRDY | DSC


def act(ch, d, disk, now: int) -> None:
    """The command begins, or its buffer has passed."""
    if ch.phase == DATA_IN: fill(ch, disk)
    elif ch.phase == DATA_OUT: empty(ch, disk)
    elif ch.phase == COMMAND: begin(ch, d, disk, ch.command, now)


def begin(ch, d, disk, op: int, now: int) -> None:
    if op in READ or op in WRITE: transfer(ch, d, disk, op, now)
    elif op in VERIFY or 0x70 <= op <= 0x7F: verify(ch, d, op)
    elif op == 0xEC: identify(ch, d)
    elif op == 0xEF: set_features(ch, d)
    elif op == 0xC6: set_multiple(ch, d)
    elif op == 0x91: set_translation(ch, d)
    elif op in STANDBY or op in ACTIVE:
        d.power = 0 if op in STANDBY else 0xFF
        finish(ch, GOOD, 0)
    elif op in (0xE5, 0x98):
        d.count = d.power
        finish(ch, GOOD, 0)
    elif op in (0xE7, 0xEA) or 0x10 <= op <= 0x1F: finish(ch, GOOD, 0)
    else: refuse(ch)


def refuse(ch, error: int = ABRT) -> None: finish(ch, GOOD | ERR, error)


# ADDRESSES

def address(d, long: bool) -> int:
    """The sector that the registers name, or -1: no such place."""
    if long: return d.low | d.mid << 8 | d.high << 16 | d.low_before << 24 | d.mid_before << 32 | d.high_before << 40
    if d.device & LBA: return d.low | d.mid << 8 | d.high << 16 | (d.device & 15) << 24
    cylinder, head, sector = d.mid | d.high << 8, d.device & 15, d.low
    if head >= d.now_heads or not 1 <= sector <= d.now_sectors: return -1
    return (cylinder * d.now_heads + head) * d.now_sectors + sector - 1


def put_address(d, lba: int, long: bool) -> None:
    """The registers name this sector."""
    if long: d.low_before, d.mid_before, d.high_before = lba >> 24 & 0xFF, lba >> 32 & 0xFF, lba >> 40 & 0xFF
    elif d.device & LBA: d.device = d.device & 0xF0 | lba >> 24 & 15
    elif d.now_heads and d.now_sectors:
        track, sector = divmod(lba, d.now_sectors)
        cylinder, head = divmod(track, d.now_heads)
        d.low, d.mid, d.high, d.device = sector + 1, cylinder & 0xFF, cylinder >> 8 & 0xFF, d.device & 0xF0 | head
        return
    d.low, d.mid, d.high = lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF


def wanted(ch, d, op: int) -> int:
    """Set `lba`, and answer how many sectors there are to move; what lies beyond the end is left in `fault`."""
    long = op in LONG_ADDRESS
    n = (d.count | d.count_before << 8 or 0x10000) if long else d.count or 0x100
    lba = address(d, long)
    there = max(min(n, d.capacity - lba), 0) if lba >= 0 else 0
    ch.fault = IDNF if there < n else 0
    ch.lba = max(lba, 0)
    if there == n: put_address(d, lba + n - 1, long)     # what a host sees that looks afterwards
    elif lba >= 0: put_address(d, lba + there, long)
    d.count = n - there & 0xFF
    return there


# SECTORS

def transfer(ch, d, disk, op: int, now: int) -> None:
    how, writing = (WRITE if op in WRITE else READ)[op], op in WRITE
    if how == "multiple" and not d.multiple or disk is None or writing and disk.write_protect: return refuse(ch)
    n, d.power = wanted(ch, d, op), 0xFF
    if n == 0: return refuse(ch, ch.fault)
    ch.left, ch.unit = n, SECTOR
    ch.block = SECTOR * (d.multiple if how == "multiple" else 1)
    if how == "dma": ide_bus_master.begin(ch, DMA_OUT if writing else DMA_IN, now)
    elif writing:
        ch.phase, ch.quiet = DATA_OUT, 1
        ask(ch)
    else:
        ch.phase = DATA_IN
        fill(ch, disk)


def fill(ch, disk) -> None:
    """Data in: the next sectors into the buffer, the first block to the host."""
    n = min(ch.left, BUFFER // SECTOR)
    if n == 0: return refuse(ch, ch.fault)
    ch.data[:n * SECTOR] = disk.read(ch.lba, n)
    ch.at, ch.filled, ch.lba, ch.left = 0, n * SECTOR, ch.lba + n, ch.left - n
    present(ch)


def ask(ch) -> None:
    """Data out: the next sectors are the host's to write."""
    n = min(ch.left, BUFFER // SECTOR)
    ch.at, ch.filled, ch.lba, ch.left = 0, n * SECTOR, ch.lba + n, ch.left - n
    present(ch)


def empty(ch, disk) -> None:
    """Data out: the buffer to the disk, then more or the end."""
    disk.write(ch.lba - ch.filled // SECTOR, bytes(ch.data[:ch.filled]))
    if ch.left: ask(ch)
    elif ch.fault: refuse(ch, ch.fault)
    else: finish(ch, GOOD, 0)


def failed(ch, d) -> None:
    """The medium could not be read or written: UNC, or a device fault, and the address of the first sector that it was about."""
    reading = ch.phase in (DATA_IN, DMA_IN)
    put_address(d, ch.lba if reading else ch.lba - ch.filled // SECTOR, ch.command in LONG_ADDRESS)
    finish(ch, GOOD | ERR | (0 if reading else DF), UNC if reading else ABRT)


def verify(ch, d, op: int) -> None:
    """READ VERIFY and SEEK: whether the sectors are there."""
    if op >= 0x70: good = 0 <= address(d, False) < d.capacity
    else: good = wanted(ch, d, op) > 0 and not ch.fault
    finish(ch, GOOD if good else GOOD | ERR, 0 if good else IDNF)


# SETTINGS

def set_translation(ch, d) -> None:
    """INITIALIZE DEVICE PARAMETERS: sectors in Sector Count, the last head in Device."""
    heads, sectors = (d.device & 15) + 1, d.count
    if not sectors or not d.capacity // (heads * sectors): return refuse(ch)
    d.now_heads, d.now_sectors = heads, sectors
    finish(ch, GOOD, 0)


def set_multiple(ch, d) -> None:
    n = d.count
    if n > MULTIPLE or n & n - 1: return refuse(ch)
    d.multiple = n
    finish(ch, GOOD, 0)


def set_features(ch, d) -> None:
    f, v = d.feature, d.count
    if f == 0x03:
        kind, n = v & 0xF8, v & 7
        if v > 1 and n > {0x08: 4, 0x20: 2, 0x40: 5}.get(kind, -1): return refuse(ch)
        d.mode = v if v > 1 else 0x0C
    elif f in (0x02, 0x82): d.no_cache = f >> 7
    elif f in (0x55, 0xAA): d.no_ahead = int(f == 0x55)
    elif f not in (0x66, 0xCC): return refuse(ch)        # settings over a software reset: these are kept anyway
    finish(ch, GOOD, 0)


# IDENTIFY DEVICE

def text(s: str, n: int) -> bytes:
    """ATA's strings: padded with spaces, two characters a word, the first in the high byte."""
    raw = s.encode("ascii")[:n].ljust(n)
    return bytes(raw[i ^ 1] for i in range(n))


def mode_words(d, n: int) -> dict[int, int]:
    """Of device n, words 49 to 93 that say which transfer modes there are and which one is in force."""
    kind, chosen = d.mode & 0xF8, 1 << (d.mode & 7) << 8
    return {49: 0x0F00, 51: 0x0200, 53: 7, 63: 0x07 | (chosen if kind == 0x20 else 0), 64: 3, 65: 120, 66: 120, 67: 120, 68: 120,
            88: 0x3F | (chosen if kind == 0x40 else 0), 93: 0x6B00 if n else 0x600B}


def identity(ch, d) -> bytes:
    """The 256 words of IDENTIFY DEVICE (clause 8.15)."""
    chs = d.now_heads * d.now_sectors
    cylinders = min(d.capacity // chs, 0xFFFF) if chs else 0
    words = [0] * 256
    given = {0: 0x0040, 1: d.cylinders, 3: d.heads, 4: SECTOR * d.sectors, 5: SECTOR, 6: d.sectors, 20: 3, 21: BUFFER // SECTOR, 22: 4,
             47: 0x8000 | MULTIPLE, 48: 1, 50: 0x4000, 54: cylinders, 55: d.now_heads, 56: d.now_sectors,
             59: 0x0100 | d.multiple if d.multiple else 0, 80: 0x7E, 81: 0x18, 82: 0x4068, 83: 0x7400, 84: 0x4000,
             85: 0x4048 | (0 if d.no_cache else 0x20), 86: 0x3400, 87: 0x4000, **mode_words(d, ch.active)}
    if d.no_ahead: given[85] &= ~0x40
    for at, size, v in ((57, 2, min(cylinders * chs, d.capacity)), (60, 2, min(d.capacity, 0x0FFFFFFF)), (100, 4, d.capacity)):
        given |= {at + i: v >> 16 * i & 0xFFFF for i in range(size)}
    for n, w in given.items(): words[n] = w
    raw = bytearray(struct.pack("<256H", *words))
    raw[20:40], raw[46:54], raw[54:94] = text(f"NB{ch.number:04d}{ch.active:04d}", 20), text("1.0", 8), text("PYV86_NB HARD DISK", 40)
    raw[510] = 0xA5
    raw[511] = -sum(raw) & 0xFF
    return bytes(raw)


def answer(ch, raw: bytes) -> None:
    """Data in: these bytes, in one block."""
    ch.data[:len(raw)] = raw
    ch.phase, ch.at, ch.filled, ch.left, ch.block = DATA_IN, 0, len(raw), 0, len(raw)
    present(ch)


def identify(ch, d) -> None: answer(ch, identity(ch, d))

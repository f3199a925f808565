"""The commands of an ATAPI CD-ROM drive.   Data sheets: SFF-8020i 2.6; MMC-3 (T10 1363D); ATA/ATAPI-6 (T13 1410D), clauses 8 and 9.8.

    A0 PACKET, twelve bytes, then:  00 TEST UNIT READY   03 REQUEST SENSE   12 INQUIRY   1B START STOP UNIT   1E PREVENT ALLOW
       25 READ CAPACITY   28 A8 READ   2B SEEK   43 READ TOC   46 GET CONFIGURATION   4A GET EVENT STATUS NOTIFICATION
       51 READ DISC INFORMATION   5A MODE SENSE   BB SET CD SPEED   BD MECHANISM STATUS   BE READ CD (user data)
    A1 IDENTIFY PACKET DEVICE   08 DEVICE RESET   EF SET FEATURES   E0-E6 power   20 EC: aborted, with the signature

A medium that comes is told once, as UNIT ATTENTION 28h; a reset as 29h.  INQUIRY, REQUEST SENSE, GET CONFIGURATION and GET EVENT STATUS are
answered meanwhile.  A CHECK CONDITION shows its sense key in the upper half of the Error register too.

Not emulated: audio, sub-channels, raw sectors, DVD structures, MODE SELECT, multi-session: a medium is one data track.
"""
from __future__ import annotations

import struct
from collections.abc import Callable

from . import ide_ata, ide_bus_master
from .ide_drive import DRDY, DSC, ERR, sign
from .ide_protocol import BUFFER, COMMAND, DATA_IN, DMA_IN, IDLE, PACKET, finish, present

CD_SECTOR, FRAMES, LEAD_IN = 2048, 75, 150
NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION = 2, 3, 5, 6
NO_MEDIUM, TRAY_OPEN = 0x3A01, 0x3A02
BAD_OPCODE, OUT_OF_RANGE, BAD_FIELD, LOCKED, UNREADABLE = 0x2000, 0x2100, 0x2400, 0x5302, 0x1100
ANY_TIME = (0x03, 0x12, 0x46, 0x4A)                      # not held up by a unit attention
NEED_MEDIUM = (0x00, 0x25, 0x28, 0x2B, 0x43, 0x51, 0xA8, 0xBE)
GOOD = DRDY | DSC


def act(ch, d, disk, now: int) -> None:
    """The command begins, its packet has come, or its buffer has passed."""
    if ch.phase == PACKET: execute(ch, d, disk, bytes(ch.data[:12]), now)
    elif ch.phase == DATA_IN: fill(ch, d, disk)
    elif ch.phase == COMMAND: begin(ch, d, ch.command)


def begin(ch, d, op: int) -> None:
    if op == 0xA0: packet(ch, d)
    elif op == 0xA1: ide_ata.answer(ch, identity(ch, d))
    elif op == 0x08:
        sign(d)
        ch.phase, ch.at, ch.stop, ch.filled, ch.left = IDLE, 0, 0, 0, 0
    elif op in (0x20, 0xEC):
        sign(d)
        ide_ata.refuse(ch)
    elif op == 0xEF: ide_ata.set_features(ch, d)
    elif op in (0xE0, 0xE1, 0xE2, 0xE3, 0xE5, 0xE6): ide_ata.begin(ch, d, None, op, 0)
    else: ide_ata.refuse(ch)


def packet(ch, d) -> None:
    """Ask for the twelve bytes, without interrupt (word 0 of the identity says so)."""
    if d.feature & 2: return ide_ata.refuse(ch)          # overlapped
    limit = d.mid | d.high << 8
    ch.by_dma = d.feature & 1
    ch.limit = (limit or 0xFFFE) & ~1 or 0xFFFE
    ch.phase, ch.at, ch.filled, ch.left, ch.block, ch.quiet = PACKET, 0, 12, 0, 12, 1
    present(ch)


def execute(ch, d, disk, cdb: bytes, now: int) -> None:
    op = cdb[0]
    if d.attention and op not in ANY_TIME:
        code, d.attention = d.attention, 0
        return check(ch, d, UNIT_ATTENTION, code)
    command = COMMANDS.get(op)
    if command is None: return check(ch, d, ILLEGAL_REQUEST, BAD_OPCODE)
    if op in NEED_MEDIUM and (disk is None or d.tray): return check(ch, d, NOT_READY, TRAY_OPEN if d.tray else NO_MEDIUM)
    if op != 0x03: d.key = d.asc = d.ascq = 0
    command(ch, d, disk, cdb, now)


def check(ch, d, key: int, code: int) -> None:
    """CHECK CONDITION."""
    d.key, d.asc, d.ascq = key, code >> 8, code & 0xFF
    finish(ch, GOOD | ERR, key << 4)


def answer(ch, raw: bytes, allocation: int, now: int) -> None:
    """Data in, as many bytes as the host has room for."""
    raw = raw[:allocation]
    if not raw: return finish(ch, GOOD, 0)
    ch.data[:len(raw)] = raw
    ch.phase, ch.at, ch.filled, ch.left, ch.unit, ch.block = DATA_IN, 0, len(raw), 0, CD_SECTOR, ch.limit
    if ch.by_dma:
        ch.phase = DMA_IN
        ide_bus_master.move(ch, None, now)
    else: present(ch)


# READING

def read(ch, d, disk, cdb: bytes, now: int) -> None:
    """READ (10), READ (12), READ CD."""
    lba = int.from_bytes(cdb[2:6], "big")
    n = int.from_bytes(cdb[7:9] if cdb[0] == 0x28 else cdb[6:10] if cdb[0] == 0xA8 else cdb[6:9], "big")
    if cdb[0] == 0xBE and (cdb[1] >> 2 & 7 not in (0, 2) or cdb[9] not in (0x10, 0x00)): return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    if lba + n > d.capacity: return check(ch, d, ILLEGAL_REQUEST, OUT_OF_RANGE)
    if n == 0 or cdb[0] == 0xBE and cdb[9] == 0: return finish(ch, GOOD, 0)
    if n > 0xFFFF: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    ch.lba, ch.left, ch.unit, ch.block = lba, n, CD_SECTOR, ch.limit
    if ch.by_dma: ide_bus_master.begin(ch, DMA_IN, now)
    else:
        ch.phase = DATA_IN
        fill(ch, d, disk)


def fill(ch, d, disk) -> None:
    """The next sectors into the buffer, the first block to the host."""
    n = min(ch.left, BUFFER // CD_SECTOR)
    if disk is None: raise OSError("the medium was taken out")
    ch.data[:n * CD_SECTOR] = disk.read(ch.lba, n)
    ch.at, ch.filled, ch.lba, ch.left = 0, n * CD_SECTOR, ch.lba + n, ch.left - n
    present(ch)


def failed(ch, d) -> None: check(ch, d, MEDIUM_ERROR, UNREADABLE)


def capacity(ch, d, disk, cdb, now): answer(ch, struct.pack(">II", d.capacity - 1, CD_SECTOR), 8, now)


def nothing(ch, d, disk, cdb, now): finish(ch, GOOD, 0)


def seek(ch, d, disk, cdb, now):
    if int.from_bytes(cdb[2:6], "big") >= d.capacity: return check(ch, d, ILLEGAL_REQUEST, OUT_OF_RANGE)
    finish(ch, GOOD, 0)


# THE MEDIUM

def place(lba: int, msf: bool) -> bytes:
    """An address as the host wants it: a number, or minute, second and frame from the lead-in on."""
    if not msf: return lba.to_bytes(4, "big")
    lba += LEAD_IN
    return bytes((0, min(lba // (60 * FRAMES), 255), lba // FRAMES % 60, lba % FRAMES))


def toc(ch, d, disk, cdb: bytes, now: int) -> None:
    """READ TOC/PMA/ATIP: one data track and the lead-out (format 0), one session (1), the same as in the lead-in (2)."""
    msf, form, first, room = bool(cdb[1] & 2), cdb[2] & 15 or cdb[9] >> 6, cdb[6], int.from_bytes(cdb[7:9], "big")
    one = bytes((0, 0x14, 1, 0)) + place(0, msf)
    if form == 0:
        if first > 1 and first != 0xAA: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
        body = b"\1\1" + one * (first <= 1) + bytes((0, 0x14, 0xAA, 0)) + place(d.capacity, msf)
    elif form == 1: body = b"\1\1" + one
    elif form == 2:
        entry = lambda point, where: bytes((1, 0x14, 0, point, 0, 0, 0)) + where
        body = b"\1\1" + entry(0xA0, b"\0\1\0\0") + entry(0xA1, b"\0\1\0\0") + entry(0xA2, place(d.capacity, True)) + entry(1, place(0, True))
    else: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    answer(ch, struct.pack(">H", len(body)) + body, room, now)


def disc_information(ch, d, disk, cdb, now):
    body = bytes((0x0E, 1, 1, 1, 1, 0x20, 0, 0)) + bytes(8) + b"\xFF" * 8 + bytes(8)
    answer(ch, struct.pack(">H", len(body)) + body, int.from_bytes(cdb[7:9], "big"), now)


def start_stop(ch, d, disk, cdb, now):
    """START STOP UNIT: LoEj with Start 0 opens the tray, with Start 1 closes it."""
    load, start = cdb[4] >> 1 & 1, cdb[4] & 1
    if load and not start:
        if d.locked: return check(ch, d, ILLEGAL_REQUEST, LOCKED)
        if not d.tray: d.tray, d.event = 1, 3 if disk is not None else d.event
    elif load and d.tray:
        d.tray = 0
        if disk is not None: d.attention, d.event = 0x2800, 2
    elif start and (disk is None or d.tray): return check(ch, d, NOT_READY, TRAY_OPEN if d.tray else NO_MEDIUM)
    finish(ch, GOOD, 0)


def prevent(ch, d, disk, cdb, now):
    d.locked = cdb[4] & 1
    finish(ch, GOOD, 0)


def event_status(ch, d, disk, cdb, now):
    """GET EVENT STATUS NOTIFICATION, polled: of the classes asked for there is "media".  The length is that of what follows the header."""
    if not cdb[1] & 1: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    there = d.tray | (2 if disk is not None and not d.tray else 0)
    if cdb[4] & 0x10: raw, d.event = bytes((0, 4, 4, 0x10, d.event, there, 0, 0)), 0
    else: raw = bytes((0, 0, 0x80, 0x10))
    answer(ch, raw, int.from_bytes(cdb[7:9], "big"), now)


# WHAT IT IS

def sense(ch, d, disk, cdb, now):
    """REQUEST SENSE: of the last command, or a unit attention that waits."""
    if d.attention and not d.key: d.key, d.asc, d.ascq, d.attention = UNIT_ATTENTION, d.attention >> 8, d.attention & 0xFF, 0
    raw = bytes((0x70, 0, d.key, 0, 0, 0, 0, 10, 0, 0, 0, 0, d.asc, d.ascq, 0, 0, 0, 0))
    d.key = d.asc = d.ascq = 0
    answer(ch, raw, cdb[4], now)


def inquiry(ch, d, disk, cdb, now):
    if cdb[1] & 1 or cdb[2]: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    raw = bytes((0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0)) + b"PYV86_NB" + b"CD-ROM".ljust(16) + b"1.0 "
    answer(ch, raw, cdb[4], now)


def configuration(ch, d, disk, cdb: bytes, now: int) -> None:
    """GET CONFIGURATION: the features from the number asked for on (RT 0), those in force (1), or that one (2)."""
    kind, first, in_it = cdb[1] & 3, int.from_bytes(cdb[2:4], "big"), disk is not None and not d.tray
    features = {                                         # number: (version and flags: 2 persistent, 1 current; data)
        0x0000: (0x03, struct.pack(">HBx", 8, in_it)),                           # profile list: CD-ROM
        0x0001: (0x0B, struct.pack(">IBxxx", 2, 1)),                             # core: ATAPI; device busy events
        0x0003: (0x03, bytes((0x29, 0, 0, 0))),                                  # removable medium: tray, can eject, locks
        0x0010: (in_it, struct.pack(">IHBx", CD_SECTOR, 1, 0)),                  # random read
        0x001E: (0x08 | in_it, bytes(4)),                                        # CD read
        0x0100: (0x03, b""),                                                     # power management
        0x0105: (0x03, struct.pack(">HH", 0, 60))}                               # time-out
    chosen = [(n, f, data) for n, (f, data) in features.items() if (n == first if kind == 2 else n >= first) and (kind != 1 or f & 1)]
    body = b"".join(struct.pack(">HBB", n, f, len(data)) + data for n, f, data in chosen)
    answer(ch, struct.pack(">IHH", len(body) + 4, 0, 8 if in_it else 0) + body, int.from_bytes(cdb[7:9], "big"), now)


def mode_sense(ch, d, disk, cdb: bytes, now: int) -> None:
    """MODE SENSE (10): error recovery, audio control, capabilities; 3Fh all of them."""
    page, control = cdb[2] & 0x3F, cdb[2] >> 6
    speed = 176 * 32
    capabilities = struct.pack(">BBBBHHHHBB", 0x38, 0, 0x29, 0, speed, 256, 64, speed, 0, 0)
    pages = {0x01: bytes((0, 5, 0, 0, 0, 0)), 0x0E: bytes((4, 0, 0, 0, 0, 0, 1, 255, 2, 255, 0, 0, 0, 0)),
             0x2A: b"\0\0" + capabilities + bytes(2)}
    if control == 3: return check(ch, d, ILLEGAL_REQUEST, 0x3900)        # "saving parameters not supported"
    if page != 0x3F and page not in pages: return check(ch, d, ILLEGAL_REQUEST, BAD_FIELD)
    body = b"".join(bytes((n, len(p))) + (bytes(len(p)) if control == 1 else p) for n, p in pages.items() if page in (n, 0x3F))
    there = 0x71 if d.tray else 0x01 if disk is not None else 0x70       # medium type: open, data CD, none
    answer(ch, struct.pack(">HBxxxxx", len(body) + 6, there) + body, int.from_bytes(cdb[7:9], "big"), now)


def mechanism(ch, d, disk, cdb, now): answer(ch, bytes((0, d.tray << 4, 0, 0, 0, 1, 0, 0)), int.from_bytes(cdb[8:10], "big"), now)


Command = Callable[..., None]
COMMANDS: dict[int, Command] = {
    0x00: nothing, 0x03: sense, 0x12: inquiry, 0x1B: start_stop, 0x1E: prevent, 0x25: capacity, 0x28: read, 0x2B: seek, 0x43: toc,
    0x46: configuration, 0x4A: event_status, 0x51: disc_information, 0x5A: mode_sense, 0xA8: read, 0xBB: nothing, 0xBD: mechanism, 0xBE: read}


def identity(ch, d) -> bytes:
    """The 256 words of IDENTIFY PACKET DEVICE (ATA/ATAPI-6, clause 8.16)."""
    words = [0] * 256
    given = {0: 0x85C0, 80: 0x7E, 81: 0x18, 82: 0x4218, 83: 0x4000, 84: 0x4000, 85: 0x4218, 86: 0, 87: 0x4000, **ide_ata.mode_words(d, ch.active)}
    for n, w in given.items(): words[n] = w
    raw = bytearray(struct.pack("<256H", *words))
    raw[20:40], raw[46:54] = ide_ata.text(f"NB{ch.number:04d}{ch.active:04d}", 20), ide_ata.text("1.0", 8)
    raw[54:94] = ide_ata.text("PYV86_NB CD-ROM", 40)
    raw[510] = 0xA5
    raw[511] = -sum(raw) & 0xFF
    return bytes(raw)

"""Intel 82077AA floppy disk controller.   Data sheet 290166-007; ports 3F0h-3F5h and 3F7h of the PC/AT.

    0 SRA   1 SRB   2 DOR   3 TDR   4 MSR, DSR   5 FIFO   7 DIR, CCR

    DOR  7-4 motors  3 DMA and INT on  2 /reset  1-0 drive    MSR  7 RQM  6 DIO (1: read)  5 non-DMA  4 busy  3-0 seek

      COMMAND --bytes--> EXECUTION --sectors pass the head, by DMA or through the FIFO--> RESULT --bytes--> COMMAND
         |  +----no data, no disk-------------------------------------------------------->|
         +-- SEEK, RECALIBRATE: the head moves, steps of SRT; INT at the end; SENSE INTERRUPT asks how it went

A data command waits until the sector has passed under the head (floppy_drive.py): motor, head load time, turn, data
rate.  The sector moves at the moment its last bit does: by the DMA channel given at the wiring, or, with ND, from and
to the FIFO, 512 bytes deep here.  Registers and commands without data are kernels; `sector`, which needs the disk and
memory, is Python's.

Not emulated: one byte of FIFO at a time (FIFOTHR has no effect; late is late by a whole sector), waiting for ever for
an index that does not come (two turns, then "missing address mark"), sectors of other sizes than 512 and deleted data
marks (raw images hold neither: WRITE DELETED writes, READ DELETED finds none), precompensation, power-down, head
unload while idle.  PART ID is answered "invalid", as by the AA.
"""
from __future__ import annotations

from typing import Protocol

from .chip import NEVER, Chip, buffer, deadline, field, keep, kernel, parts, pin_out, reads, writes
from .floppy_commands import (
    ABNORMAL,
    COMMAND,
    EXECUTION,
    RESULT,
    finish,
    is_read,
    last_byte,
    length,
    locate,
    moving,
    next_arrival,
    set_interrupt,
    sides_and_sector,
    start,
)
from .floppy_drive import FloppyDrive, set_motor, span, ticks_of_logic

READ_TRACK, WRITE, READ, WRITE_DELETED, READ_ID, READ_DELETED, FORMAT, SCAN_EQUAL, VERIFY, SCAN_LOW, SCAN_HIGH = (
    2, 5, 6, 9, 10, 12, 13, 17, 22, 25, 29)
EN, OR = 0x80, 0x10                                      # ST1
CM, SH, SN = 0x40, 0x08, 0x04                            # ST2
SIZE, RESET_US = 512, 250


class Geometry(Protocol):
    cylinders: int
    heads: int
    sectors: int
    rate: int
    rpm: int


# RESET

@kernel
def software_reset(fdc):
    """DOR bit 2 low, or DSR bit 7: the command at work is gone, what SPECIFY and LOCK hold is not.  Polling is "enabled upon a reset" (7.4)."""
    fdc.nopoll = 0
    fdc.phase, fdc.have, fdc.sector, fdc.step, fdc.left = COMMAND, 0, NEVER, NEVER, 0
    for i in range(4): fdc.drive[i].arrival, fdc.drive[i].done = NEVER, 0
    if fdc.lock == 0: fdc.efifo, fdc.fifothr, fdc.pretrk = 1, 0, 0
    set_interrupt(fdc, 0)


@kernel
def drive_of_dor(fdc): return fdc.drive[fdc.dor & 3]


class Fdc82077(Chip):
    """82077AA floppy disk controller"""
    IRQ = pin_out("interrupt request (DOR bit 3 lets it out)")
    ips = field(63, "instructions per guest second", reset=keep(0))
    drive = parts(4, FloppyDrive, "the four drives that it could have")
    dor = field(8, "Digital Output Register", names="MOTORS:7-4 DMAGATE:3 NORESET:2 DRIVE:1-0")
    tdr = field(2, "Tape Drive Register")
    rate = field(2, "data rate: 0 500, 1 300, 2 250, 3 1000 kbit/s", reset=2)
    phase = field(2, "0 command, 1 execution, 2 result")
    intr = field(1, "interrupt pending")
    cmd = buffer(16, "bytes of the command")
    have = field(4, "how many have come")
    result = buffer(16, "bytes of the result")
    given = field(4, "how many have been read")
    left = field(4, "how many are still to be read")
    srt = field(4, "SPECIFY: step rate")
    hut = field(4, "SPECIFY: head unload time")
    hlt = field(7, "SPECIFY: head load time")
    nd = field(1, "SPECIFY: no DMA")
    eis = field(1, "CONFIGURE: implied seek")
    efifo = field(1, "CONFIGURE: FIFO off", reset=1)
    nopoll = field(1, "CONFIGURE: no polling")
    fifothr = field(4, "CONFIGURE: FIFO threshold")
    pretrk = field(8, "CONFIGURE: precompensation from this track on")
    lock = field(1, "LOCK")
    perpendicular = field(8, "PERPENDICULAR MODE: D3-D0 GAP WGATE", names="OW:7 D:5-2 GAP:1 WGATE:0")
    unit = field(2, "drive of the command at work")
    side = field(1, "head of the command at work")
    head = field(1, "head of the last sector that passed")
    c = field(8, "C: cylinder of the sector at work")
    h = field(8, "H: head of the sector at work")
    r = field(8, "R: number of the sector at work")
    n = field(8, "N: its size, 128 << N")
    eot = field(8, "EOT: last sector on a track")
    count = field(8, "sectors still to verify, or already read of a track")
    late = field(16, "ST1 and ST2 bits to report at the end")
    fate = field(16, "ST1 and ST2 bits with which the search will fail; 0: it succeeds")
    moved = field(1, "an implied seek was made")
    unload = field(63, "instruction at which the head is off the disk")
    data = buffer(SIZE, "a sector on its way through the FIFO (ND)")
    at = field(10, "how much of it has passed")
    size = field(10, "how much there is")
    final = field(1, "it is the last one")
    asked = field(63, "instruction since which the host may read or fill it")
    sector = deadline("the sector has passed under the head")
    step = deadline("a seek ends")
    polled = deadline("drive polling after a reset is through")

    def __init__(self, name: str = "fdc", drives: int = 2, haste: int = 1) -> None:
        """drives: how many are there, 0 to 4.  haste: so many times faster than a real drive."""
        super().__init__(name)
        if not 0 <= drives <= 4: raise ValueError(f"a floppy controller has 0 to 4 drives, not {drives!r}")
        if not 1 <= haste <= 1000:
            raise ValueError(f"haste={haste!r}: drives can be 1 to 1000 times faster than real ones")
        self.fitted, self.hurry = drives, haste
        self.disks: list = [None] * 4
        self.dma = None                                  # a dma_8237.Channel, given at the wiring

    def power_on(self) -> None:
        super().power_on()
        for i, d in enumerate(self.drive): d.present, d.haste = i < self.fitted, self.hurry

    # DISKS
    def insert(self, n: int, disk, geometry: Geometry) -> None:
        """Put a disk into drive n.

        disk: has read(lba, n), write(lba, data) and write_protect (media.disk.Disk); geometry: how it is recorded.
        """
        d = self._drive(n)
        self.disks[n] = disk
        d.cylinders, d.heads, d.sectors = geometry.cylinders, geometry.heads, geometry.sectors
        d.media_rate, d.rpm = geometry.rate, geometry.rpm
        d.media, d.protected, d.changed = 1, bool(disk.write_protect), 1

    def eject(self, n: int):
        """Take the disk out of drive n; answers it, or None."""
        d = self._drive(n)
        disk, self.disks[n] = self.disks[n], None
        d.media, d.protected, d.changed = 0, 0, 1
        return disk

    def _drive(self, n: int) -> FloppyDrive:
        if not 0 <= n < self.fitted:
            raise ValueError(f"there is no floppy drive {n!r}; this controller has drives 0 to {self.fitted - 1}")
        return self.drive[n]

    # REGISTERS
    @reads(0, "Status Register A (PS/2)")
    @kernel
    def sra(fdc, now):
        d = drive_of_dor(fdc)
        track0 = d.present and d.cylinder == 0
        return (fdc.intr << 7 | (0 if fdc.drive[1].present else 0x40) | (0 if track0 else 0x10) | fdc.side << 3
                | (0 if d.media and d.protected else 2) | 4)

    @reads(1, "Status Register B (PS/2)")
    @kernel
    def srb(fdc, now): return 0xC0 | (fdc.dor & 1) << 5 | fdc.dor >> 4 & 3

    @reads(2, "Digital Output Register")
    @kernel
    def get_dor(fdc, now): return fdc.dor

    @writes(2, "Digital Output Register")
    @kernel
    def set_dor(fdc, v, now):
        old, fdc.dor = fdc.dor, v
        for i in range(4): set_motor(fdc.drive[i], v >> (4 + i) & 1, now)
        if v & 4 == 0:
            software_reset(fdc)
            fdc.polled = NEVER
        elif old & 4 == 0: fdc.polled = now + ticks_of_logic(fdc.drive[0], RESET_US)
        set_interrupt(fdc, fdc.intr)

    @reads(3, "Tape Drive Register")
    @kernel
    def get_tdr(fdc, now): return 0xFC | fdc.tdr

    @writes(3, "Tape Drive Register")
    @kernel
    def set_tdr(fdc, v, now): fdc.tdr = v & 3

    @reads(4, "Main Status Register")
    @kernel
    def msr(fdc, now):
        if fdc.dor & 4 == 0: return 0
        v = 0
        for i in range(4):
            if fdc.drive[i].arrival != NEVER: v |= 1 << i
        if fdc.phase == COMMAND: return v | 0x80 | (0x10 if fdc.have else 0)
        if fdc.phase == RESULT: return v | 0xD0
        if fdc.nd == 0: return v | 0x10
        return v | 0x30 | (0x40 if is_read(fdc) else 0) | (0x80 if fdc.at < fdc.size else 0)

    @writes(4, "Data-rate Select Register")
    @kernel
    def set_dsr(fdc, v, now):
        fdc.rate = v & 3
        if v & 0x80 and fdc.dor & 4:
            software_reset(fdc)
            fdc.polled = now + ticks_of_logic(fdc.drive[0], RESET_US)

    @reads(5, "FIFO: result or data")
    @kernel
    def get_fifo(fdc, now):
        if fdc.phase == RESULT:
            set_interrupt(fdc, 0)
            v = int(fdc.result[fdc.given])
            fdc.given, fdc.left = fdc.given + 1, fdc.left - 1
            if fdc.left == 0: fdc.phase, fdc.have = COMMAND, 0
            return v
        if fdc.phase == EXECUTION and fdc.nd and is_read(fdc) and fdc.at < fdc.size:
            set_interrupt(fdc, 0)
            v = int(fdc.data[fdc.at])
            fdc.at += 1
            if fdc.at == fdc.size and fdc.final: last_byte(fdc, now)
            return v
        return 0

    @writes(5, "FIFO: command or data")
    @kernel
    def put_fifo(fdc, v, now):
        if fdc.dor & 4 == 0: return
        if fdc.phase == COMMAND:
            fdc.cmd[fdc.have] = v
            fdc.have += 1
            if fdc.have == length(int(fdc.cmd[0])): start(fdc, now)
        elif fdc.phase == EXECUTION and fdc.nd and is_read(fdc) == 0 and fdc.at < fdc.size:
            set_interrupt(fdc, 0)
            fdc.data[fdc.at] = v
            fdc.at += 1

    @reads(7, "Digital Input Register: disk change in bit 7")
    @kernel
    def dir(fdc, now):
        d = drive_of_dor(fdc)  # the line is the selected drive's, and a drive is selected with its motor
        return 0x80 if d.present and d.motor and (d.changed or d.media == 0) else 0

    @writes(7, "Configuration Control Register: data rate")
    @kernel
    def set_ccr(fdc, v, now): fdc.rate = v & 3

    # DEADLINES
    @polled.due
    @kernel
    def after_reset(fdc, now):
        """"Drive polling": each drive has changed its ready state; four SENSE INTERRUPTs are owed."""
        if fdc.nopoll: return
        for i in range(4): fdc.drive[i].done, fdc.drive[i].st0 = 1, 0xC0 | i
        set_interrupt(fdc, 1)

    @step.due
    @kernel
    def arrived(fdc, now):
        for i in range(4):
            d = fdc.drive[i]
            if d.arrival > now: continue
            moving(fdc, i)
            d.arrival = NEVER
            set_interrupt(fdc, 1)
        fdc.step = next_arrival(fdc)

    @sector.due
    def passed(self, now: int) -> None:
        """The sector that was waited for has passed under the head, or two turns have shown that it is not there."""
        op, disk, self.head = self.cmd[0] & 31, self.disks[self.unit], self.side
        if self.fate or disk is None: finish(self, ABNORMAL, self.fate & 0xFF or 1, self.fate >> 8, now)
        elif op == READ_ID: finish(self, 0, 0, 0, now)
        elif op == FORMAT: self._format(disk, now)
        else:
            d = self.drive[self.unit]
            number = self.count if op == READ_TRACK else self.r
            lba = (d.cylinder * d.heads + self.side) * d.sectors + number - 1
            if op in (WRITE, WRITE_DELETED): self._write(disk, lba, now)
            elif op in (SCAN_EQUAL, SCAN_LOW, SCAN_HIGH): self._scan(disk, lba, now)
            else: self._read(disk, lba, op, now)

    # DATA
    def _read(self, disk, lba: int, op: int, now: int) -> None:
        if op == READ_DELETED and self.cmd[0] & 0x20: return self._skip(now)               # SK: not a deleted one
        if op == VERIFY:
            self.count = self.count - 1 & 0xFF
            return self._next(bool(self.cmd[1] & 0x80) and self.count == 0, now)
        here = self.drive[self.unit].cylinder, self.side, self.count, 2
        if op == READ_TRACK and (self.c, self.h, self.r, self.n) != here: self.late |= 4     # ND; reading goes on
        data = disk.read(lba, 1)
        if self.nd:
            if self.at < self.size: return self._late(now)
            self.data[:], self.at, self.size, self.asked = data, 0, SIZE, now
            if op == READ_DELETED: self.final, self.late = 1, CM << 8
            else: self._next(False, now)
            set_interrupt(self, 1)
            return
        taken, tc = self.dma.give(data) if self.dma else (0, False)
        if taken < SIZE and not tc: return finish(self, ABNORMAL, OR, 0, now)
        if op == READ_DELETED: return finish(self, 0, 0, CM, now)      # "next sector not searched for"
        self._next(tc, now)

    def _late(self, now: int) -> None:
        """The host has not kept up with the FIFO.  A hasty drive gives it the time of a real one: another turn."""
        d = self.drive[self.unit]
        if now - self.asked < span(d) * d.haste: locate(self, now)
        else: finish(self, ABNORMAL, OR, 0, now)

    def _skip(self, now: int) -> None:
        if sides_and_sector(self): locate(self, now)
        else: finish(self, ABNORMAL, EN, CM, now)

    def _write(self, disk, lba: int, now: int) -> None:
        if self.nd:
            if self.at < self.size: return self._late(now)
            data, tc = bytes(self.data), False
        else:
            data, tc = self.dma.take(SIZE) if self.dma else (b"", False)
            if len(data) < SIZE and not tc: return finish(self, ABNORMAL, OR, 0, now)
        disk.write(lba, data.ljust(SIZE, b"\0"))         # "the rest of the sector is filled with zeros"
        self._next(tc, now)
        if self.nd and self.phase == EXECUTION:
            self.at, self.asked = 0, now
            set_interrupt(self, 1)

    def _scan(self, disk, lba: int, now: int) -> None:
        data, tc = self.dma.take(SIZE) if self.dma and not self.nd else (b"", False)
        if len(data) < SIZE: return finish(self, ABNORMAL, OR, 0, now)
        differ = next((a - b for a, b in zip(disk.read(lba, 1), data) if a != b and 0xFF not in (a, b)), 0)
        op = self.cmd[0] & 31
        if differ == 0: return finish(self, 0, 0, SH, now)
        if op == SCAN_LOW and differ < 0 or op == SCAN_HIGH and differ > 0: return finish(self, 0, 0, 0, now)
        for _ in range(max(self.cmd[8], 1)):             # STP: every sector, or every second
            ended = not sides_and_sector(self)
        if tc or ended: return finish(self, 0, 0, SN, now)
        locate(self, now)

    def _format(self, disk, now: int) -> None:
        d, sectors = self.drive[self.unit], self.cmd[3]
        if self.nd: ids, tc = bytes(self.data[:self.at]), False
        else: ids, tc = self.dma.take(4 * sectors) if self.dma else (b"", False)
        if len(ids) < 4 * sectors and not tc: return finish(self, ABNORMAL, OR, 0, now)
        for c, h, r, n in zip(*(ids[i::4] for i in range(4))):
            if (c, h, n) == (d.cylinder, self.side, 2) and 1 <= r <= d.sectors:
                disk.write((c * d.heads + h) * d.sectors + r - 1, bytes([self.cmd[5]]) * SIZE)
        finish(self, 0, 0, 0, now)

    def _next(self, tc: bool, now: int) -> None:
        """On to the next sector, or the end."""
        op, ended = self.cmd[0] & 31, not sides_and_sector(self)
        if op == READ_TRACK:
            ended = self.count >= self.eot
            self.count += not ended
        if tc: finish(self, 0, self.late & 0xFF, 0, now)
        elif not ended: locate(self, now)
        elif self.nd and is_read(self): self.final = 1   # the end comes when the last byte is read
        elif op == VERIFY and not self.cmd[1] & 0x80 or op == READ_TRACK: finish(self, 0, self.late & 0xFF, 0, now)
        else: finish(self, ABNORMAL, EN, 0, now)

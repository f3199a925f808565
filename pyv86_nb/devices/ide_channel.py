"""An IDE channel: one cable, its registers, its buffer, its half of the bus master.
Data sheets: ATA/ATAPI-6 (T13 1410D), clauses 5 to 9; Programming Interface for Bus Master IDE Controller 1.0; Intel 82371SB 290550-002.

    1F0h  Data, 16 or 32 bits     1F1 Error, Features   1F2 Sector Count   1F3-1F5 LBA Low, Mid, High   1F6 Device   1F7 Status, Command
    3F6h  Alternate Status, Device Control: 7 HOB  2 SRST  1 nIEN
    BAR   0 BMICX: 3 write to memory  0 start      2 BMISX: 6, 5 drive does DMA  2 interrupt  1 error  0 active      4-7 BMIDTPX

    Command --BSY--> act (ide_ata.py, ide_atapi.py) --> no data: status, INTRQ
                      |   data in:   buffer filled --> DRQ, INTRQ --host reads a block--> next block, or filled again ... --> end
                      |   data out:  DRQ --host fills a block--> INTRQ, DRQ ... --> buffer emptied ... --> end
                      +-- DMA:       as soon as BMICX says start, the buffer goes through the descriptor table (ide_bus_master.py)

What a host does word by word is kernels: registers, data port, blocks.  What needs the disk or memory is Python's, once for a buffer of 128
sectors: the deadline `work`.  The data port also says in `BURST` which part of the buffer a string instruction may take at once.
An empty cable floats, with DD7 pulled down (clause 4.2.1): 7Fh.  An absent device 1 is answered for by device 0: status 0.

Not emulated: seek and turning times, CRC errors, 8-bit transfers, two commands at once on a cable (the second drive waits for the first).
"""
from __future__ import annotations

from . import ide_ata, ide_atapi, ide_bus_master
from .chip import NEVER, Chip, buffer, bytewise, deadline, field, keep, kernel, parts, pin_out, reads, writes
from .ide_drive import ATAPI, BSY, DEV, DRDY, DSC, NO_DRIVE, IdeDrive
from .ide_protocol import (
    ACTIVE,
    BLOCK_US,
    BUFFER,
    COMMAND,
    COMMAND_US,
    DATA_IN,
    DATA_OUT,
    DEVICE_RESET,
    DIAGNOSTIC,
    DMA_IN,
    DMA_OUT,
    ERROR,
    FLOATS,
    HOB,
    IDLE,
    INTERRUPT,
    RESET_US,
    RESETTING,
    SECTOR,
    SRST,
    START,
    TO_MEMORY,
    after,
    finish,
    free,
    give,
    interrupt,
    present,
    reader,
    reset_drives,
    show_interrupt,
    take,
)


def task_file(offset, doc, name):
    """A register of the task file: two bytes deep, written in both drives, whichever is selected."""
    before = name + "_before"

    @reads(offset, doc)
    @kernel
    def read(ch, now):
        n = reader(ch)
        if n < 0: return FLOATS
        return ch.drive[n][before] if ch.control & HOB else ch.drive[n][name]

    @writes(offset, doc)
    @kernel
    def write(ch, v, now):
        if not free(ch): return
        ch.control &= ~HOB
        for i in range(2): ch.drive[i][before], ch.drive[i][name] = ch.drive[i][name], v
    return read, write


def get_table_byte(ch, i): return ch.table >> 8 * (i - 4) & 0xFF


def put_table_byte(ch, i, v, now):
    shift = 8 * (i - 4)
    ch.table = (ch.table & ~(0xFF << shift) | v << shift) & 0xFFFFFFFC


class IdeChannel(Chip):
    """IDE channel"""
    ips = field(63, "ticks per guest second", reset=keep(0))
    INTRQ = pin_out("interrupt request")
    drive = parts(2, IdeDrive, "device 0 and device 1")
    selected = field(1, "the drive that DEV selects")
    control = field(8, "Device Control", names="HOB:7 SRST:2 NIEN:1")
    phase = field(3, "0 idle, 1 command, 2 data in, 3 data out, 4 packet, 5 DMA in, 6 DMA out, 7 reset")
    active = field(1, "the drive of the command at work")
    command = field(8, "the command at work")
    by_dma = field(1, "a packet command moves its data by DMA")
    limit = field(16, "a packet command's byte count limit")
    lba = field(48, "next sector to move between disk and buffer")
    left = field(17, "sectors still to move between disk and buffer")
    unit = field(12, "bytes of a sector of the command at work", SECTOR)
    fault = field(8, "Error bits to report when the sectors before the bad one have passed")
    block = field(17, "bytes between two interrupts")
    quiet = field(1, "the next block comes without interrupt")
    at = field(17, "first byte of the buffer that has not passed")
    stop = field(17, "where the block ends")
    filled = field(17, "where the data in the buffer end; of data out, will end")
    data = buffer(BUFFER + 8, "sectors on their way; a wide access may reach a little beyond")
    bm_command = field(8, "BMICX", names="WRITE:3 START:0")
    bm_status = field(8, "BMISX", names="DMA1:6 DMA0:5 INTERRUPT:2 ERROR:1 ACTIVE:0")
    table = field(32, "BMIDTPX: address of the descriptor table")
    descriptor = field(32, "address of the next descriptor")
    region = field(32, "address of the next byte of the region at work")
    region_left = field(17, "bytes left of it")
    last_region = field(1, "it is the last one (EOT)")
    work = deadline("a command begins, the buffer is to be filled or emptied, DMA goes on")
    ready = deadline("a block is ready; a reset is over")

    SHEETS = {"ahead": (ide_bus_master.read_ahead, ide_bus_master.LIST)}
    BURST = 0, "data", "at", "stop", "phase", DATA_IN, DATA_OUT             # what a string instruction may move at once (chip.py)

    def __init__(self, name: str = "ide", fitted: tuple[int, int] = (NO_DRIVE, NO_DRIVE)) -> None:
        """fitted: the kinds of drives on the cable, ide_drive.ATA, ATAPI or NO_DRIVE each."""
        super().__init__(name)
        self.fitted = fitted
        self.disks: list = [None, None]
        self.memory = None                               # what the bus master reads and writes, given at the wiring

    def power_on(self) -> None:
        super().power_on()
        for d, kind in zip(self.drive, self.fitted): d.kind = kind
        reset_drives(self)

    def reset(self, cold: bool = False) -> None:
        super().reset(cold)
        for d in self.drive: d.now_heads, d.now_sectors = d.heads, d.sectors
        reset_drives(self)

    # DISKS
    def attach(self, n: int, disk, geometry: tuple[int, int, int]) -> None:
        """Give ATA drive n its disk, which has read(lba, n), write(lba, data), sectors and write_protect.

        geometry: cylinders, heads and sectors of its default translation.
        """
        d = self.drive[n]
        self.disks[n] = disk
        d.capacity = disk.sectors
        d.cylinders, d.heads, d.sectors = geometry
        d.now_heads, d.now_sectors = d.heads, d.sectors

    def insert(self, n: int, disk) -> None:
        """Put a medium with sectors of 2048 bytes into packet drive n; None takes it out."""
        d, had = self.drive[n], self.disks[n] is not None
        self.disks[n] = disk
        d.medium, d.tray, d.locked = int(disk is not None), 0, 0
        d.capacity = disk.sectors if disk is not None else 0
        if disk is not None: d.attention, d.event = 0x2800, 2            # "not ready to ready change, medium may have changed"
        elif had: d.event = 3
        if self.active == n and self.phase not in (IDLE, RESETTING): d.attention = d.attention or 0x2900

    # REGISTERS
    @reads(1, "Error")
    @kernel
    def get_error(ch, now):
        n = reader(ch)
        return ch.drive[n].error if n >= 0 else FLOATS

    get_count, set_count = task_file(2, "Sector Count", "count")
    get_low, set_low = task_file(3, "LBA Low", "low")
    get_mid, set_mid = task_file(4, "LBA Mid", "mid")
    get_high, set_high = task_file(5, "LBA High", "high")
    set_feature = task_file(1, "Features", "feature")[1]  # what is read there is Error

    @reads(6, "Device")
    @kernel
    def get_device(ch, now):
        n = reader(ch)
        return ch.drive[n].device | 0xA0 if n >= 0 else FLOATS           # bits 7 and 5 are obsolete and 1

    @reads(7, "Status: the interrupt is no longer pending")
    @kernel
    def get_status(ch, now):
        n = reader(ch)
        if n < 0: return FLOATS
        if n != ch.selected: return 0
        ch.drive[n].pending = 0
        show_interrupt(ch)
        return ch.drive[n].status

    @reads(0, "Alternate Status", bank="control")
    @kernel
    def get_alternate(ch, now):
        n = reader(ch)
        if n < 0: return FLOATS
        return ch.drive[n].status if n == ch.selected else 0

    @writes(6, "Device")
    @kernel
    def set_device(ch, v, now):
        if not free(ch): return
        ch.control &= ~HOB
        for i in range(2): ch.drive[i].device = v & 0x5F
        ch.selected = 1 if v & DEV else 0
        show_interrupt(ch)

    @writes(7, "Command")
    @kernel
    def set_command(ch, v, now):
        n = reader(ch)
        if n < 0 or n != ch.selected and v != DIAGNOSTIC: return         # EXECUTE DEVICE DIAGNOSTIC is everybody's
        d = ch.drive[n]
        if v == DEVICE_RESET and d.kind == ATAPI and ch.phase != RESETTING: ch.ready = NEVER
        elif not free(ch) or ch.phase != IDLE: return
        ch.control &= ~HOB
        d.pending = 0
        show_interrupt(ch)
        d.status = d.status & DSC | BSY
        ch.phase, ch.active, ch.command, ch.fault, ch.quiet, ch.by_dma = COMMAND, n, v, 0, 0, 0
        ch.work = after(ch, COMMAND_US, now)

    @writes(0, "Device Control", bank="control")
    @kernel
    def set_control(ch, v, now):
        old, ch.control = ch.control, v
        if v & SRST and old & SRST == 0:
            reset_drives(ch)
            for i in range(2):
                if ch.drive[i].kind: ch.drive[i].status = BSY
            ch.phase, ch.work, ch.ready = RESETTING, NEVER, NEVER
        elif old & SRST and v & SRST == 0: ch.ready = after(ch, RESET_US, now)
        show_interrupt(ch)

    @ready.due
    @kernel
    def soon(ch, now):
        if ch.phase == RESETTING: reset_drives(ch)
        elif ch.at == ch.filled: finish(ch, DRDY | DSC, 0)
        else: present(ch)

    @work.due
    def act(self, now: int) -> None:
        """What needs the disk or memory."""
        d, disk = self.drive[self.active], self.disks[self.active]
        try:
            if self.command == DIAGNOSTIC:
                reset_drives(self)
                interrupt(self)
            elif self.phase in (DMA_IN, DMA_OUT): ide_bus_master.move(self, disk, now)
            elif d.kind == ATAPI: ide_atapi.act(self, d, disk, now)
            else: ide_ata.act(self, d, disk, now)
        except OSError:                                  # the host cannot read its file, or has no room for what is written
            (ide_atapi if d.kind == ATAPI else ide_ata).failed(self, d)

    # THE DATA PORT
    @reads(0, "Data", size=2)
    @kernel
    def get_word(ch, now): return take(ch, 2, now)

    @reads(0, "Data, two words", size=4)
    @kernel
    def get_long(ch, now): return take(ch, 4, now)

    @writes(0, "Data", size=2)
    @kernel
    def put_word(ch, v, now): give(ch, 2, v, now)

    @writes(0, "Data, two words", size=4)
    @kernel
    def put_long(ch, v, now): give(ch, 4, v, now)

    # THE BUS MASTER
    @reads(0, "BMICX", bank="bus master")
    @kernel
    def get_bm_command(ch, now): return ch.bm_command

    @writes(0, "BMICX", bank="bus master")
    @kernel
    def set_bm_command(ch, v, now):
        was, ch.bm_command = ch.bm_command & START, v & (START | TO_MEMORY)
        if v & START and was == 0:
            ch.bm_status |= ACTIVE
            ch.descriptor, ch.region_left, ch.last_region = ch.table, 0, 0
            if ch.phase == DMA_IN or ch.phase == DMA_OUT: ch.work = after(ch, BLOCK_US, now)
        elif v & START == 0: ch.bm_status &= ~ACTIVE & 0xFF

    @reads(2, "BMISX", bank="bus master")
    @kernel
    def get_bm_status(ch, now): return ch.bm_status

    @writes(2, "BMISX", bank="bus master")
    @kernel
    def set_bm_status(ch, v, now):
        ch.bm_status = ch.bm_status & ~0x60 & ~(v & (INTERRUPT | ERROR)) | v & 0x60

    @reads(4, "BMIDTPX", bank="bus master", size=4)
    @kernel
    def get_table(ch, now): return ch.table

    locals().update(bytewise("bus master", dict.fromkeys((1, 3), "reserved"), lambda ch, i: 0))
    locals().update(bytewise("bus master", {4 + i: f"BMIDTPX byte {i}" for i in range(4)}, get_table_byte, put_table_byte))

    @writes(4, "BMIDTPX", bank="bus master", size=4)
    @kernel
    def set_table(ch, v, now): ch.table = v & ~3

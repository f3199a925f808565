"""Both ends of an IDE cable for tests: a board with drives, a driver that polls, and the same driver's accesses on QEMU's machine."""
import struct
import time

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.memory_map import store_bytes
from pyv86_nb.devices.ide_drive import ATA, ATAPI, NO_DRIVE
from pyv86_nb.devices.vga import Vga
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.media.disk import Disk
from pyv86_nb.media.hard_disk import geometry

BIOS = b"\xFF" * 0x10000
BMIBA = 0xC000
BSY, DRQ, ERR = 0x80, 0x08, 0x01
PORTS = (0x1F0, 0x170)


class Ours:
    """Our board: hda, hdb and hdc may be images, the CD-ROM drive is hdc where none is."""

    def __init__(self, hda=None, hdb=None, hdc=None, cd=None, **options):
        self.memory = PhysicalMemory(4 << 20, store_bytes(BIOS, Vga))
        images = hda, hdb, hdc
        kinds = [ATA if i is not None else NO_DRIVE for i in images]
        if hdc is None: kinds[2] = ATAPI
        self.board = at_pc(self.memory, bios=BIOS, ide=(*kinds, NO_DRIVE))
        self.channels = self.board.chips["ide0"], self.board.chips["ide1"]
        self.disks = [None if i is None else i if isinstance(i, Disk) else Disk(i, **options) for i in images]
        for n, disk in enumerate(self.disks):
            if disk is not None: self.channels[n // 2].attach(n % 2, disk, geometry(disk))
        if cd is not None: self.channels[1].insert(0, Disk(cd, sector_size=2048, write_protect=True))
        self.setup()

    def setup(self):
        for register, v, size in ((0x40, 0x80008000, 4), (0x20, BMIBA | 1, 4), (0x04, 5, 2)):
            self.write(0xCF8, 0x80000000 | 1 << 11 | 1 << 8 | register, 4)
            self.write(0xCFC, v, size)
        if hasattr(self, "board"): self.board.remap()

    def read(self, port, size=1): return self.board.read(port, size)
    def write(self, port, v, size=1): self.board.write(port, v, size)
    def pause(self): self.board.advance(500)
    def get(self, at, n): return self.memory.read(at, n)
    def put(self, at, data): self.memory.write(at, data)


class Theirs(Ours):
    """QEMU's, through qtest; `machine` has been started with the same images."""

    def __init__(self, machine):
        self.machine = machine
        self.setup()

    def read(self, port, size=1): return self.machine.run([f"in{'b w l'.split()[size >> 1]} {port:#x}"])[0]
    def write(self, port, v, size=1): self.machine.run([f"out{'b w l'.split()[size >> 1]} {port:#x} {v:#x}"])
    def pause(self): time.sleep(0.0005)                  # its disks run in real time
    def get(self, at, n): return bytes.fromhex(self.machine.line(f"read {at:#x} {n:#x}")[2:])
    def put(self, at, data): self.machine.run([f"write {at:#x} {len(data):#x} 0x{data.hex()}"])


class Driver:
    """What a driver does, on either."""

    def __init__(self, machine, channel=0, device=0):
        self.m, self.base, self.device, self.channel = machine, PORTS[channel], device, channel
        self.control = self.base + 0x206

    def wait(self, busy=BSY):
        """Alternate Status, when it is not busy."""
        for _ in range(20_000):
            s = self.m.read(self.control)
            if not s & busy: return s
            self.m.pause()
        raise AssertionError("busy for ever")

    def select(self, rest=0xA0): self.m.write(self.base + 6, rest | self.device << 4)

    def registers(self, feature=None, count=None, low=None, mid=None, high=None):
        for i, v in enumerate((feature, count, low, mid, high), 1):
            if v is not None: self.m.write(self.base + i, v)

    def task_file(self): return [self.m.read(self.base + i) for i in range(1, 7)]

    def command(self, op):
        self.m.write(self.base + 7, op)
        return self.wait()

    def lba(self, lba, n, long=False):
        """Address and count into the registers."""
        self.select(0xE0 | (0 if long else lba >> 24 & 15))
        if long: self.registers(None, n >> 8 & 255, lba >> 24 & 255, lba >> 32 & 255, lba >> 40 & 255)
        self.registers(None, n & 255, lba & 255, lba >> 8 & 255, lba >> 16 & 255)

    def chs(self, cylinder, head, sector, n):
        self.select(0xA0 | head)
        self.registers(None, n, sector, cylinder & 255, cylinder >> 8)

    def data_in(self, n, size=2):
        return b"".join(self.m.read(self.base, size).to_bytes(size, "little") for _ in range(n // size))

    def data_out(self, data, size=2):
        for i in range(0, len(data), size): self.m.write(self.base, int.from_bytes(data[i:i + size], "little"), size)

    def read_sectors(self, op, n, block=1):
        """A PIO read whose registers are set: (data, status)."""
        s, out = self.command(op), b""
        while s & DRQ and n:
            k = min(block, n)
            out, n = out + self.data_in(512 * k), n - k
            s = self.wait()
        return out, s

    def write_sectors(self, op, data, block=1):
        s = self.command(op)
        while data and s & DRQ:
            self.data_out(data[:512 * block])
            data = data[512 * block:]
            s = self.wait()
        return s

    def dma(self, op, regions, inward, table=0x1000, repeat=None):
        """A DMA command whose registers are set, by a descriptor table: (status, BMISX)."""
        rows = b"".join(struct.pack("<II", at, n & 0xFFFF | (0x80000000 if i == len(regions) - 1 else 0)) for i, (at, n) in enumerate(regions))
        self.m.put(table, rows if repeat is None else repeat)
        bm = BMIBA + 8 * self.channel
        self.m.write(bm + 4, table, 4)
        self.m.write(bm + 2, 6)
        self.m.write(self.base + 7, op)
        self.m.write(bm, 1 | (8 if inward else 0))
        s = self.wait(BSY | DRQ)                         # either stands while data move by DMA (ATA/ATAPI-6, 9.7)
        status = self.m.read(bm + 2)
        self.m.write(bm, 0)
        return s, status

    def packet(self, *cdb, limit=2048, dma=0, out=False):
        """A packet command by PIO: (status, error, data)."""
        self.select()
        self.registers(dma, None, None, limit & 255, limit >> 8)
        s = self.command(0xA0)
        assert s & DRQ and self.m.read(self.base + 2) & 3 == 1, "C/D"
        self.data_out(bytes(cdb).ljust(12, b"\0"))
        s, data = self.wait(), b""
        while s & DRQ:
            assert self.m.read(self.base + 2) & 3 == 2, "I/O"
            n = self.m.read(self.base + 4) | self.m.read(self.base + 5) << 8
            data += self.data_in(n + 1 & ~1)[:n]
            s = self.wait()
        assert self.m.read(self.base + 2) & 3 == 3, "I/O and C/D"
        return s, self.m.read(self.base + 1), data

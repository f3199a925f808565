"""A guest that means harm, or is broken: every chip of the PC programmed with whatever comes, bus masters sent outside RAM and into circles.

Oracle: the promise of docs/raw_pointers.md and of each data sheet's bus: what lies outside RAM is read as FFh and not written; no access takes
the host for long; nothing is raised.  The page behind the machine's memory, which no frame shows, tells of a write that went astray.
"""
import random
import struct
import time

import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.memory_map import store_bytes
from pyv86_nb.devices import ide_drive
from pyv86_nb.devices.clock import Clock
from pyv86_nb.devices.vga import Vga
from pyv86_nb.engine.memory import PAGE, PhysicalMemory
from pyv86_nb.media import hard_disk
from pyv86_nb.media.disk import Disk
from pyv86_nb.media.floppy import geometry

MIB = 1 << 20
BIOS = bytes(0x10000 - 16) + b"\xEA" + bytes(15)
LONG = 20.0                                              # s of host time for one act on a busy machine; some take 1 s, a hang takes for ever
BM, VIRTIO = 0xC000, 0xD000                              # where BIOS would put the bus masters' ports
FAR = 0xFFFFFFF0, MIB - 8, 0xF0000, 0xA0000, 0xFEE00000, 0xFEC00000, 0xFED00000, 0x7FFFF000, 0xFFFFF000


class Pc:
    """The board with 1 MiB of RAM, a disk of each kind, and PCI set up as firmware does."""

    def __init__(self, ips=10_000_000):
        self.memory = PhysicalMemory(MIB, store_bytes(BIOS, Vga))
        hard, disc, floppy, virtio = Disk(bytes(512 * 5000)), Disk(bytes(2048 * 100), sector_size=2048), Disk(bytes(1_474_560)), Disk(bytes(512 * 999))
        self.board = b = at_pc(self.memory, bios=BIOS, ide=(ide_drive.ATA, 0, ide_drive.ATAPI, 0), virtio=1,
                               disks=[hard_disk.geometry(hard), None, None, None], clock=Clock(ips=ips))
        self.ide, self.blk = b.chips["ide0"], b.virtio[0][0]
        self.ide.attach(0, hard, hard_disk.geometry(hard))
        b.chips["ide1"].insert(0, disc)
        b.chips["fdc"].insert(0, floppy, geometry(floppy.size))
        self.blk.attach(0, virtio, (1, 1, 1))
        self.disks = hard, floppy, virtio
        for function, register, v in ((0x900, 0x40, 0x80008000), (0x900, 0x20, BM | 1), (0x900, 4, 5), (0x2000, 0x10, VIRTIO | 1), (0x2000, 4, 7)):
            self.configure(function, register, v)
        self.at = {base: n for n, (base, _, _) in b.regions.items()}

    def configure(self, function, register, v):
        self.out(0xCF8, 0x80000000 | function | register, 4)
        self.out(0xCFC, v, 4)

    def out(self, port, v, size=1):
        self.board.write(port, v, size)
        self.attend()

    def put(self, address, v): self.board.memory_write(self.at[address & ~0xFFF], address, 4, v)

    def attend(self):
        """What the processor does when these pins are high."""
        cpu = self.board.chips["cpu"]
        if cpu.REMAP: self.board.remap()
        if cpu.RESET: self.board.reset_line()

    def advance(self, seconds): self.board.advance(max(int(seconds * self.board.clock.ips), 1))
    def ports(self): return sorted({p + key[1] for p, chip, bank in self.board.map for key in chip.ports if key[0] == bank and p + key[1] < 0x10000})
    def astray(self): return self.memory.host[-PAGE:].any()


# ACTS: each programs one bus master or timer with what it pleases

def address(rng):
    """Mostly in RAM; often a whole page, which has a way of its own."""
    at = rng.randrange(0, 0x98000) if rng.random() < .6 else rng.choice((*FAR, rng.getrandbits(32)))
    return at & rng.choice((~3, ~3, ~4095))


def ide(rng, pc):
    port, master = rng.choice(((0x1F0, BM), (0x1F0, BM), (0x170, BM + 8)))
    for v in (4, 0):                                     # SRST: whatever the last act has left
        pc.out(port + 0x206, v)
        pc.advance(.01)
    table = address(rng)
    if rng.random() < .7:                                # descriptors to anywhere, with or without an end
        for i in range(rng.choice((1, 16, 512))):
            pc.memory.write(table + 8 * i, struct.pack("<II", address(rng), rng.choice((0, 2, 512, 4096, 8192, 0xFFFE)) | rng.choice((0, 0, 0x80000000))))
    pc.out(master + 4, table & 0xFFFFFFFC, 4)
    pc.out(master, rng.choice((0, 8, 1, 9)))
    for n in range(1, 6): pc.out(port + n, rng.choice((0, 0, 0, 0, 1, 255, rng.getrandbits(8))))
    pc.out(port + 6, rng.choice((0xE0, 0xE0, 0xE0, 0xA0, 0xF0)))
    pc.out(port + 7, rng.choice((0xC8, 0xCA) if rng.random() < .6 else (0x25, 0x35, 0x20, 0x30, 0xC4, 0xC5, 0xC6, 0xA0, 0xEC, 0xA1, 0x90, 0xEF, 0x24, 0x34, rng.getrandbits(8))))
    pc.advance(.001)
    for _ in range(rng.choice((0, 6, 300))): pc.out(port, rng.getrandbits(16), 2)
    for _ in range(rng.choice((0, 6, 300))): pc.board.read(port, 2)
    pc.out(master, rng.choice((1, 9)))
    pc.advance(.02)
    pc.out(master, 0)


def virtio(rng, pc):
    at = address(rng) & ~4095
    if rng.random() < .8:
        lengths = 0, 1, 16, 512, 4096, 1 << 20, 0xFFFFFFFF
        rows = [struct.pack("<QIHH", address(rng) if rng.random() < .9 else rng.getrandbits(64), rng.choice(lengths), rng.randrange(4), rng.randrange(257))
                for _ in range(256)]
        ring = struct.pack("<HH", rng.randrange(2), rng.choice((1, 16, 256, 60000))) + struct.pack("<256H", *(rng.randrange(257) for _ in range(256)))
        pc.memory.write(at, b"".join(rows) + ring)
    pc.out(VIRTIO + 18, 0)
    pc.out(VIRTIO + 18, 7)
    pc.out(VIRTIO + 8, at >> 12, 4)
    pc.out(VIRTIO + 16, 0, 2)
    for _ in range(3): pc.advance(.0001)


def floppy(rng, pc):
    for v in (0, 0x1C): pc.out(0x3F2, v)
    pc.advance(.01)
    pc.out(0x3F7, 0)                                     # 500 kbit/s
    for command in ((8, 8, 8, 8), (3, 0xDF, 2), (7, 0)): # what reset asks for, SPECIFY, RECALIBRATE
        for v in command:
            pc.out(0x3F5, v)
            for _ in range(2 if v == 8 else 0): pc.board.read(0x3F5)
    pc.advance(.02)
    pc.out(0x3F5, 8)
    for _ in range(2): pc.board.read(0x3F5)
    pc.out(0xD6, 0xC0)
    pc.out(0xD4, 0)
    pc.out(0x08, 0)
    pc.out(0x0C, 0)
    pc.out(0x0B, rng.choice((0x44, 0x48, 0x64, 0x68, 0x54, 0x74, 0x04)) | 2)
    for port in (4, 4, 5, 5, 0x81): pc.out(port, rng.getrandbits(8))
    pc.out(0x0A, 2)
    command = rng.choice(((0xE6, 0, 0, 0, 1, 2, 18, 27, 255), (0xC5, 0, 0, 0, 1, 2, 18, 27, 255), (0x4D, 0, 2, 18, 80, 0xF6), (0xD1, 0, 0, 0, 1, 2, 18, 27, 1),
                          (0x62, 0, 0, 0, 1, 2, 18, 27, 255)))
    for v in command: pc.out(0x3F5, v)
    pc.advance(.02)


def fw_cfg(rng, pc):
    at = rng.choice((0x8000, MIB - 16, MIB - 8, 0xFFFFFFF0, 0xFFFFFFFF, 0xF0000000))
    length, to = rng.choice((0, 1, 0xFFFF, 0xFFFFFFFF, 1 << 30)), rng.choice((0, 0xFFFFF, 0xFFFFFFFF, 1 << 31, 1 << 40, MIB - 1))
    pc.memory.write(at, struct.pack(">IIQ", rng.choice((2, 4, 8, 10, 0x19000A, 0x1E, 1, 0xFFFFFFFF, 0x10)), length, to))
    pc.out(0x514, rng.choice((0, 0, 0, 0xFFFFFFFF)), 4)
    pc.out(0x518, int.from_bytes(at.to_bytes(4, "big"), "little"), 4)


def timers(rng, pc):
    n = rng.randrange(3)
    pc.put(0xFED00010, rng.choice((1, 3)))
    pc.put(0xFED00100 + 0x20 * n, rng.choice((0x4C, 0x4E, 0xC, 0x10C, 0x144, rng.getrandbits(16))))
    pc.put(0xFED00108 + 0x20 * n, rng.choice((0, 1, 2, 100, 0xFFFFFFFF)))
    for r, v in ((0xF0, 0x1FF), (0x320, rng.choice((0x20050, 0x50, 0x40050, 0x60050, 0x10))), (0x3E0, rng.choice((11, 0, 3))),
                 (0x380, rng.choice((0, 1, 2, 0xFFFFFFFF))), (0x300, rng.choice((0x40050, 0x44050, 0x80060, 0x400, 0x50, 0x700)))):
        pc.put(0xFEE00000 + r, v)
    for port, v in ((0x43, rng.choice((0x34, 0x36, 0x30, 0x38))), (0x40, rng.choice((0, 1, 2, 3))), (0x40, 0)): pc.out(port, v)
    for _ in range(20):
        pc.advance(.00001)
        if pc.board.chips["cpu"].INTR: pc.board.acknowledge()
    pc.put(0xFEE000B0, 0)
    pc.put(0xFED00010, 0)
    pc.put(0xFEE00380, 0)


def anything(rng, pc):
    ports, b = pc.ports(), pc.board
    value = lambda: rng.choice((0, 1, 0xFF, 0xFFFFFFFF, 0x80000000, rng.getrandbits(32)))
    for _ in range(40):
        size = rng.choice((1, 1, 1, 2, 4))
        match rng.randrange(5):
            case 0 | 1: pc.out(rng.choice(ports), value() & (1 << 8 * size) - 1, size)
            case 2: b.read(rng.choice(ports), size)
            case 3:
                region, (base, _, _) = rng.choice(list(b.regions.items()))
                b.memory_write(region, base + rng.randrange(0, 0x400), size, value() & (1 << 8 * size) - 1)
                b.memory_read(region, base + rng.randrange(0, 4096), size)
                pc.attend()
            case 4: pc.advance(rng.choice((1e-7, 1e-6, 1e-4)))


@pytest.mark.parametrize("act", [ide, virtio, floppy, fw_cfg, timers, anything], ids=lambda f: f.__name__)
def test_whatever_is_programmed_only_the_guest_is_slower(act):
    rng, longest = random.Random(act.__name__), 0.0
    for ips in (10_000_000, 1_000_000_000):
        pc = Pc(ips)
        for _ in range(25):
            began = time.perf_counter()
            act(rng, pc)
            longest = max(longest, time.perf_counter() - began)
            assert not pc.astray()
            if act is anything and rng.random() < .2: pc = Pc(ips)         # it may have switched off what the next ones need
    assert longest < LONG


class Spy:
    """The memory as one chip sees it: how often it reads and writes."""

    def __init__(self, memory): self.memory, self.reads, self.writes = memory, 0, 0

    def read(self, address, n):
        self.reads += 1
        return self.memory.read(address, n)

    def write(self, address, data):
        self.writes += 1
        self.memory.write(address, data)

    def gather(self, regions):
        self.reads += 1
        return self.memory.gather(regions)

    def scatter(self, regions, data):
        self.writes += 1
        self.memory.scatter(regions, data)

    def receive(self, regions, source):
        self.writes += 1
        self.memory.receive(regions, source)


def test_the_acts_do_reach_memory_and_the_disks():
    """Or the test above would show nothing."""
    rng, pc = random.Random(5), Pc()
    chips = pc.board.chips
    spies = {}
    for act, who in ((ide, pc.ide), (virtio, pc.blk), (floppy, chips["fdc"].dma), (fw_cfg, chips["fw_cfg"])):
        who.memory = spies[act] = Spy(pc.memory)
        for _ in range(250): act(rng, pc)
    for act, spy in spies.items(): assert spy.reads > 10 and spy.writes > 5, (act.__name__, spy.reads, spy.writes)
    assert pc.disks[0].changed and pc.disks[1].changed


def test_descriptors_outside_memory_read_as_ones():
    """A floating bus.  8237A: addresses of 16 MiB; the rest: 32 bits."""
    pc = Pc()
    pc.out(BM + 4, 0x40000000, 4)                        # a table of FFh: one region of 64 KiB at FFFFFFFEh, marked as the last
    for n, v in zip(range(1, 7), (0, 1, 0, 0, 0, 0xE0), strict=True): pc.out(0x1F0 + n, v)
    pc.out(BM, 9)
    pc.out(0x1F7, 0xC8)
    pc.advance(.01)
    assert pc.ide.region_left == 0xFFFE - 512 and pc.ide.drive[0].status == 0x50
    pc.out(VIRTIO + 18, 7)
    pc.out(VIRTIO + 8, 0x40000, 4)                       # the available ring's index is FFFFh: more than there can be
    pc.out(VIRTIO + 16, 0, 2)
    pc.advance(.001)
    assert pc.blk.status & 0x40, "NEEDS RESET"
    before = pc.memory.host.tobytes()
    pc.memory.write(0x8000, struct.pack(">IIQ", 2, 0x1000, 0x40000000))
    pc.out(0x518, int.from_bytes((0x8000).to_bytes(4, "big"), "little"), 4)
    assert pc.memory.read(0x8000, 4) == bytes(4), "done, and the bytes are nowhere"
    after = pc.memory.host.tobytes()
    assert after[:0x8000] == before[:0x8000] and after[0x8010:] == before[0x8010:]

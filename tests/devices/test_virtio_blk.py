"""virtio-blk.  Oracles: VIRTIO 1.0 (OASIS) by section; a plain bytearray for contents; Linux and SeaBIOS as drivers in tests/boots."""
import random
import struct

import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.memory_map import store_bytes
from pyv86_nb.devices.vga import Vga
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.media.disk import Disk
from pyv86_nb.media.hard_disk import geometry

BIOS = b"\xFF" * 0x10000
PORTS, MEMORY = 0xC100, 0xFE00_0000
TABLE, AVAILABLE, USED, BUFFER = 0x10000, 0x12000, 0x14000, 0x20000
SECTORS = 500


class Pc:
    def __init__(self, image=None, **options):
        self.memory = PhysicalMemory(4 << 20, store_bytes(BIOS, Vga))
        self.board = at_pc(self.memory, bios=BIOS, virtio=1)
        self.blk, self.function = self.board.virtio[0]
        self.disk = Disk(image if image is not None else random.Random(1).randbytes(512 * SECTORS), bus="virtio", **options)
        self.blk.attach(0, self.disk, geometry(self.disk))
        for register, v, size in ((0x10, PORTS, 4), (0x20, MEMORY, 4), (0x04, 7, 2)): self.config(register, v, size)
        self.board.remap()
        self.index = 0

    def config(self, register, v=None, size=4):
        self.board.write(0xCF8, 0x80000000 | 4 << 11 | register & 0xFC, 4)
        if v is None: return self.board.read(0xCFC + (register & 3), size)
        self.board.write(0xCFC + (register & 3), v, size)

    def get(self, at, size): return self.board.memory_read(int(self.memory.region[MEMORY + at >> 12]) - 1, MEMORY + at, size)
    def set(self, at, size, v): self.board.memory_write(int(self.memory.region[MEMORY + at >> 12]) - 1, MEMORY + at, size, v)

    def modern(self, features=1 << 32):
        """3.1.1, device initialisation."""
        self.set(20, 1, 0)
        for status in (1, 3): self.set(20, 1, status)
        for half in (0, 1): self.set(8, 4, half); self.set(12, 4, features >> 32 * half & 0xFFFFFFFF)
        self.set(20, 1, 11)
        assert self.get(20, 1) & 8
        self.set(22, 2, 0)
        self.set(24, 2, 16)
        for at, v in ((32, TABLE), (40, AVAILABLE), (48, USED)): self.set(at, 4, v); self.set(at + 4, 4, 0)
        self.set(28, 2, 1)
        self.set(20, 1, 15)

    def chain(self, pieces, first=0):
        """Descriptors first.. from (address, bytes, written by the device)."""
        for i, (at, n, back) in enumerate(pieces):
            more = i + 1 < len(pieces)
            self.memory.write(TABLE + 16 * (first + i), struct.pack("<QIHH", at, n, more | back << 1, first + i + 1 if more else 0))

    def submit(self, *heads, size=16, flags=0):
        for h in heads:
            self.memory.write(AVAILABLE + 4 + 2 * (self.index % size), struct.pack("<H", h))
            self.index = self.index + 1 & 0xFFFF
        self.memory.write(AVAILABLE, struct.pack("<HH", flags, self.index))

    def notify(self): self.set(0x3000, 2, 0); self.board.advance(10_000)

    def request(self, kind, sector, data=b"", room=0):
        """(status byte, what was read): header, data in two pieces, status."""
        self.memory.write(BUFFER - 16, struct.pack("<IIQ", kind, 0, sector))
        pieces, n = [(BUFFER - 16, 16, 0)], len(data) or room
        if n: pieces += [(BUFFER, n // 2, not data), (BUFFER + 0x40000, n - n // 2, not data)]
        if data: self.memory.write(BUFFER, data[:n // 2]); self.memory.write(BUFFER + 0x40000, data[n // 2:])
        self.memory.write(BUFFER - 32, b"\xEE")
        self.chain([*pieces, (BUFFER - 32, 1, 1)])
        self.submit(0)
        self.notify()
        return self.memory.read(BUFFER - 32, 1)[0], self.memory.read(BUFFER, n // 2) + self.memory.read(BUFFER + 0x40000, n - n // 2)


@pytest.fixture
def pc():
    p = Pc()
    p.modern()
    return p


def test_what_configuration_space_says(pc):
    """4.1.2, 4.1.4: IDs, and capabilities that name the parts of BAR 4."""
    assert pc.config(0) == 0x1001_1AF4 and pc.config(0x2C) == 0x0002_1AF4 and pc.config(6, size=2) & 0x10
    found, at = {}, pc.config(0x34, size=1)
    while at:
        kind, after, length, cfg, bar = (pc.config(at + i, size=1) for i in range(5))
        found[cfg] = kind, bar, pc.config(at + 8), pc.config(at + 12)
        assert length == (20 if cfg == 2 else 16)
        at = after
    assert found == {1: (9, 4, 0, 56), 2: (9, 4, 0x3000, 4), 3: (9, 4, 0x1000, 1), 4: (9, 4, 0x2000, 64)}


def test_features_are_negotiated(pc):
    """2.2, 3.1.1: version 1 is offered; a feature that is not offered is not accepted; status 0 resets."""
    pc.set(0, 4, 1); assert pc.get(4, 4) == 1
    pc.set(0, 4, 0); assert pc.get(4, 4) & 1 << 9 and not pc.get(4, 4) & 1 << 5
    pc.set(0, 4, 2); assert pc.get(4, 4) == 0
    pc.set(20, 1, 0); assert pc.get(20, 1) == pc.get(28, 2) == pc.get(32, 4) == 0 and pc.get(24, 2) == 256
    pc.set(20, 1, 3); pc.set(8, 4, 0); pc.set(12, 4, 1 << 29); pc.set(20, 1, 11); assert not pc.get(20, 1) & 8
    pc.set(22, 2, 1); assert pc.get(24, 2) == 0, "there is no queue 1"
    assert pc.get(0x2000, 4) == SECTORS and pc.get(0x2014, 4) == 512


def test_random_requests_are_those_of_a_bytearray(pc):
    r, data = random.Random(5), bytearray(random.Random(1).randbytes(512 * SECTORS))
    for _ in range(200):
        n = r.choice((1, 2, 7, 64)); lba = r.randrange(SECTORS - n)
        if r.random() < .4:
            new = r.randbytes(512 * n)
            assert pc.request(1, lba, new)[0] == 0
            data[512 * lba:512 * (lba + n)] = new
        else: assert pc.request(0, lba, room=512 * n) == (0, data[512 * lba:512 * (lba + n)])
        assert pc.blk.INTA and pc.get(0x1000, 1) == 1 and not pc.blk.INTA
    assert pc.disk.image() == data
    assert struct.unpack("<HH", pc.memory.read(USED, 4)) == (0, 200)


def test_other_requests(pc):
    """5.2.6: FLUSH, GET_ID; unsupported 2; beyond the end and half sectors 1."""
    assert pc.request(4, 0)[0] == 0 and pc.request(99, 0)[0] == 2
    assert pc.request(8, 0, room=20)[1].startswith(b"NB")
    assert pc.request(0, SECTORS, room=512)[0] == 1 and pc.request(0, 0, room=100)[0] == 1 and pc.request(1, SECTORS - 1, bytes(1024))[0] == 1
    assert pc.disk.image() == random.Random(1).randbytes(512 * SECTORS)


def test_protected_and_full():
    pc = Pc(bytes(51200), write_protect=True); pc.modern()
    pc.set(0, 4, 0); assert pc.get(4, 4) & 1 << 5 and pc.request(1, 0, bytes(512))[0] == 1
    pc = Pc(bytes(51200), room=4096); pc.modern()
    assert pc.request(1, 0, bytes(512))[0] == 0
    with pytest.warns(RuntimeWarning, match="full"): assert pc.request(1, 50, bytes(512))[0] == 1


def test_many_at_once_are_answered_a_piece_at_a_time(pc):
    """2.4: the rings go round; NO_INTERRUPT is heeded; nothing more than 64 requests in one go."""
    pc.memory.write(BUFFER, struct.pack("<IIQ", 0, 0, 3))
    pc.chain([(BUFFER, 16, 0), (BUFFER + 512, 512, 1), (BUFFER + 16, 1, 1)])
    pc.submit(*[0] * 16, flags=1); pc.notify()
    assert not pc.blk.INTA and struct.unpack("<HH", pc.memory.read(USED, 4))[1] == 16
    for _ in range(10): pc.submit(*[0] * 16); pc.notify()
    assert pc.blk.INTA and struct.unpack("<HH", pc.memory.read(USED, 4))[1] == 176


@pytest.mark.parametrize("wrong", ["loop", "number", "ring", "far", "no header"])
def test_what_a_driver_may_do_wrong(pc, wrong):
    """A chain in circles, a head beyond the table, an index that jumps: NEEDS RESET.  Addresses where nothing is: no harm."""
    pc.memory.write(BUFFER, struct.pack("<IIQ", 0, 0, 3))
    if wrong == "loop": pc.memory.write(TABLE, struct.pack("<QIHH", BUFFER, 16, 1, 0)); pc.submit(0)
    if wrong == "number": pc.submit(200)
    if wrong == "ring": pc.index = 99; pc.submit(0)
    if wrong == "far": pc.chain([(BUFFER, 16, 0), (1 << 40, 512, 1), (0xFFFFFFFF, 1, 1)]); pc.submit(0)
    if wrong == "no header": pc.chain([(BUFFER, 8, 0), (BUFFER + 16, 1, 1)]); pc.submit(0)
    before = pc.memory.host.tobytes()
    pc.notify()
    assert bool(pc.get(20, 1) & 0x40) == (wrong in ("loop", "number", "ring"))
    after = pc.memory.host.tobytes()
    assert sum(a != b for a, b in zip(before[USED + 16:], after[USED + 16:])) == 0
    pc.modern(); pc.index = 0
    assert pc.request(0, 1, room=512) == (0, pc.disk.read(1))


def test_the_legacy_interface(pc):
    """4.1.4.8, 2.4.2: ports, a queue of 256 at a page, the guest's own byte order."""
    b = pc.board
    b.write(PORTS + 18, 0); b.write(PORTS + 18, 3)
    assert b.read(PORTS, 4) & 1 << 9 and b.read(PORTS + 12, 2) == 256
    b.write(PORTS + 4, 1 << 9, 4); b.write(PORTS + 14, 0, 2); b.write(PORTS + 8, 0x40, 4); b.write(PORTS + 18, 7)
    assert b.read(PORTS + 8, 4) == 0x40 and b.read(PORTS + 20, 4) == SECTORS
    pc.memory.write(BUFFER, struct.pack("<IIQ", 0, 0, 9))
    for i, (at, n, flags) in enumerate(((BUFFER, 16, 1), (BUFFER + 512, 512, 3), (BUFFER + 16, 1, 2))):
        pc.memory.write(0x40000 + 16 * i, struct.pack("<QIHH", at, n, flags, i + 1))
    pc.memory.write(0x41000, struct.pack("<HHH", 0, 1, 0))
    b.write(PORTS + 16, 0, 2); b.advance(10_000)
    assert pc.memory.read(BUFFER + 512, 512) == pc.disk.read(9) and struct.unpack("<HHII", pc.memory.read(0x42000, 12)) == (0, 1, 0, 513)
    assert b.read(PORTS + 19) == 1 and b.read(PORTS + 19) == 0 and not pc.blk.INTA

"""A disk as a virtio block device on PCI.   Data sheet: Virtual I/O Device (VIRTIO) 1.0 (OASIS), 2.3-2.4, 4.1 and 5.2.

    BAR 0, ports: the legacy interface (4.1.4.8)      00 device features   04 driver features   08 queue address / 4096   0C queue size
                                                      0E queue select      10 queue notify      12 device status          13 ISR status
                                                      14 configuration of the device
    BAR 4, memory (4.1.4):     0000 common configuration   1000 ISR status   2000 configuration of the device   3000 notification
    queue 0, in memory:        descriptors (16 bytes: address, length, flags, next)      available ring      used ring
    a request:                 type, reserved, sector | data | status                    one descriptor or several each

The driver puts chains of descriptors on the available ring and notifies; the device moves the data, puts them on the used ring and
interrupts.  A transitional device: the driver takes whichever interface it knows; both show the same state.

It answers at most 64 requests and 4 MiB at a time, the rest at its next deadline.  A chain that is longer than the queue, or a ring
that says so much more than fits, is a driver's mistake: NEEDS RESET, and the queue rests.  Descriptors that lie where no memory is read
as FFh, writes there vanish.

A request costs two accesses, whatever its size: the notification and the ISR status.  Those two are compiled, in the modern interface.

Not emulated: indirect descriptors, event index, MSI-X, the configuration access capability, discard, multi-queue.
"""
from __future__ import annotations

import struct

import numpy as np

from .chip import Chip, bytewise, deadline, field, keep, kernel, memory_reads, memory_writes, pin_out
from .pci import BUS_MASTER, COMMAND, IO, Bar, Header

QUEUE_SIZE, SECTOR = 256, 512
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 0x40
SEG_MAX, RO, BLK_SIZE, FLUSH, ANY_LAYOUT, VERSION_1 = 1 << 2, 1 << 5, 1 << 6, 1 << 9, 1 << 27, 1 << 32
ADDRESSES = 1 << 32                                      # the guest's, though descriptors have 64 bits
NEXT, WRITE = 1, 2                                       # flags of a descriptor
NO_INTERRUPT = 1                                         # flag of the available ring
READ_SECTORS, WRITE_SECTORS, DO_FLUSH, GET_ID = 0, 1, 4, 8
OK, IOERR, UNSUPPORTED = 0, 1, 2
MOST_REQUESTS, MOST_BYTES, WORK_US = 64, 4 << 20, 5
COMMON, ISR, DEVICE, NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000
CHAIN = np.dtype([("table", "<i8", (QUEUE_SIZE, 2)), ("outs", "i8", (QUEUE_SIZE, 2)), ("ins", "i8", (QUEUE_SIZE, 2)), ("out_rows", "i8"),
                  ("in_rows", "i8"), ("given", "i8"), ("room", "i8"), ("status", "i8"), ("far", "i8")])


@kernel
def part(chain, i, entries, now):
    """Part the chain of a table of so many entries, from descriptor i on: regions, address and bytes, that the device reads and that it
    writes, and of those the last byte, where the status goes.  An address too large for a word is as `far` as any.  False: there is no
    such chain."""
    n = outs = ins = given = room = far = last = 0
    going = True
    while going:
        if i >= entries or n == entries: return False
        address, word = int(chain.table[i, 0]), int(chain.table[i, 1])
        size, flags, i = word & 0xFFFFFFFF, word >> 32 & 0xFFFF, word >> 48 & 0xFFFF
        if address >> 62: address = 1 << 62
        if address + size > ADDRESSES: far = 1
        if flags & WRITE:
            chain.ins[ins, 0], chain.ins[ins, 1] = address, size
            if size: last = ins
            ins, room = ins + 1, room + size
        else:
            chain.outs[outs, 0], chain.outs[outs, 1] = address, size
            outs, given = outs + 1, given + size
        n += 1
        going = flags & NEXT != 0
    if room:
        chain.ins[last, 1] -= 1
        chain.status = chain.ins[last, 0] + chain.ins[last, 1]
    chain.out_rows, chain.in_rows, chain.given, chain.room, chain.far = outs, ins, given, room, far
    return True


def capability(at: int, after: int, kind: int, offset: int, length: int, *more: int) -> dict[int, tuple[int, int]]:
    """A capability of 4.1.4 as bytes of configuration space: part of BAR 4."""
    raw = struct.pack("<BBBBB3xII", 9, after, 16 + 4 * len(more), kind, 4, offset, length) + b"".join(m.to_bytes(4, "little") for m in more)
    return {at + i: (b, 0) for i, b in enumerate(raw)}


HEADER = Header(
    0x1AF4, 0x1001, 0x010000, 0, command=0, status=0x0010, subsystem=(0x1AF4, 2), pin=1, bars={0: Bar(64, IO), 4: Bar(0x4000)},
    registers={0x34: (0x40, 0), **capability(0x40, 0x50, 1, COMMON, 56), **capability(0x50, 0x64, 2, NOTIFY, 4, 0),
               **capability(0x64, 0x74, 3, ISR, 1), **capability(0x74, 0, 4, DEVICE, 64)})

# (offset, bytes, name), 4.1.4.3 and 4.1.4.8; names with a method `set_...` can be written
COMMON_FIELDS = ((0, 4, "feature_select"), (4, 4, "device_feature"), (8, 4, "driver_select"), (12, 4, "driver_feature"), (16, 2, "no_vector"),
                 (18, 2, "queues"), (20, 1, "status"), (21, 1, "generation"), (22, 2, "queue"), (24, 2, "queue_size"), (26, 2, "no_vector"),
                 (28, 2, "queue_enable"), (30, 2, "zero"), (32, 8, "descriptors"), (40, 8, "available"), (48, 8, "used"))
LEGACY_FIELDS = ((0, 4, "low_features"), (4, 4, "driver_low"), (8, 4, "frame"), (12, 2, "queue_size"), (14, 2, "queue"), (16, 2, "notify"),
                 (18, 1, "status"), (19, 1, "isr"))


@kernel
def take_isr(v):
    """Reading it takes the interrupt away."""
    isr = v.isr
    v.isr, v.INTA = 0, 0
    return isr


@kernel
def soon(v, now): return now + max(v.ips * WORK_US // 1_000_000, 1)


class VirtioBlk(Chip):
    """virtio block device"""
    WINDOWS = {COMMON: "registers", ISR: "isr", DEVICE: "device", NOTIFY: "notification"}      # of BAR 4, a page each
    ips = field(63, "ticks per guest second", reset=keep(0))
    INTA = pin_out("interrupt request, level")
    master = field(1, "bus master enable, as the board last took it from configuration space")
    status = field(8, "device status", names="NEEDS_RESET:6 FEATURES_OK:3 DRIVER_OK:2 DRIVER:1 ACKNOWLEDGE:0")
    isr = field(2, "ISR status: 0 queue, 1 configuration")
    feature_select = field(32, "which 32 device features are shown")
    driver_select = field(32, "which 32 driver features are written")
    driver_features = field(62, "features that the driver has taken")
    queue = field(16, "queue selected; there is 0")
    queue_size = field(16, "entries of queue 0", QUEUE_SIZE)
    queue_enable = field(1, "queue 0 is in use")
    descriptors = field(62, "address of the descriptor table")
    available = field(62, "address of the available ring")
    used = field(62, "address of the used ring")
    seen = field(16, "index of the next entry of the available ring")
    done = field(16, "index of the next entry of the used ring")
    work = deadline("the queue is looked at")
    header = HEADER
    SHEETS = {"chain": (part, CHAIN)}

    locals().update(bytewise("legacy", {i: f"legacy register byte {i:02X}h" for i in range(64)}, lambda v, i: v.legacy(i),
                             lambda v, i, value, now: v.set_legacy(i, value, now)))

    def __init__(self, name: str = "virtio") -> None:
        super().__init__(name)
        self.disks: list = [None]
        self.memory, self.geometry = None, (0, 0, 0)

    def attach(self, n: int, disk, geometry: tuple[int, int, int]) -> None:
        """Give it its disk, which has read(lba, n), read_into(lba, buffers), write(lba, data), sectors and write_protect."""
        self.disks[n], self.geometry = disk, geometry

    def configured(self, config) -> None: self.master = int(bool(config[COMMAND] & BUS_MASTER))

    # WHAT THE REGISTERS ARE
    @property
    def offered(self) -> int:
        """Device features (5.2.3, 6)."""
        disk = self.disks[0]
        return SEG_MAX | BLK_SIZE | FLUSH | ANY_LAYOUT | VERSION_1 | (RO if disk is not None and disk.write_protect else 0)

    def configuration(self) -> bytes:
        """5.2.4: capacity, size_max, seg_max, geometry, blk_size."""
        disk, (c, h, s) = self.disks[0], self.geometry
        return struct.pack("<QIIHBBI", disk.sectors if disk is not None else 0, 0, QUEUE_SIZE - 2, c, h, s, SECTOR).ljust(64, b"\0")

    def value(self, name: str) -> int:
        """A register by its name in the tables above."""
        match name:
            case "device_feature": return self.offered >> 32 * self.feature_select & 0xFFFFFFFF if self.feature_select < 2 else 0
            case "driver_feature": return self.driver_features >> 32 * self.driver_select & 0xFFFFFFFF if self.driver_select < 2 else 0
            case "low_features": return self.offered & 0xFFFFFFFF
            case "driver_low": return self.driver_features & 0xFFFFFFFF
            case "frame": return self.descriptors >> 12 & 0xFFFFFFFF if self.queue == 0 and self.queue_enable else 0
            case "queues": return 1
            case "no_vector": return 0xFFFF
            case "zero" | "generation" | "notify": return 0
            case "queue_size" | "queue_enable" | "descriptors" | "available" | "used" if self.queue: return 0    # there is no other queue
        return int(getattr(self, name))

    def put(self, name: str, v: int, now: int) -> None:
        match name:
            case "status":
                if v == 0: self.forget()
                elif v & FEATURES_OK and self.driver_features & ~self.offered: self.status = v & ~FEATURES_OK
                else: self.status = v
            case "driver_feature":
                if self.driver_select < 2:
                    shift = 32 * self.driver_select
                    self.driver_features = self.driver_features & ~(0xFFFFFFFF << shift) | (v & (0x3FFFFFFF if shift else 0xFFFFFFFF)) << shift
            case "driver_low": self.driver_features = v
            case "frame":
                if self.queue == 0: self.legacy_queue(v << 12)
            case "notify": self.work = soon(self, now)
            case "queue_size":
                if self.queue == 0 and 0 < v <= QUEUE_SIZE and not v & v - 1: self.queue_size = v
            case "queue_enable":
                if self.queue == 0: self.queue_enable = v & 1
            case "descriptors" | "available" | "used":
                if self.queue == 0: setattr(self, name, v & (1 << 62) - 1)
            case "feature_select" | "driver_select" | "queue": setattr(self, name, v)

    def legacy_queue(self, at: int) -> None:
        """2.4.2: descriptors, available ring and, from the next page on, the used ring."""
        self.seen = self.done = 0
        self.queue_enable, self.descriptors, self.available = int(at != 0), at, at + 16 * QUEUE_SIZE
        self.used = at + 16 * QUEUE_SIZE + 6 + 2 * QUEUE_SIZE + 4095 & ~4095

    def forget(self) -> None:
        """Device reset, by writing 0 to the status."""
        master = self.master
        self.reset()
        self.master = master

    def interrupt(self) -> None: self.isr, self.INTA = 1, 1

    # THE LEGACY INTERFACE, byte by byte
    def legacy(self, i: int) -> int:
        if i >= 20: return self.configuration()[i - 20]
        if i == 19: return take_isr(self)
        at, _, name = next(f for f in LEGACY_FIELDS if f[0] <= i < f[0] + f[1])
        v = QUEUE_SIZE if name == "queue_size" and self.queue == 0 else self.value(name)
        return v >> 8 * (i - at) & 0xFF

    def set_legacy(self, i: int, v: int, now: int) -> None:
        if i >= 19: return
        at, _, name = next(f for f in LEGACY_FIELDS if f[0] <= i < f[0] + f[1])
        if name in ("low_features", "queue_size") or name == "notify" and i != at: return
        old = self.descriptors >> 12 & 0xFFFFFFFF if name == "frame" else self.value(name)
        shift = 8 * (i - at)
        self.put(name, old & ~(0xFF << shift) | v << shift, now)

    # THE MODERN INTERFACE
    @memory_reads("registers")
    def get(self, address, size, now):
        raw = b"".join(self.value(name).to_bytes(n, "little") for _, n, name in COMMON_FIELDS)
        return int.from_bytes(raw[address & 0xFFF:(address & 0xFFF) + size], "little")

    @memory_writes("registers")
    def set(self, address, size, v, now):
        at, end = address & 0xFFF, (address & 0xFFF) + size
        for first, n, name in COMMON_FIELDS:
            if at >= first + n or end <= first: continue
            raw = bytearray(self.value(name).to_bytes(n, "little"))
            for i in range(max(at, first), min(end, first + n)): raw[i - first] = v >> 8 * (i - at) & 0xFF
            self.put(name, int.from_bytes(raw, "little"), now)

    @memory_reads("device", "configuration of the device")
    def get_configuration(self, address, size, now):
        return int.from_bytes(self.configuration()[address & 0xFFF:(address & 0xFFF) + size], "little")

    @memory_reads("isr", "ISR status")
    @kernel
    def get_isr(v, address, size, now): return take_isr(v) if address & 0xFFF == 0 else 0

    @memory_reads("notification", "nothing")
    @kernel
    def get_notification(v, address, size, now): return 0

    @memory_writes("notification", "queue notify")
    @kernel
    def notify(v, address, size, value, now): v.work = soon(v, now)

    # THE QUEUE
    @work.due
    def look(self, now: int) -> None:
        """Answer the requests that wait."""
        if not self.queue_enable or not self.status & DRIVER_OK or self.status & NEEDS_RESET or not self.master: return
        served = moved = 0
        seen, done, entries, chain = self.seen, self.done, min(self.queue_size, QUEUE_SIZE), self.chain
        chain["table"][:entries] = np.frombuffer(self.read(self.descriptors, 16 * entries), np.int64).reshape(-1, 2)
        flags, ahead = struct.unpack("<HH", self.read(self.available, 4))
        if ahead - seen & 0xFFFF > entries: return self.broken()
        while seen != ahead and served < MOST_REQUESTS and moved < MOST_BYTES:
            head, = struct.unpack("<H", self.read(self.available + 4 + 2 * (seen % entries), 2))
            if not chain(head, entries): return self.broken()
            n, size = self.request()
            self.write(self.used + 4 + 8 * (done % entries), struct.pack("<II", head, n & 0xFFFFFFFF))
            self.seen, self.done = seen, done = seen + 1 & 0xFFFF, done + 1 & 0xFFFF
            self.write(self.used + 2, struct.pack("<H", done))
            served, moved = served + 1, moved + size
        if served and not flags & NO_INTERRUPT: self.interrupt()
        if seen != ahead: self.work = soon(self, now)

    def broken(self) -> None:
        self.status |= NEEDS_RESET
        self.interrupt()

    def request(self) -> tuple[int, int]:
        """Do the request of the chain that was looked through; how many bytes the driver gets, and how many it has room for."""
        chain = self.chain
        given, room = chain["given"], chain["room"]
        size = given + room
        if given < 16 or room < 1 or size > 16 * MOST_BYTES: return 0, size               # no header, no place for the status
        data = memoryview(self.gather(chain["outs"][:chain["out_rows"]]))
        kind, _, sector = struct.unpack("<IIQ", data[:16])
        try:
            n, status = self.perform(kind, sector, data[16:], chain["ins"][:chain["in_rows"]], room - 1)
        except OSError:                                  # the host cannot read its file, or has no room for what is written
            n, status = 0, IOERR
        self.write(chain["status"], bytes([status]))
        return n + 1, size

    def perform(self, kind: int, sector: int, data: memoryview, ins: np.ndarray, room: int) -> tuple[int, int]:
        """How many bytes went to the driver, and the status."""
        disk = self.disks[0]
        if kind == DO_FLUSH: return 0, OK
        if kind == GET_ID: return self.answer(ins, f"NB{self.number:04d}0000".encode().ljust(20, b"\0")[:room]), OK
        if kind not in (READ_SECTORS, WRITE_SECTORS): return 0, UNSUPPORTED
        n, rest = divmod(room if kind == READ_SECTORS else len(data), SECTOR)
        if disk is None or rest or sector + n > disk.sectors or kind == WRITE_SECTORS and disk.write_protect: return 0, IOERR
        if kind == WRITE_SECTORS: disk.write(sector, data)
        elif not self.chain["far"]: self.memory.receive(ins, lambda buffers: disk.read_into(sector, buffers))
        else: self.answer(ins, disk.read(sector, n))
        return room if kind == READ_SECTORS else 0, OK

    # MEMORY: of the guest's 64 bits there are 32
    def gather(self, places: np.ndarray) -> bytes:
        if len(places) > 1 and not self.chain["far"]: return self.memory.gather(places)
        return b"".join(self.read(address, n) for address, n in places.tolist())

    def answer(self, places: np.ndarray, data: bytes) -> int:
        """Data into the driver's descriptors."""
        at = 0
        for address, n in places.tolist():
            self.write(address, data[at:at + n])
            at += n
        return len(data)

    def read(self, address: int, n: int) -> bytes:
        return self.memory.read(address, n) if address + n <= ADDRESSES else b"\xFF" * n

    def write(self, address: int, data: bytes) -> None:
        if address + len(data) <= ADDRESSES: self.memory.write(address, data)

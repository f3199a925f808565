"""Intel 8237A DMA controller with page registers.   Data sheet 231466-005; IBM PC/AT Technical Reference (1984).

    address (A0-A15)  +--------------+  Each channel has a base and a current address and count; a write sets both, a
    page    (A16-A23) |  channel 0-3 |  read shows the current one, low byte first (one flip-flop for all).  Count + 1
    DREQ  --->        |  mode, mask  |  units are moved; then TC, and the channel masks itself, or with auto-initialise
    DACK, TC <---     +--------------+  begins again.  The address wraps in its 64K (128K) page; the page is fixed.

    offset  0 2 4 6 address   1 3 5 7 count   8 status, command   9 request   A one mask bit   B mode
            C clear flip-flop   D temporary, master clear   E clear mask   F all mask bits (read: the 82374's way)
    strap `wide`: the second 8237 of the AT moves words; its A0 is the bus's A1, its ports lie two apart (bank "wide").
    bank "pages" at 80h: 87 83 81 82 of channels 0-3; bank "wide pages": 8F 8B 89 8A of channels 4-7.

A device moves its bytes through a `Channel`, given to it at the wiring; the first 8237 asks through channel 4 of the
second (cascade).

Not emulated: memory-to-memory, the cycles themselves (a device moves a sector at once: priority, compressed timing
and extended write have nothing to do), software requests without a device (the bit is kept and shown).
"""
from __future__ import annotations

from typing import Protocol

from .chip import Chip, buffer, field, keep, kernel, parts, pins_in, reads, writes

VERIFY, TO_MEMORY, FROM_MEMORY = 0, 1, 2                 # mode bits 3-2; TO_MEMORY is the data sheet's "write transfer"
CASCADE = 3                                              # mode bits 7-6


class Memory(Protocol):
    """Guest-physical memory, as a channel needs it."""
    def read(self, phys: int, n: int) -> bytes: ...
    def write(self, phys: int, data: bytes) -> None: ...


class DmaChannel(Chip):
    """one channel of an 8237"""
    base_address = field(16, "base address")
    base_count = field(16, "base word count: units to move, minus 1")
    address = field(16, "current address")
    count = field(16, "current word count")
    mode = field(6, "mode register bits 7-2", names="MODE:5-4 DECREMENT:3 AUTO:2 TRANSFER:1-0")
    page = field(8, "page register: A16-A23")


# PORTS

@kernel
def low_high(old, v, high): return old & 0x00FF | v << 8 if high else old & 0xFF00 | v


def register(i, count):
    """The four ports of a channel's address or count, in both banks."""
    offset, what = 2 * i + count, "count" if count else "address"

    @reads(offset, f"channel {i}: current {what}")
    @reads(2 * offset, f"channel {i}: current {what}", bank="wide")
    @kernel
    def read(dma, now):
        high, dma.flip_flop = dma.flip_flop, 1 - dma.flip_flop
        v = dma.channel[i].count if count else dma.channel[i].address
        return v >> 8 if high else v & 0xFF

    @writes(offset, f"channel {i}: base and current {what}")
    @writes(2 * offset, f"channel {i}: base and current {what}", bank="wide")
    @kernel
    def write(dma, v, now):
        high, dma.flip_flop = dma.flip_flop, 1 - dma.flip_flop
        c = dma.channel[i]
        if count: c.base_count = c.count = low_high(c.base_count, v, high)
        else: c.base_address = c.address = low_high(c.base_address, v, high)
    return read, write


def page_register(i, port, wide):
    @reads(port, f"page of channel {i + 4 * wide}", bank="wide pages" if wide else "pages")
    @kernel
    def read(dma, now): return dma.channel[i].page

    @writes(port, f"page of channel {i + 4 * wide}", bank="wide pages" if wide else "pages")
    @kernel
    def write(dma, v, now): dma.channel[i].page = v
    return read, write


def spare_register(port):
    @reads(port, "a byte of the page register file that belongs to no channel", bank="pages")
    @kernel
    def read(dma, now): return int(dma.spare[port])

    @writes(port, "a byte of the page register file that belongs to no channel", bank="pages")
    @kernel
    def write(dma, v, now): dma.spare[port] = v
    return read, write


def many_registers():
    """{name: method} of the ports that come in fours."""
    made = {f"address_{i}": register(i, 0) for i in range(4)} | {f"count_{i}": register(i, 1) for i in range(4)}
    made |= {f"page_{i}": page_register(i, port, False) for i, port in enumerate((7, 3, 1, 2))}
    made |= {f"page_{i + 4}": page_register(i, port, True) for i, port in enumerate((15, 11, 9, 10))}
    made |= {f"spare_{port}": spare_register(port) for port in (4, 5, 6, 8, 12, 13, 14)}
    return {at + name: f for name, pair in made.items() for at, f in zip(("", "set_"), pair)}


class Dma8237(Chip):
    """8237A DMA controller"""
    channel = parts(4, DmaChannel, "the four channels")
    DREQ = pins_in(4, "requests of the devices")
    command = field(8, "command register",
                    names="DACK_HIGH:7 DREQ_LOW:6 EXTENDED:5 ROTATING:4 COMPRESSED:3 OFF:2 HOLD:1 MEM_TO_MEM:0")
    mask = field(4, "mask register, 1: the channel is off", reset=15)
    request = field(4, "request register: software requests")
    tc = field(4, "channels that have reached terminal count since the last look")
    flip_flop = field(1, "the next byte is the high one")
    wide = field(1, "moves words: A0 is the bus's A1", reset=keep(0))
    spare = buffer(16, "page registers that belong to no channel")

    def __init__(self, name: str, wide: bool = False) -> None:
        super().__init__(name)
        self.strap = int(wide)

    def power_on(self) -> None:
        super().power_on()
        self.wide = self.strap

    locals().update(many_registers())

    @reads(8, "status: requests in bits 7-4, terminal counts in 3-0")
    @reads(16, "status: requests in bits 7-4, terminal counts in 3-0", bank="wide")
    @kernel
    def status(dma, now):
        v = (dma.DREQ | dma.request) << 4 | dma.tc
        dma.tc = 0
        return v

    @writes(8, "command")
    @writes(16, "command", bank="wide")
    @kernel
    def set_command(dma, v, now): dma.command = v

    @writes(9, "request: channel in bits 1-0, bit 2 sets")
    @writes(18, "request: channel in bits 1-0, bit 2 sets", bank="wide")
    @kernel
    def set_request(dma, v, now):
        bit = 1 << (v & 3)
        dma.request = dma.request | bit if v & 4 else dma.request & ~bit

    @writes(10, "single mask: channel in bits 1-0, bit 2 sets")
    @writes(20, "single mask: channel in bits 1-0, bit 2 sets", bank="wide")
    @kernel
    def set_mask(dma, v, now):
        bit = 1 << (v & 3)
        dma.mask = dma.mask | bit if v & 4 else dma.mask & ~bit

    @writes(11, "mode: channel in bits 1-0")
    @writes(22, "mode: channel in bits 1-0", bank="wide")
    @kernel
    def set_mode(dma, v, now):
        dma.channel[v & 3].mode = v >> 2
        dma.request &= ~(1 << (v & 3))

    @writes(12, "clear the byte flip-flop")
    @writes(24, "clear the byte flip-flop", bank="wide")
    @kernel
    def clear_flip_flop(dma, v, now): dma.flip_flop = 0

    @reads(13, "temporary register")
    @reads(26, "temporary register", bank="wide")
    @kernel
    def temporary(dma, now): return 0

    @writes(13, "master clear")
    @writes(26, "master clear", bank="wide")
    @kernel
    def master_clear(dma, v, now):
        dma.command = dma.request = dma.tc = dma.flip_flop = 0
        dma.mask = 15

    @writes(14, "clear all mask bits")
    @writes(28, "clear all mask bits", bank="wide")
    @kernel
    def clear_mask(dma, v, now): dma.mask = 0

    @reads(15, "all mask bits")
    @reads(30, "all mask bits", bank="wide")
    @kernel
    def all_masks(dma, now): return 0xF0 | dma.mask

    @writes(15, "all mask bits")
    @writes(30, "all mask bits", bank="wide")
    @kernel
    def set_all_masks(dma, v, now): dma.mask = v & 15

    # TRANSFERS
    def ready(self, n: int) -> bool:
        """Whether the controller would answer a request of channel n now."""
        return not self.OFF and not self.mask >> n & 1

    def pieces(self, n: int, size: int) -> tuple[list[tuple[int, int, int]], bool]:
        """Count `size` bytes on channel n: [(physical address, bytes, step)] in the order of moving; whether TC came.

        Never goes beyond TC, so the pieces may be shorter than asked; under auto-initialise one more call begins the
        next block.
        """
        c, unit = self.channel[n], 1 + self.wide
        units = min(size // unit, c.count + 1)
        at, left, out, step = c.address, units, [], -unit if c.DECREMENT else unit
        base = (c.page & 0xFE) << 16 if self.wide else c.page << 16
        while left:
            run = min(left, at + 1 if c.DECREMENT else 0x10000 - at)     # up to the end of the page
            out.append((base + at * unit, run * unit, step))
            at, left = (at - run if c.DECREMENT else at + run) & 0xFFFF, left - run
        done = units == c.count + 1
        c.address, c.count = at, (c.count - units) & 0xFFFF
        if done: self._terminal_count(n, c)
        return out, done

    def _terminal_count(self, n: int, c: DmaChannel) -> None:
        self.tc |= 1 << n
        self.request &= ~(1 << n)
        if c.AUTO: c.address, c.count = c.base_address, c.base_count
        else: self.mask |= 1 << n


class Channel:
    """The way from one device to memory: `Channel(dma1, 2, memory, through=(dma2, 0))` is DRQ2 of a PC/AT."""

    def __init__(self, dma: Dma8237, n: int, memory: Memory, through: tuple[Dma8237, int] | None = None) -> None:
        if not 0 <= n < 4:
            raise ValueError(f"an 8237 has channels 0 to 3, not {n!r}; channels 5-7 of a PC are 1-3 of the second one")
        self.dma, self.n, self.memory, self.through = dma, n, memory, through

    @property
    def ready(self) -> bool:
        """Whether a request would be answered: channel and controller are on, and so is the cascade."""
        if self.through:
            dma, n = self.through
            if not dma.ready(n) or dma.channel[n].MODE != CASCADE: return False
        return self.dma.ready(self.n)

    @property
    def unit(self) -> int: return 1 + self.dma.wide

    def give(self, data: bytes) -> tuple[int, bool]:
        """The device gives bytes to memory.  Answers how many were taken (up to TC), and whether TC came."""
        if not self.ready: return 0, False
        pieces, tc = self.dma.pieces(self.n, len(data))
        at = 0
        for phys, n, step in pieces:
            if self.dma.channel[self.n].TRANSFER == TO_MEMORY:
                if step > 0: self.memory.write(phys, data[at:at + n])
                else: self.memory.write(phys - n - step, _turned(data[at:at + n], -step))
            at += n
        return at, tc

    def take(self, n: int) -> tuple[bytes, bool]:
        """The device takes n bytes from memory.  Answers them (fewer when TC came), and whether TC came."""
        if not self.ready: return b"", False
        pieces, tc = self.dma.pieces(self.n, n)
        out = []
        for phys, size, step in pieces:
            if self.dma.channel[self.n].TRANSFER != FROM_MEMORY: out.append(b"\xFF" * size)  # nobody drives the bus
            elif step > 0: out.append(bytes(self.memory.read(phys, size)))
            else: out.append(_turned(bytes(self.memory.read(phys - size - step, size)), -step))
        return b"".join(out), tc


def _turned(data: bytes, unit: int) -> bytes:
    """Units in the opposite order."""
    return b"".join(data[i:i + unit] for i in range(len(data) - unit, -1, -unit))

"""PCI: what a function shows to configuration cycles.   Data sheet: PCI Local Bus Specification 2.1, chapter 6.

        31              16 15               0
    00h | device id       | vendor id       |      Every function has 256 bytes like these.  A function's file declares them once,
    04h | status          | command         |          header = Header(0x8086, 0x7113, 0x068000, ...)
    08h | class code            | revision  |      and the bridge keeps them (i440fx.py): a configuration cycle is answered from
    0Ch | BIST   | header | latency | line  |      there, byte by byte, by four tables of 256 bytes:
    10h | base address registers 0-5        |
        |    address bits down to the size  |          config     what a read gives
    2Ch | subsystem id    | subsystem vendor|          writable   bits that a write changes
    30h | expansion ROM base       | enable |          clears     bits that a written 1 clears (status registers)
    3Ch | max lat | min gnt | pin | line    |          remaps     bytes whose change moves memory, ports or interrupt routes

Sizing falls out of it: of FFFFFFFFh written to a base address register only the writable bits come back, above the type bits.
A change of a `remaps` byte raises the bridge's REMAP, and the board asks all functions again where they are; a chip with a method
`configured(config)` is then shown its 256 bytes.

Not emulated: 64-bit base addresses, capability lists that do something, parity and bus-master aborts, cycles to buses other than 0.
"""
from dataclasses import dataclass

from .chip import Chip, buffer, kernel

COMMAND, STATUS, ROM, LINE, PIN = 0x04, 0x06, 0x30, 0x3C, 0x3D
IO_SPACE, MEMORY_SPACE, BUS_MASTER = 1, 2, 4
IO, MEMORY, PREFETCHABLE = 1, 0, 8                        # type bits of a base address register


@dataclass(frozen=True)
class Bar:
    """A base address register: `size` bytes (a power of two) of "memory", "prefetchable" memory or "io" ports."""
    size: int
    kind: int = MEMORY

    def __post_init__(self):
        least = 4 if self.kind == IO else 16
        if self.size < least or self.size & self.size - 1:
            raise ValueError(f"a base address register decodes a power of two of at least {least} bytes, not {self.size}")


class Header:
    """The configuration space of a function as its data sheet gives it.

    bars: {number: Bar}; rom: size of the expansion ROM in bytes; pin: 1-4 for INTA#-INTD#; subsystem: (vendor, id);
    registers: {offset: (reset value, writable mask)} of the function's own bytes, `remaps` the offsets whose change moves a map.
    """

    def __init__(self, vendor, device, class_code, revision=0, *, command=0, command_mask=IO_SPACE | MEMORY_SPACE | BUS_MASTER,
                 status=0, header_type=0, subsystem=(0, 0), bars=None, rom=0, pin=0, registers=None, remaps=()):
        self.bars, self.rom = dict(bars or {}), rom
        self.reset, self.writable, self.clears, self.remaps = (bytearray(256) for _ in range(4))
        self.word(0x00, vendor, 0, 2), self.word(0x02, device, 0, 2)
        self.word(COMMAND, command, command_mask, 2)
        self.word(STATUS, status, 0, 2)
        self.clears[STATUS + 1] = 0xF9                    # the error bits 15-11 and 8 are cleared by writing 1
        self.word(0x08, class_code << 8 | revision, 0, 4)
        self.word(0x0E, header_type, 0, 1)
        self.word(0x2C, subsystem[0], 0, 2), self.word(0x2E, subsystem[1], 0, 2)
        for n, bar in self.bars.items(): self.word(0x10 + 4 * n, bar.kind, -bar.size & 0xFFFFFFFF, 4)
        if rom: self.word(ROM, 0, -rom & 0xFFFFF800 | 1, 4)
        self.word(LINE, 0, 0xFF if pin else 0, 1), self.word(PIN, pin, 0, 1)
        for offset, (value, mask) in (registers or {}).items(): self.word(offset, value, mask, 1)
        for r in (COMMAND, *range(0x10, 0x28), *range(ROM, ROM + 4), *remaps): self.remaps[r] = 1

    def word(self, offset, value, mask, size):
        """Declare `size` bytes: their value at reset, and the bits that can be written."""
        self.reset[offset:offset + size] = value.to_bytes(size, "little")
        self.writable[offset:offset + size] = mask.to_bytes(size, "little")


@kernel
def config_read(f, register, size):
    """A configuration read of 1, 2 or 4 bytes."""
    v = 0
    for i in range(size): v |= (f.config[register + i] + 0) << 8 * i
    return v


@kernel
def config_write(f, register, size, v):
    """A configuration write; 1 when it changed where something is."""
    moved = 0
    for i in range(size):
        r, byte = register + i, v >> 8 * i & 255
        old, can = f.config[r] + 0, f.writable[r] + 0
        new = (old & (255 ^ can) | byte & can) & (255 ^ byte & f.clears[r])
        f.config[r] = new
        if new != old: moved |= f.remaps[r] + 0
    return moved


class PciFunction(Chip):
    """configuration space of one PCI function"""
    config = buffer(256, "the 256 bytes")
    writable = buffer(256, "bits that a write changes")
    clears = buffer(256, "bits that a written 1 clears")
    remaps = buffer(256, "1: a change moves memory, ports or interrupt routes")
    config.reset = writable.reset = clears.reset = remaps.reset = 0        # unlike other buffers, RESET writes them: see `load`
    header = None

    def load(self, header):
        """Become this function, in its state after RST#."""
        self.header = header
        self.config[:], self.writable[:], self.clears[:], self.remaps[:] = header.reset, header.writable, header.clears, header.remaps

    def long(self, register): return int.from_bytes(self.config[register:register + 4], "little")

    def bar(self, n):
        """Where base address register n decodes now: an address, or None while decoding is off or no address was given."""
        bar = self.header.bars.get(n)
        if bar is None: return None
        enabled = self.config[COMMAND] & (IO_SPACE if bar.kind == IO else MEMORY_SPACE)
        address = self.long(0x10 + 4 * n) & -bar.size
        return address if enabled and address and address + bar.size < 1 << (16 if bar.kind == IO else 32) else None

    def rom(self):
        """Where the expansion ROM decodes now, or None."""
        if not self.header.rom or not self.config[COMMAND] & MEMORY_SPACE or not self.config[ROM] & 1: return None
        return self.long(ROM) & -self.header.rom & 0xFFFFF800 or None

"""The APICs of the board: the processor's local APIC and an I/O APIC, with the bus between them.   Data sheet: Intel 82093AA 290566-001.

    INTIN0 8259   1 keyboard   2 timer   3-15 as ISA IRQ n   16-23 free      FEC00000  IOREGSEL: which register
                                                                              FEC00010  IOWIN: its 32 bits
    01 version    00 id    02 arbitration    10+2n, 11+2n redirection entry n
    entry   63-56 destination   16 mask   15 level   14 remote IRR   13 polarity   11 logical   10-8 delivery mode   7-0 vector

    edge    a rise of an open pin is one message; of a masked one, nothing
    level   a message while the pin is high and Remote IRR is clear; EOI of the vector clears it, and a pin still high asks again

Messages go over at once, so both chips are one here: lapic.py has the half of the processor, which this one extends.

Not emulated: polarity (wires here are high when they ask, whatever the board of a real PC does), SMI and INIT messages, the serial bus and its
arbitration, the EOI register of later versions.
"""
import numpy as np

from .chip import Chip, field, kernel, memory_reads, memory_writes, parts, pins_in, reads
from .lapic import EXTINT, LocalApic, accept, matches, take, update, write_register

BASE, PINS = 0xFEC00000, 24
ENTRY_BITS = 0x1AFFF                                     # that a write changes: not delivery status, not Remote IRR
MASK, LEVEL, REMOTE_IRR = 1 << 16, 1 << 15, 1 << 14


class Redirection(Chip):
    """one entry of the redirection table"""
    low = field(17, "mask, trigger, polarity, destination mode, delivery mode, vector", MASK)
    destination = field(8, "APIC ID, or set of logical ones")


@kernel
def ask(c, n, now):
    """A message for pin n, if its entry lets it go."""
    e = c.entry[n]
    v, mode, bit = e.low, e.low >> 8 & 7, 1 << n
    c.ext_pins &= ~bit
    if v & MASK or matches(c, e.destination, v >> 11 & 1) == 0: return
    if mode == EXTINT:
        if c.INTIN & bit: c.ext_pins |= bit
        update(c)
    elif v & LEVEL == 0: accept(c, mode, v & 255, 0, now)
    elif c.INTIN & bit and v & REMOTE_IRR == 0:
        e.low = v | REMOTE_IRR
        accept(c, mode, v & 255, 1, now)


@kernel
def served(c, vector, now):
    """EOI of a level."""
    for n in range(PINS):
        e = c.entry[n]
        if e.low & LEVEL and e.low & REMOTE_IRR and e.low & 255 == vector:
            e.low &= ~REMOTE_IRR
            ask(c, n, now)


@kernel
def line_of(c, vector):
    """The ISA line that sends this vector, + 1; 0: none."""
    for n in range(16):
        if c.entry[n].low & MASK == 0 and c.entry[n].low & 255 == vector: return 1 if n == 2 else n + 1
    return 0


class Apic(LocalApic):
    """local APIC and I/O APIC"""
    INTIN = pins_in(PINS, "interrupt inputs of the I/O APIC")
    select = field(8, "IOREGSEL")
    io_id = field(4, "I/O APIC ID")
    entry = parts(PINS, Redirection, "redirection table")

    def reset_local(self):
        """INIT of the processor: its local APIC keeps its ID (SDM vol. 3, 11.4.7.3) and its base; the I/O APIC is a chip of its own."""
        words, kept = np.asarray(self.w), (self.ext_pins, self.apic_id, self.base)
        io = words[LocalApic.words:].copy()
        self.reset()
        words[LocalApic.words:] = io
        self.ext_pins, self.apic_id, self.base = kept
        update(self)

    @INTIN.changed
    @kernel
    def asked(c, n, level, now):
        low = c.entry[n].low
        if level or low >> 8 & 7 == EXTINT: ask(c, n, now)

    @reads(0, "INTA: the vector, with its ISA line + 1 in bits 8 and up, or -1: the 8259s are asked", bank="inta")
    @kernel
    def intack(c, now):
        v = take(c)
        return v if v < 0 else v | line_of(c, v) << 8

    @memory_reads("io", "IOREGSEL, IOWIN")
    @kernel
    def read_io(c, address, size, now):
        if address & 0xFF == 0: return c.select
        if address & 0xFF != 0x10: return 0
        r, v = c.select, 0
        if r == 0 or r == 2: v = c.io_id << 24
        elif r == 1: v = 0x11 | (PINS - 1) << 16
        elif 0x10 <= r < 0x10 + 2 * PINS:
            e = c.entry[(r - 0x10) >> 1]
            v = e.destination << 24 if r & 1 else e.low
        return v & ((1 << 8 * size) - 1)

    @memory_writes("io", "IOREGSEL, IOWIN")
    @kernel
    def write_io(c, address, size, v, now):
        r = c.select
        if address & 0xFF == 0: c.select = v & 255
        elif address & 0xFF != 0x10 or size != 4: return
        elif r == 0: c.io_id = v >> 24 & 15
        elif 0x10 <= r < 0x10 + 2 * PINS:
            n = (r - 0x10) >> 1
            e = c.entry[n]
            if r & 1: e.destination = v >> 24
            else:
                e.low = v & ENTRY_BITS | (e.low & REMOTE_IRR if v & LEVEL else 0)
                if v & LEVEL or v >> 8 & 7 == EXTINT or c.ext_pins >> n & 1:
                    ask(c, n, now)
                    update(c)

    @memory_writes("local", "registers, 32 bits at a time; EOI goes to the I/O APIC")
    @kernel
    def write_local(c, address, size, v, now):
        if size == 4 and address & 15 == 0:
            vector = write_register(c, address >> 4 & 255, v, now)
            if vector >= 0: served(c, vector, now)

    def rows(self):
        """The card: after the fields, the open pins and the vectors under way."""
        yield from super().rows()
        for n, e in enumerate(self.entry):
            if e.low & MASK == 0:
                sense = "level" if e.low & LEVEL else "edge"
                yield f"INTIN{n}", f"{e.low & 255:02X}h", {}, f"{sense}, mode {e.low >> 8 & 7}, to {e.destination:02X}h"

"""The bus: how jitted code talks to chips of which it knows nothing but addresses.

The board fills these tables (board/backplane.py, hot.py); no device is imported here.  In jitted code `bus` is an int64,
the address of a header of addresses: `Bus.address`.  A *door* is one method of one chip, compiled:

    doors   (function, record, chip, sample, controller)   i64 function(record, a, b, c, now); function 0: only Python can
                  read port (0, 0, 0)   write port (value, 0, 0)   pin (n, level, 0)   deadline (0, 0, 0)
                  read memory (address, size, 0)   write memory (address, size, value)
    ports   [0 read, 1 write][log2 size][port] -> door, int16.  Door 0: nobody is there
    mmio    [region] -> (read door, write door, first physical address)
    dues    (word of the deadline, door)
    pins    (word, bit, first source, end of sources, door), by the chip that drives the pin: rows pin_rows[chip] on.
            A pin with two drivers has two rows; rows of the last, nameless chip are pins that nothing drives but a hand
    sources (word, bit), or-ed
    bursts  (port door, address of a buffer, its bytes, words: next byte, end, phase; the phase)   see `burst`
    samples (function, record, word, bit)   a level that is a function of time, looked at before a chip is entered

An input that is not the OR of what drives it is set, and its chip told; and again, always the first row that differs,
until none does: as `Backplane` does in Python.  Only rows of chips that were entered can differ, so no others are looked
at.  A door of an interrupt controller (irq_trace.py) has its edges noted when it is left.

words[NOW] is the tick of the access: whoever calls has let pass what was due before (`advance_to`).
"""
import ctypes
import functools
from types import SimpleNamespace

import numpy as np

from . import irq_trace, unit
from .cache import compiled
from .irq_trace import LINES, note_accept, note_edges, note_frame, note_iret
from .raw import call, copy, record_at
from .stretches import stretches
from .tables import at, at16, put

NOW, IPS, UNSETTLED = range(3)                           # words: tick, ticks per guest second, wires wait for Python
READ, WRITE = range(2)
NEVER = 1 << 62
PYTHON = 1 << 40                                         # a read that only Python can do; nothing has been done
INTA = 0x10000                                           # of the master 8259; of the slave on its line n, INTA + n
APIC_INTA = 0x10009                                      # of the local APIC, before theirs
PORTS = 0x1000C                                          # ports, and what else the processor says to chips (raw.py)
ALL = -1                                                 # every chip may have moved
TABLES = "ports", "doors", "mmio", "dues", "pins", "pin_rows", "sources", "samples", "bursts"
HEADER = np.dtype(irq_trace.HEADER.descr + [(n, "i8") for n in (*TABLES, "due_rows", "chips", "burst_rows")])

header = record_at(HEADER)


class Bus:
    """The tables, as numpy arrays by their names; `address` for jitted code."""
    def __init__(self, **tables):
        self.__dict__.update({n: np.ascontiguousarray(t) for n, t in tables.items()})
        self.header = np.zeros(1, HEADER)
        for n in (*irq_trace.HEADER.names, *TABLES): self.header[n] = getattr(self, n).ctypes.data
        self.header["due_rows"], self.header["chips"], self.header["burst_rows"] = len(self.dues), len(self.pin_rows) - 1, len(self.bursts)
        self.address = self.header.ctypes.data

    def resize_trace(self, rows):
        """A fresh ring of that many rows for the interrupt trace."""
        self.ring = np.zeros((rows, irq_trace.COLUMNS), np.int64)
        self.header["ring"] = self.ring.ctypes.data
        self.irq[irq_trace.ROWS], self.irq[irq_trace.HEAD] = rows, 0


# WORDS: what the engine asks after an access

@compiled
def word(bus, i): return at(header(bus).words, i)


@compiled
def set_word(bus, i, v): put(header(bus).words, i, v)


@compiled
def tell(bus, i, v):
    """Tell the interrupt trace: state[CS], state[EIP], state[RETIRED]."""
    put(header(bus).irq, i, v)


# WIRES

@compiled
def differs(bus, chip):
    """The first row of a chip whose pin does not show what drives it; -1: none."""
    h = header(bus)
    for row in range(at(h.pin_rows, chip), at(h.pin_rows, chip + 1)):
        p, level = h.pins + 40 * row, 0
        for i in range(at(p, 2), at(p, 3)): level |= at(h.words, at(h.sources, 2 * i)) >> at(h.sources, 2 * i + 1)
        if (at(h.words, at(p, 0)) >> at(p, 1) ^ level) & 1: return row
    return -1


@compiled
def next_change(bus, dirty):
    """The first row that differs, of the chips with a bit in dirty; -1: none."""
    for chip in range(header(bus).chips):
        if dirty >> chip & 1:
            row = differs(bus, chip)
            if row >= 0: return row
    return -1


@compiled
def settle(bus, dirty):
    """Let the wires carry what the outputs of these chips show.  0: done; 1: stopped at a chip that only Python can tell."""
    h = header(bus)
    while True:
        row = next_change(bus, dirty)
        if row < 0: return 0
        p = h.pins + 40 * row
        i, bit, door = at(p, 0), at(p, 1), at(p, 4)
        if door and at(h.doors, 5 * door) == 0:
            put(h.words, UNSETTLED, 1)
            return 1
        put(h.words, i, at(h.words, i) ^ 1 << bit)
        if door:
            enter(bus, door, bit, at(h.words, i) >> bit & 1, 0)
            dirty |= 1 << at(h.doors, 5 * door + 2)


@compiled
def enter(bus, door, a, b, c):
    h = header(bus)
    d = h.doors + 40 * door
    if at(d, 3): look(bus, at(d, 3))
    v = call(at(d, 0), at(d, 1), a, b, c, at(h.words, NOW))
    if at(d, 4): note_edges(bus, at(d, 4))
    return v


@compiled
def look(bus, sample):
    """Put the level that the pin has now where its chip will read it."""
    h = header(bus)
    s = h.samples + 32 * sample
    i, bit = at(s, 2), at(s, 3)
    level = call(at(s, 0), at(s, 1), 0, 0, 0, at(h.words, NOW))
    put(h.words, i, at(h.words, i) & ~(1 << bit) | level << bit)


@compiled
def access(bus, door, a, b, c):
    """Enter a chip and let the wires move."""
    v = enter(bus, door, a, b, c)
    chip = at(header(bus).doors, 5 * door + 2)
    if differs(bus, chip) >= 0: settle(bus, 1 << chip)
    return v


# TIME

@compiled
def earliest(bus):
    """The row of the first deadline, -1 if nothing will fall due."""
    h = header(bus)
    best, row = NEVER, -1
    for i in range(h.due_rows):
        when = at(h.words, at(h.dues, 2 * i))
        if when < best: best, row = when, i
    return row


@compiled
def next_deadline(bus):
    """The tick at which something falls due, NEVER if nothing will."""
    h = header(bus)
    if at(h.words, UNSETTLED): return at(h.words, NOW)
    row = earliest(bus)
    return at(h.words, at(h.dues, 2 * row)) if row >= 0 else NEVER


@compiled
def advance_to(bus, tick):
    """Let time pass up to and including this tick.  0: done; 1: stopped at words[NOW], Python must do what is due."""
    h = header(bus)
    while True:
        if at(h.words, UNSETTLED): return 1
        row = earliest(bus)
        if row < 0: break
        i, door = at(h.dues, 2 * row), at(h.dues, 2 * row + 1)
        if at(h.words, i) > tick: break
        put(h.words, NOW, max(at(h.words, i), at(h.words, NOW)))
        if at(h.doors, 5 * door) == 0: return 1
        put(h.words, i, NEVER)
        access(bus, door, 0, 0, 0)
    put(h.words, NOW, max(tick, at(h.words, NOW)))
    return 0


# PORTS AND MEMORY

@compiled
def door_at(bus, kind, size, port):
    return at16(header(bus).ports, (3 * kind + (size >> 1)) * PORTS + port)


@compiled
def only_python(bus, door):
    return door and at(header(bus).doors, 5 * door) == 0


@compiled
def bytes_only_python(bus, kind, size, port):
    for i in range(size):
        if only_python(bus, door_at(bus, kind, 1, (port + i) & 0xFFFF)): return True
    return False


@compiled
def port_read(bus, port, size):
    """The value of `size` bytes (1, 2, 4) at a port, or PYTHON."""
    door = door_at(bus, READ, size, port)
    if door: return PYTHON if only_python(bus, door) else access(bus, door, 0, 0, 0)
    if size == 1: return 0xFF
    if bytes_only_python(bus, READ, size, port): return PYTHON
    v = 0
    for i in range(size):
        door = door_at(bus, READ, 1, (port + i) & 0xFFFF)
        byte = access(bus, door, 0, 0, 0) if door else 0xFF
        v |= byte << 8 * i
    return v


@compiled
def port_write(bus, port, size, value):
    """0: done; 1: only Python can, and nothing has been done."""
    door = door_at(bus, WRITE, size, port)
    if door:
        if only_python(bus, door): return 1
        access(bus, door, value, 0, 0)
    elif size > 1:
        if bytes_only_python(bus, WRITE, size, port): return 1
        for i in range(size):
            door = door_at(bus, WRITE, 1, (port + i) & 0xFFFF)
            if door: access(bus, door, value >> 8 * i & 255, 0, 0)
    return 0


@compiled
def burst(bus, kind, port, size, n, host):
    """Up to n elements of `size` bytes between a port and host memory, while they do nothing but pass: in the phase that the row
    names, bytes of the chip's buffer from its word "next" on, less than up to its word "end".  Answers how many passed."""
    h, door = header(bus), door_at(bus, kind, size, port)
    if door == 0: return 0
    for i in range(h.burst_rows):
        row = h.bursts + 56 * i
        if at(row, 0) != door or at(h.words, at(row, 5)) != at(row, 6): continue
        first, end = at(h.words, at(row, 3)), min(at(h.words, at(row, 4)), at(row, 2))
        n = min(n, (end - first - 1) // size)
        if first < 0 or n <= 0: return 0
        if kind == READ: copy(host, at(row, 1) + first, n * size)
        else: copy(at(row, 1) + first, host, n * size)
        put(h.words, at(row, 3), first + n * size)
        return n
    return 0


@compiled
def mmio_read(bus, region, address, size):
    """The value of `size` bytes (1, 2, 4) at a physical address of a region, or PYTHON."""
    m = header(bus).mmio + 24 * region
    if at(m, 0) == 0: return (1 << 8 * size) - 1
    if only_python(bus, at(m, 0)): return PYTHON
    return access(bus, at(m, 0), address - at(m, 2), size, 0)


@compiled
def mmio_write(bus, region, address, size, value):
    """As port_write."""
    m = header(bus).mmio + 24 * region
    if at(m, 1) == 0: return 0
    if only_python(bus, at(m, 1)): return 1
    access(bus, at(m, 1), address - at(m, 2), size, value)
    return 0


@compiled
def acknowledge(bus):
    """The INTA cycles: the vector.  The APIC, if there is one, leaves it to the 8259s by answering -1; the master leaves the bus to
    the slave on line n by answering -1 - n."""
    if door_at(bus, READ, 1, APIC_INTA):
        v = port_read(bus, APIC_INTA, 1)
        if v >= 0:
            note_accept(bus, (v >> 8) - 1, v & 255, LINES + (v & 255))
            return v & 255
    v = port_read(bus, INTA, 1)
    line = v & 7
    if v < 0:
        v = port_read(bus, INTA - 1 - v, 1)
        line = 8 | v & 7
    if v < PYTHON: note_accept(bus, line, v, line)
    return v


# FOR PYTHON: functions of words, the address of a bus the first, but for `stretches`

WIRES = {f.__name__: (f, None, n) for f, n in ((earliest, 1), (next_change, 2), (settle, 2), (next_deadline, 1), (note_edges, 2),
                                               (note_accept, 4), (note_frame, 2), (note_iret, 2), (stretches, 5))}


@functools.cache
def wires():
    """The functions of WIRES as Python calls them."""
    def of(words): return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * words)
    at = unit.addresses(WIRES)
    return SimpleNamespace(**{name: of(words)(at[name]) for name, (_, _, words) in WIRES.items()})

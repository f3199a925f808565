"""The bus: how jitted code talks to chips of which it knows nothing but addresses.

The board (board/hot.py) fills these tables; no device is imported here.  A *door* is one method of one chip, compiled:

    doors   (function, record, chip, sample, controller)   i64 function(record, a, b, c, now); function 0: only Python can
                  read port (0, 0, 0)   write port (value, 0, 0)   pin (n, level, 0)   deadline (0, 0, 0)
                  read memory (address, size, 0)   write memory (address, size, value)
    ports   [0 read, 1 write][log2 size][port] -> door.  Door 0: nobody is there
    mmio    [region] -> (read door, write door, first physical address)
    dues    (word of the deadline, door)
    pins    (word, bit, first source, end of sources, door), by the chip that drives the pin: rows pin_rows[chip] on.
            A pin with two drivers has two rows; rows of the last, nameless chip are pins that nothing drives but a hand
    sources (word, bit), or-ed
    samples (function, record, word, bit)        a level that is a function of time, looked at before a chip is entered

An input that is not the OR of what drives it is set, and its chip told; and again, always the first row that differs,
until none does: as `Backplane` does in Python.  Only rows of chips that were entered can differ, so no others are
looked at.  A door of an interrupt controller (irq_trace.py) has its edges noted when it is left.

`bus.words[NOW]` is the tick of the access: whoever calls has let pass what was due before (`advance_to`).
"""
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .cache import compiled
from .irq_trace import IrqTrace, note_accept, note_edges

NOW, IPS, UNSETTLED = range(3)                           # words: tick, ticks per guest second, wires wait for Python
READ, WRITE = range(2)
NEVER = 1 << 62
PYTHON = 1 << 40                                         # a read that only Python can do; nothing has been done
PORTS = 0x10000 + 8                                      # and the INTA cycles
INTA = 0x10000                                           # of the master; of the slave on its line n, INTA + n
ALL = -1                                                 # every chip may have moved
I64 = ir.IntType(64)


class Bus(NamedTuple):
    words: np.ndarray                                    # int64[:], of all chips
    ports: np.ndarray                                    # int16[2, 3, PORTS]
    doors: np.ndarray                                    # int64[:, 5]
    mmio: np.ndarray                                     # int64[:, 3]
    dues: np.ndarray                                     # int64[:, 2]
    pins: np.ndarray                                     # int64[:, 5]
    pin_rows: np.ndarray                                 # int64[chips + 2]
    sources: np.ndarray                                  # int64[:, 2]
    samples: np.ndarray                                  # int64[:, 4]
    irq: IrqTrace


@intrinsic
def call(typingctx, f, record, a, b, c, now):
    """f(record, a, b, c, now), f and record by address."""
    def codegen(context, builder, sig, args):
        t = ir.FunctionType(I64, [I64] * 5)
        return builder.call(builder.inttoptr(args[0], t.as_pointer()), args[1:])
    return types.int64(*[types.int64] * 6), codegen


# WIRES

@compiled
def next_change(words, pins, pin_rows, sources, dirty):
    """The first row whose pin does not show what drives it, of the chips with a bit in dirty; -1: all rows do."""
    for chip in range(len(pin_rows) - 1):
        if dirty >> chip & 1:
            row = differs(words, pins, sources, pin_rows[chip], pin_rows[chip + 1])
            if row >= 0: return row
    return -1


@compiled
def differs(words, pins, sources, row, end):
    while row < end:
        level = 0
        for i in range(pins[row, 2], pins[row, 3]): level |= words[sources[i, 0]] >> sources[i, 1]
        if (words[pins[row, 0]] >> pins[row, 1] ^ level) & 1: return row
        row += 1
    return -1


@compiled
def settle(bus, dirty):
    """Let the wires carry what the outputs of these chips show."""
    while True:
        row = next_change(bus.words, bus.pins, bus.pin_rows, bus.sources, dirty)
        if row < 0: return
        word, bit, door = bus.pins[row, 0], bus.pins[row, 1], bus.pins[row, 4]
        if door and bus.doors[door, 0] == 0:
            bus.words[UNSETTLED] = 1                     # a chip that only Python can tell: it settles the rest
            return
        bus.words[word] ^= 1 << bit
        if door:
            enter(bus, door, bit, bus.words[word] >> bit & 1, 0)
            dirty |= 1 << bus.doors[door, 2]


@compiled
def enter(bus, door, a, b, c):
    sample, controller = bus.doors[door, 3], bus.doors[door, 4]
    if sample: look(bus, sample)
    v = call(bus.doors[door, 0], bus.doors[door, 1], a, b, c, bus.words[NOW])
    if controller: note_edges(bus.words, bus.irq, controller)
    return v


@compiled
def look(bus, sample):
    """Put the level that the pin has now where its chip will read it."""
    word, bit = bus.samples[sample, 2], bus.samples[sample, 3]
    level = call(bus.samples[sample, 0], bus.samples[sample, 1], 0, 0, 0, bus.words[NOW])
    bus.words[word] = bus.words[word] & ~(1 << bit) | level << bit


@compiled
def access(bus, door, a, b, c):
    """Enter a chip and let the wires move."""
    v = enter(bus, door, a, b, c)
    chip = bus.doors[door, 2]
    first, end = bus.pin_rows[chip], bus.pin_rows[chip + 1]
    if differs(bus.words, bus.pins, bus.sources, first, end) >= 0: settle(bus, 1 << chip)
    return v


# TIME

@compiled
def earliest(words, dues):
    """(tick, row) of the first deadline; NEVER, -1."""
    best, k = NEVER, -1
    for i in range(len(dues)):
        if words[dues[i, 0]] < best: best, k = words[dues[i, 0]], i
    return best, k


@compiled
def next_deadline(bus):
    """The tick at which something falls due, NEVER if nothing will."""
    return bus.words[NOW] if bus.words[UNSETTLED] else earliest(bus.words, bus.dues)[0]


@compiled
def advance_to(bus, tick):
    """Let time pass up to and including this tick.  0: done; 1: stopped at words[NOW], Python must do what is due."""
    while True:
        if bus.words[UNSETTLED]: return 1
        when, k = earliest(bus.words, bus.dues)
        if k < 0 or when > tick: break
        bus.words[NOW] = max(when, bus.words[NOW])
        door = bus.dues[k, 1]
        if bus.doors[door, 0] == 0: return 1
        bus.words[bus.dues[k, 0]] = NEVER
        access(bus, door, 0, 0, 0)
    bus.words[NOW] = max(tick, bus.words[NOW])
    return 0


# PORTS AND MEMORY

@compiled
def only_python(bus, kind, port, size):
    for i in range(size):
        door = bus.ports[kind, 0, (port + i) & 0xFFFF]
        if door and bus.doors[door, 0] == 0: return True
    return False


@compiled
def port_read(bus, port, size):
    """The value of `size` bytes (1, 2, 4) at a port, or PYTHON."""
    door = bus.ports[READ, size >> 1, port]
    if door:
        if bus.doors[door, 0] == 0: return PYTHON
        return access(bus, door, 0, 0, 0)
    if size == 1: return 0xFF
    if only_python(bus, READ, port, size): return PYTHON
    v = 0
    for i in range(size):
        door = bus.ports[READ, 0, (port + i) & 0xFFFF]
        byte = access(bus, door, 0, 0, 0) if door else 0xFF
        v |= byte << 8 * i
    return v


@compiled
def port_write(bus, port, size, value):
    """0: done; 1: only Python can, and nothing has been done."""
    door = bus.ports[WRITE, size >> 1, port]
    if door:
        if bus.doors[door, 0] == 0: return 1
        access(bus, door, value, 0, 0)
    elif size > 1:
        if only_python(bus, WRITE, port, size): return 1
        for i in range(size):
            door = bus.ports[WRITE, 0, (port + i) & 0xFFFF]
            if door: access(bus, door, value >> 8 * i & 255, 0, 0)
    return 0


@compiled
def mmio_read(bus, region, address, size):
    """The value of `size` bytes (1, 2, 4) at a physical address of a region, or PYTHON."""
    door = bus.mmio[region, 0]
    if door == 0: return (1 << 8 * size) - 1
    if bus.doors[door, 0] == 0: return PYTHON
    return access(bus, door, address - bus.mmio[region, 2], size, 0)


@compiled
def mmio_write(bus, region, address, size, value):
    """As port_write."""
    door = bus.mmio[region, 1]
    if door == 0: return 0
    if bus.doors[door, 0] == 0: return 1
    access(bus, door, address - bus.mmio[region, 2], size, value)
    return 0


@compiled
def acknowledge(bus):
    """The INTA cycles: the vector.  The master leaves the bus to the slave on line n by answering -1 - n."""
    v = port_read(bus, INTA, 1)
    if v >= 0: line = v & 7
    else:
        v = port_read(bus, INTA - 1 - v, 1)
        line = 8 | v & 7
    if v < PYTHON: note_accept(bus.words, bus.irq, line, v)
    return v

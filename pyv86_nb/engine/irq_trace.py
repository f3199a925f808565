"""The trace of interrupts: one row for each edge, written at its own tick by whoever runs, jitted code or Python.

The board names the words of its interrupt controllers to watch; after each method of one of them the words are compared
with those of the last look, so no chip knows of the trace.  The processor tells what only it knows, in `state`:

    state[CS], state[EIP]  where it is, and state[RETIRED]  how many instructions it has retired, before an access, a
                           deadline, an acknowledge (RETIRED below zero: nobody tells, ticks are shown)
    note_frame(bus, a)     the interrupt acknowledged last has its frame on the stack at linear address a
    note_iret(bus, a)      an IRET pops the frame at linear address a; it is a row if an accept has left it there

    raise, lower    the request line (IR pin)             latency  NaN
    mask, unmask    its bit in IMR                                 NaN
    accept          the INTA cycles, with the vector               s since the raise; NaN: no request (spurious)
    eoi             its bit in ISR goes out                        s since the accept
    iret            the handler has returned                       s since the accept
"""
from typing import NamedTuple

import numpy as np

from .cache import compiled
from .raw import record_at
from .tables import at, put

EVENTS = "raise", "lower", "mask", "unmask", "accept", "eoi", "iret"
RAISE, LOWER, MASK, UNMASK, ACCEPT, EOI, IRET = range(7)
HEAD, CS, EIP, RETIRED, FRAME, LAST, ON, ROWS = range(8)     # state: rows written; ... frames written; line accepted last
IR, ISR, IMR, CASCADE, BASE, SHADOW = range(6)           # a controller: five as here, then what IR, ISR, IMR were
RAISED, ACCEPTED, VECTOR = range(3)                      # of each line: ticks, NEVER if not; -1 if none
CONTROLLER, LINES, FRAMES, NEVER = 8, 16, 64, 1 << 62
INSTRUCTION, TICK, RATE, EVENT, LINE, VECTOR_, WAS_CS, WAS_EIP, SINCE, COLUMNS = range(10)     # a row of the ring
SHOWN = np.dtype([("instruction", "u8"), ("time", "f8"), ("event", "U6"), ("irq", "i2"), ("vector", "i2"), ("cs", "u2"),
                  ("eip", "u4"), ("latency", "f8")])
HEADER = np.dtype([(n, "i8") for n in ("words", "ring", "irq", "watch", "lines", "frames")])   # the bus begins so

header = record_at(HEADER)


def tables(controllers, capacity=1 << 16):
    """The trace's tables of a bus.  controllers: (ir, isr, imr, cascade words, number of the first line) of each."""
    state, lines = np.zeros(8, np.int64), np.full((3, LINES), NEVER, np.int64)
    state[RETIRED], state[ON], state[ROWS], lines[VECTOR] = -1, 1, capacity, -1
    watch = np.array([[0] * CONTROLLER, *([*c, 0, 0, 0] for c in controllers)], np.int64)    # number 0: no controller
    return {"ring": np.zeros((capacity, COLUMNS), np.int64), "irq": state, "watch": watch, "lines": lines,
            "frames": np.full((FRAMES, 3), -1, np.int64)}              # (linear address, line, tick of the accept)


@compiled
def of_line(bus, what, line): return at(header(bus).lines, LINES * what + line)


@compiled
def set_line(bus, what, line, v): put(header(bus).lines, LINES * what + line, v)


@compiled
def note(bus, event, line, vector, since):
    """One row; the oldest goes when the ring is full."""
    h = header(bus)
    if at(h.irq, ON) == 0: return
    head, now, retired = at(h.irq, HEAD), at(h.words, 0), at(h.irq, RETIRED)
    r = h.ring + 8 * COLUMNS * (head % at(h.irq, ROWS))
    put(r, INSTRUCTION, retired if retired >= 0 else now)
    put(r, TICK, now)
    put(r, RATE, at(h.words, 1))
    put(r, EVENT, event)
    put(r, LINE, line)
    put(r, VECTOR_, vector)
    put(r, WAS_CS, at(h.irq, CS))
    put(r, WAS_EIP, at(h.irq, EIP))
    put(r, SINCE, since)
    put(h.irq, HEAD, head + 1)


@compiled
def note_edges(bus, controller):
    """Rows for what has moved in a controller since the last look."""
    h = header(bus)
    w = h.watch + 8 * CONTROLLER * controller
    ir, isr, imr = at(h.words, at(w, IR)), at(h.words, at(w, ISR)), at(h.words, at(w, IMR))
    moved, over, masked = ir ^ at(w, SHADOW), at(w, SHADOW + 1) & ~isr, imr ^ at(w, SHADOW + 2)
    if moved | masked | isr ^ at(w, SHADOW + 1) == 0: return
    put(w, SHADOW, ir)
    put(w, SHADOW + 1, isr)
    put(w, SHADOW + 2, imr)
    seen = ~at(h.words, at(w, CASCADE))                  # the slave's line says nothing that its own lines do not
    for n in range(8):
        if (moved | over | masked) & seen & 1 << n:
            line, high = at(w, BASE) + n, ir >> n & 1
            if masked >> n & 1: note(bus, MASK if imr >> n & 1 else UNMASK, line, -1, NEVER)
            if moved >> n & 1:
                set_line(bus, RAISED, line, at(h.words, 0) if high else NEVER)
                note(bus, RAISE if high else LOWER, line, -1, NEVER)
            if over >> n & 1:
                note(bus, EOI, line, of_line(bus, VECTOR, line), of_line(bus, ACCEPTED, line))
                if high: set_line(bus, RAISED, line, at(h.words, 0))    # a level that is still there asks again


@compiled
def note_accept(bus, line, vector):
    h = header(bus)
    if line < 0:                                         # an APIC's own: its timer, a message
        note(bus, ACCEPT, line, vector, NEVER)
        put(h.irq, LAST, line)
        return
    note(bus, ACCEPT, line, vector, of_line(bus, RAISED, line))
    set_line(bus, RAISED, line, NEVER)
    set_line(bus, ACCEPTED, line, at(h.words, 0))
    set_line(bus, VECTOR, line, vector)
    put(h.irq, LAST, line)


@compiled
def _find(bus, address):
    h = header(bus)
    for i in range(FRAMES):
        if at(h.frames, 3 * i) == address: return i
    return -1


@compiled
def note_frame(bus, address):
    """The interrupt acknowledged last has left its frame on the stack at this linear address."""
    h = header(bus)
    if at(h.irq, LAST) < 0: return
    i = _find(bus, address)                              # a frame in the same place: that one has never returned
    if i < 0:
        i = at(h.irq, FRAME) % FRAMES
        put(h.irq, FRAME, at(h.irq, FRAME) + 1)
    line = at(h.irq, LAST)
    put(h.frames, 3 * i, address)
    put(h.frames, 3 * i + 1, line)
    put(h.frames, 3 * i + 2, of_line(bus, ACCEPTED, line))


@compiled
def note_iret(bus, address):
    """An IRET has popped the frame at this linear address."""
    h = header(bus)
    i = _find(bus, address)
    if i < 0: return
    line = at(h.frames, 3 * i + 1)
    note(bus, IRET, line, of_line(bus, VECTOR, line), at(h.frames, 3 * i + 2))
    put(h.frames, 3 * i, -1)


# FOR PYTHON: `bus` is the Bus object

class IrqTrace(NamedTuple):
    ring: np.ndarray                                     # a row of COLUMNS each
    state: np.ndarray                                    # HEAD, CS, EIP...
    watch: np.ndarray                                    # a row for each controller, from 1 on
    lines: np.ndarray                                    # RAISED, ACCEPTED, VECTOR of the 16 lines
    frames: np.ndarray                                   # (linear address, line, tick of the accept)


def sync(bus):
    """Take the levels as they are, after power-on and after a restore: nothing has happened."""
    for w in bus.watch[1:]: w[SHADOW:] = bus.words[w[[IR, ISR, IMR]]]


def lost(bus):
    """How many rows the ring has no more."""
    return max(int(bus.irq[HEAD]) - len(bus.ring), 0)


def rows(bus):
    """The rows, oldest first, as a structured array of its own: times in guest seconds, events in words."""
    n = int(bus.irq[HEAD])
    ring = bus.ring[:n] if n <= len(bus.ring) else np.roll(bus.ring, -(n % len(bus.ring)), axis=0)
    out, rate, since = np.zeros(len(ring), SHOWN), ring[:, RATE], ring[:, SINCE]
    for name, column in (("instruction", INSTRUCTION), ("irq", LINE), ("vector", VECTOR_), ("cs", WAS_CS), ("eip", WAS_EIP)):
        out[name] = ring[:, column]
    out["time"], out["event"] = ring[:, TICK] / rate, np.array(EVENTS)[ring[:, EVENT]]
    out["latency"] = np.where(since < NEVER, (ring[:, TICK] - since) / rate, np.nan)
    return out

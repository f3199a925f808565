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
    eoi             its bit in ISR goes out, of an 8259 or the APIC    s since the accept
    iret            the handler has returned                       s since the accept

What is accepted has a *slot*: an 8259's its line, the local APIC's LINES + its vector, for the APIC ends interrupts by vector.
"""
from typing import NamedTuple

import numpy as np

from .cache import compiled
from .raw import record_at
from .tables import at, put

EVENTS = "raise", "lower", "mask", "unmask", "accept", "eoi", "iret"
RAISE, LOWER, MASK, UNMASK, ACCEPT, EOI, IRET = range(7)
HEAD, CS, EIP, RETIRED, FRAME, LAST, ON, ROWS = range(8)     # state: rows written; ... frames written; slot accepted last
IR, ISR, IMR, CASCADE, BASE, SHADOW = range(6)           # a controller: five as here, then what IR, ISR, IMR were
RAISED, ACCEPTED, OTHER = range(3)                       # of each slot: ticks, NEVER if not; a line's vector, a vector's line, -1: none
CONTROLLER, LINES, SLOTS, FRAMES, NEVER = 8, 16, 16 + 256, 64, 1 << 62
APIC = -1                                                # the number of the local APIC among the controllers
INSTRUCTION, TICK, RATE, EVENT, LINE, VECTOR_, WAS_CS, WAS_EIP, SINCE, COLUMNS = range(10)     # a row of the ring
SHOWN = np.dtype([("instruction", "u8"), ("time", "f8"), ("event", "U6"), ("irq", "i2"), ("vector", "i2"), ("cs", "u2"),
                  ("eip", "u4"), ("latency", "f8")])
HEADER = np.dtype([(n, "i8") for n in ("words", "ring", "irq", "watch", "service", "lines", "frames")])   # the bus begins so

header = record_at(HEADER)


def tables(controllers, service=(), capacity=1 << 16):
    """The trace's tables of a bus.  controllers: (ir, isr, imr, cascade words, number of the first line) of each 8259, the master first;
    service: the words of the local APIC's ISR, 32 vectors each."""
    state, lines = np.zeros(8, np.int64), np.full((3, SLOTS), NEVER, np.int64)
    state[RETIRED], state[ON], state[ROWS], lines[OTHER] = -1, 1, capacity, -1
    watch = np.array([[0] * CONTROLLER, *([*c, 0, 0, 0] for c in controllers)], np.int64)    # number 0: no controller
    return {"ring": np.zeros((capacity, COLUMNS), np.int64), "irq": state, "watch": watch, "lines": lines,
            "service": np.array([[w, 0] for w in service], np.int64).reshape(-1, 2),           # and what each was
            "frames": np.full((FRAMES, 3), -1, np.int64)}              # (linear address, slot, tick of the accept)


@compiled
def of_slot(bus, what, slot): return at(header(bus).lines, SLOTS * what + slot)


@compiled
def set_slot(bus, what, slot, v): put(header(bus).lines, SLOTS * what + slot, v)


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
def note_end(bus, event, slot, since):
    """One row for what was accepted in a slot."""
    other = of_slot(bus, OTHER, slot)
    if slot < LINES: note(bus, event, slot, other, since)
    else: note(bus, event, other, slot - LINES, since)


@compiled
def note_edges(bus, controller):
    """Rows for what has moved in a controller since the last look."""
    if controller == APIC: note_service(bus)
    else: note_lines(bus, controller)


@compiled
def note_lines(bus, controller):
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
                set_slot(bus, RAISED, line, at(h.words, 0) if high else NEVER)
                note(bus, RAISE if high else LOWER, line, -1, NEVER)
            if over >> n & 1:
                note_end(bus, EOI, line, of_slot(bus, ACCEPTED, line))
                if high: set_slot(bus, RAISED, line, at(h.words, 0))    # a level that is still there asks again


@compiled
def note_service(bus):
    """Rows for vectors that the local APIC has no longer in service."""
    h = header(bus)
    for i in range(8):
        w = h.service + 16 * i
        isr = at(h.words, at(w, 0))
        over = at(w, 1) & ~isr
        put(w, 1, isr)
        for n in range(32 if over else 0):
            if over >> n & 1:
                slot = LINES + 32 * i + n
                line = of_slot(bus, OTHER, slot)
                note_end(bus, EOI, slot, of_slot(bus, ACCEPTED, slot))
                if line >= 0:
                    level = at(h.words, at(h.watch + 8 * CONTROLLER * (1 + (line >> 3)), IR)) >> (line & 7) & 1
                    if level: set_slot(bus, RAISED, line, at(h.words, 0))


@compiled
def note_accept(bus, line, vector, slot):
    """line -1: an APIC's own, its timer, a message."""
    h, since = header(bus), NEVER
    if line >= 0:
        since = of_slot(bus, RAISED, line)
        set_slot(bus, RAISED, line, NEVER)
    note(bus, ACCEPT, line, vector, since)
    set_slot(bus, ACCEPTED, slot, at(h.words, 0))
    set_slot(bus, OTHER, slot, vector if slot < LINES else line)
    put(h.irq, LAST, slot)


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
    i = _find(bus, address)                              # a frame in the same place: that one has never returned
    if i < 0:
        i = at(h.irq, FRAME) % FRAMES
        put(h.irq, FRAME, at(h.irq, FRAME) + 1)
    slot = at(h.irq, LAST)
    put(h.frames, 3 * i, address)
    put(h.frames, 3 * i + 1, slot)
    put(h.frames, 3 * i + 2, of_slot(bus, ACCEPTED, slot))


@compiled
def note_iret(bus, address):
    """An IRET has popped the frame at this linear address."""
    h = header(bus)
    i = _find(bus, address)
    if i < 0: return
    note_end(bus, IRET, at(h.frames, 3 * i + 1), at(h.frames, 3 * i + 2))
    put(h.frames, 3 * i, -1)


# FOR PYTHON: `bus` is the Bus object

class IrqTrace(NamedTuple):
    ring: np.ndarray                                     # a row of COLUMNS each
    state: np.ndarray                                    # HEAD, CS, EIP...
    watch: np.ndarray                                    # a row for each controller, from 1 on
    lines: np.ndarray                                    # RAISED, ACCEPTED, OTHER of the slots
    frames: np.ndarray                                   # (linear address, slot, tick of the accept)


def sync(bus):
    """Take the levels as they are, after power-on and after a restore: nothing has happened."""
    for w in bus.watch[1:]: w[SHADOW:] = bus.words[w[[IR, ISR, IMR]]]
    bus.service[:, 1] = bus.words[bus.service[:, 0]]


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

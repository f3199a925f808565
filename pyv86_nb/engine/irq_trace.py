"""The trace of interrupts: one row for each edge, written at its own tick by whoever runs, jitted code or Python.

The board names the words of its interrupt controllers to watch; after each method of one of them the words are compared with
those of the last look, so no chip knows of the trace.  The processor tells what only it knows, in `state`:

    state[CS], state[EIP]  where it is, and state[RETIRED]  how many instructions it has retired, before an access, a
                           deadline, an acknowledge (RETIRED below zero: nobody tells, ticks are shown)
    note_frame(bus, at)    an accepted interrupt's frame lies on the stack at this linear address
    note_iret(bus, at)     an IRET pops the frame at this linear address; it is a row if an accept has left it there

    raise, lower    the request line (IR pin)             latency  NaN
    mask, unmask    its bit in IMR                                 NaN
    accept          the INTA cycles, with the vector               s since the raise; NaN: no request (spurious)
    eoi             its bit in ISR goes out                        s since the accept
    iret            the handler has returned                       s since the accept
"""
from typing import NamedTuple

import numpy as np

from .cache import compiled

EVENTS = "raise", "lower", "mask", "unmask", "accept", "eoi", "iret"
RAISE, LOWER, MASK, UNMASK, ACCEPT, EOI, IRET = range(7)
HEAD, CS, EIP, RETIRED, FRAME, LAST, ON = range(7)       # state
IR, ISR, IMR, CASCADE, BASE, SHADOW = range(6)           # a controller: five as here, then what IR, ISR, IMR were
RAISED, ACCEPTED, VECTOR = range(3)                      # of each line: ticks, NEVER if not
NEVER = 1 << 62
FRAMES = 64
ROW = np.dtype([("instruction", "u8"), ("time", "f8"), ("event", "u1"), ("irq", "i2"), ("vector", "i2"), ("cs", "u2"),
                ("eip", "u4"), ("latency", "f8")])
SHOWN = np.dtype([(n, "U6" if n == "event" else ROW[n]) for n in ROW.names])


class IrqTrace(NamedTuple):
    ring: np.ndarray                                     # ROW[:]
    state: np.ndarray                                    # int64[:]
    watch: np.ndarray                                    # int64[:, 8], rows of controllers from 1 on
    lines: np.ndarray                                    # int64[3, 16]
    frames: np.ndarray                                   # int64[FRAMES, 3]: linear address, line, tick of the accept


def make(controllers, capacity=1 << 16):
    """controllers: (ir, isr, imr, cascade words, number of the first line) of each."""
    watch = np.array([[0] * 8, *([*c, 0, 0, 0] for c in controllers)], np.int64)
    state, lines = np.zeros(7, np.int64), np.full((3, 16), NEVER, np.int64)
    state[RETIRED], state[ON], lines[VECTOR] = -1, 1, -1
    frames = np.full((FRAMES, 3), -1, np.int64)
    return IrqTrace(np.zeros(capacity, ROW), state, watch, lines, frames)


@compiled
def note(words, irq, event, line, vector, since):
    """One row; the oldest goes when the ring is full."""
    if irq.state[ON] == 0: return
    s, now = irq.state, words[0]
    r = irq.ring[s[HEAD] % len(irq.ring)]
    r.instruction = s[RETIRED] if s[RETIRED] >= 0 else now
    r.time, r.event, r.irq, r.vector, r.cs, r.eip = now / words[1], event, line, vector, s[CS], s[EIP]
    r.latency = (now - since) / words[1] if since < NEVER else np.nan
    s[HEAD] += 1


@compiled
def note_edges(words, irq, k):
    """Rows for what has moved in controller k since the last look."""
    w = irq.watch[k]
    ir, isr, imr = words[w[IR]], words[w[ISR]], words[w[IMR]]
    if ir == w[SHADOW] and isr == w[SHADOW + 1] and imr == w[SHADOW + 2]: return
    moved, seen = ir ^ w[SHADOW], ~words[w[CASCADE]]     # the slave's line says nothing that its own lines do not
    over, masks = w[SHADOW + 1] & ~isr, imr ^ w[SHADOW + 2]
    w[SHADOW], w[SHADOW + 1], w[SHADOW + 2] = ir, isr, imr
    for n in range(8):
        if ((moved | over | masks) & seen) >> n & 1:
            line = w[BASE] + n
            if masks >> n & 1: note(words, irq, MASK if imr >> n & 1 else UNMASK, line, -1, NEVER)
            if moved >> n & 1:
                irq.lines[RAISED, line] = words[0] if ir >> n & 1 else NEVER
                note(words, irq, RAISE if ir >> n & 1 else LOWER, line, -1, NEVER)
            if over >> n & 1:
                note(words, irq, EOI, line, irq.lines[VECTOR, line], irq.lines[ACCEPTED, line])
                if ir >> n & 1: irq.lines[RAISED, line] = words[0]       # a level that is still there asks again


@compiled
def note_accept(words, irq, line, vector):
    note(words, irq, ACCEPT, line, vector, irq.lines[RAISED, line])
    irq.lines[RAISED, line], irq.lines[ACCEPTED, line], irq.lines[VECTOR, line] = NEVER, words[0], vector
    irq.state[LAST] = line


@compiled
def note_frame(bus, at):
    """The interrupt accepted last has left its frame on the stack at this linear address."""
    irq, k = bus.irq, -1
    for i in range(FRAMES):                              # a frame in the same place: that one never returned
        if irq.frames[i, 0] == at: k = i
    if k < 0:
        k = irq.state[FRAME] % FRAMES
        irq.state[FRAME] += 1
    line = irq.state[LAST]
    irq.frames[k, 0], irq.frames[k, 1], irq.frames[k, 2] = at, line, irq.lines[ACCEPTED, line]


@compiled
def note_iret(bus, at):
    """An IRET has popped the frame at this linear address."""
    irq = bus.irq
    for i in range(FRAMES):
        if irq.frames[i, 0] == at:
            line = irq.frames[i, 1]
            note(bus.words, irq, IRET, line, irq.lines[VECTOR, line], irq.frames[i, 2])
            irq.frames[i, 0] = -1
            return


def sync(words, irq):
    """Take the levels as they are, after power-on and after a restore; nothing has happened."""
    for w in irq.watch[1:]: w[SHADOW:] = words[w[[IR, ISR, IMR]]]


def lost(irq):
    """How many rows the ring has no more."""
    return max(int(irq.state[HEAD]) - len(irq.ring), 0)


def rows(irq):
    """The rows, oldest first, as a structured array of its own with the events in words."""
    n = int(irq.state[HEAD])
    ring = irq.ring[:n] if n <= len(irq.ring) else np.roll(irq.ring, -(n % len(irq.ring)))
    out = np.zeros(len(ring), SHOWN)
    for name in ROW.names: out[name] = ring[name] if name != "event" else np.array(EVENTS)[ring["event"]]
    return out

"""The backplane: one array for all chips, wires, the port table, deadlines, snapshots, the trace.

A chip's method writes its own record and nothing else.  When it has returned, the wires are looked at: an input whose level is not the
OR of what drives it is set, and its chip is told; and again, until nothing differs.  So no chip is ever entered twice, the order is the same for
compiled and plain callers, and a chip that must show a pulse says so with a deadline.
"""
import numpy as np
from numba import njit
from ..devices.chip import Chip, PinsIn, Socket
from ..devices.clock import Clock, next_deadline

FIELD, LINE, READ, WRITE = range(4)
ROW = np.dtype([("instruction", "u8"), ("time", "f8"), ("kind", "u1"), ("where", "i4"), ("old", "i8"), ("new", "i8")])


@njit(cache=True)
def next_change(words, wires):
    """The first input pin that does not show what drives it, as word << 8 | bit << 1 | level; -1 if all do.
    wires: rows (source word, source bit, input word, input bit), sorted by input."""
    i = 0
    while i < len(wires):
        to, bit, level = wires[i, 2], wires[i, 3], 0
        while i < len(wires) and wires[i, 2] == to and wires[i, 3] == bit:
            level |= words[wires[i, 0]] >> wires[i, 1] & 1
            i += 1
        if words[to] >> bit & 1 != level: return to << 8 | bit << 1 | level
    return -1


@njit(cache=True)
def note(ring, head, now, ips, kind, where, old, new):
    r = ring[head[0] % len(ring)]
    r.instruction, r.time, r.kind, r.where, r.old, r.new = now, now / ips, kind, where, old, new
    head[0] += 1


@njit(cache=True)
def note_changes(words, shadow, watched, lines, ring, head, now, ips):
    """One row for each watched word that is not what it was at the last look."""
    for i in watched:
        if words[i] != shadow[i]:
            note(ring, head, now, ips, FIELD + lines[i], i, shadow[i], words[i])
            shadow[i] = words[i]


class Backplane:
    moved, tracing = False, False

    def __init__(self, clock=None, *chips):
        self.clock, self.chips, self.map, self._wires = clock or Clock(), {}, [], []
        for c in (self.clock, *chips): self.plug(c)

    # putting it together
    def plug(self, chip):
        if chip.name in self.chips: raise ValueError(f"there is already a chip named {chip.name}")
        self.chips[chip.name] = chip
        for c in chip.family(): c.home = self
        return Socket(chip)

    def at(self, port, chip, bank=""):
        """Put a chip's ports at an address; answers its pins."""
        self.map.append((port, chip, bank))
        return Socket(chip) if chip.home else self.plug(chip)

    def wire(self, out, to): self._wires.append((out, to))
    def sources(self, chip, entry, n): return [o for o, t in self._wires if (t.chip, t.entry, t.n) == (chip, entry, n)]
    def family(self): return [c for chip in self.chips.values() for c in chip.family()]

    def power_on(self):
        self.array = np.zeros(1, np.dtype([(n, c.dtype) for n, c in self.chips.items()]))
        self.words, base = self.array.view(np.int64), 0
        for c in self.chips.values():
            c.bind(self, memoryview(self.words), base)
            base += c.words
        for c in self.chips.values():
            c.power_on()
            for p in c.family():
                if "ips" in p.layout: p.ips = self.clock.ips
        rows, self.inputs, self.dues = [], {}, []
        for c in self.family():
            for e in c.layout.values():
                if e.kind == "deadline": self.dues.append((c, e))
                if isinstance(e, PinsIn):
                    self.inputs[c.origin + e.slot] = c, e
                    rows += [(c.origin + e.slot + 1, n, c.origin + e.slot, n) for n in range(e.bits)]
        for o, t in self._wires:
            if t.entry.sampled: continue
            rows.append((o.word, o.n, t.word, t.n))
            if "listened" in o.chip.layout: o.chip.listened = 1
        self.wires = np.array(sorted(rows, key=lambda r: r[2:]), np.int64).reshape(-1, 4)
        self.due_words = np.array([c.origin + e.slot for c, e in self.dues], np.int64)
        self.readers, self.writers = {}, {}
        for port, chip, bank in self.map:
            for (b, offset, kind), (f, _) in chip.ports.items():
                if b == bank: (self.readers if kind == "read" else self.writers)[port + offset] = f, chip
        self.settle()
        return self

    # running: one access, one stretch of time
    def read(self, port):
        f, chip = self.readers.get(port, _OPEN)
        v = f(chip, self.clock.now)
        if self.moved: self.settle()
        if self.tracing: self.record(READ, port, v)
        return v

    def write(self, port, v):
        f, chip = self.writers.get(port, _VOID)
        f(chip, v, self.clock.now)
        if self.moved: self.settle()
        if self.tracing: self.record(WRITE, port, v)

    def settle(self):
        """Let the wires carry what the outputs show."""
        self.moved = False
        while (k := next_change(self.words, self.wires)) >= 0:
            chip, e = self.inputs[k >> 8]
            n, level = k >> 1 & 127, k & 1
            chip.w[e.slot] ^= 1 << n
            if e.handler: e.handler(chip, n, level, self.clock.now)

    def advance(self, n):
        """n instructions pass; what falls due in them happens, each at its own instruction."""
        end = self.clock.now + n
        while True:
            when, k = next_deadline(self.words, self.due_words)
            if when > end: break
            chip, e = self.dues[k]
            self.clock.now = max(when, self.clock.now)
            chip.w[e.slot] = e.reset
            e.handler(chip, self.clock.now)
            if self.moved: self.settle()
            if self.tracing: self.changes()
        self.clock.now = end

    def reset(self):
        for c in self.chips.values(): c.reset()
        self.settle()

    # in time: numpy's own structured array is the snapshot; np.save keeps the names
    def snapshot(self): return self.words.copy().view(self.array.dtype)

    def restore(self, s):
        """Load by name.  Answers the names that one side has and the other has not; those keep what they have."""
        mine, theirs = columns(self.array), columns(s)
        fits = lambda n: n in theirs and theirs[n].shape == mine[n].shape and theirs[n].dtype == mine[n].dtype
        for n in filter(fits, mine): mine[n][...] = theirs[n]
        self.moved = False
        return sorted(n for n in mine.keys() | theirs.keys() if n not in mine or not fits(n))

    @staticmethod
    def diff(a, b):
        """[(name, before, after)]"""
        a, b = columns(a), columns(b)
        return [(f"{n}[{i}]" if a[n].size > 1 else n, int(a[n].flat[i]), int(b[n].flat[i]))
                for n in a if n in b for i in np.flatnonzero(a[n].ravel() != b[n].ravel())]

    # the trace: what is different from the last look, so a write costs nothing when nobody looks
    def trace(self, only=None, rows=1 << 16):
        """Record ports, and changes of all fields and lines, or of those named: trace(only=("pic1.irr", "pic1.isr"))."""
        self.ring, self.head, self.shadow = np.zeros(rows, ROW), np.zeros(1, np.int64), self.words.copy()
        self.labels = {c.origin + e.slot: f"{c.name}.{e.name}" for c in self.family() for e in c.layout.values()}
        self.lines = np.zeros(len(self.words), np.uint8)
        for c in self.family():
            for e in c.layout.values(): self.lines[c.origin + e.slot] = e.kind == "line"
        unknown = set(only or ()) - set(self.labels.values())
        if unknown: raise ValueError(f"nothing is called {sorted(unknown)[0]}; names are like {self.labels[len(self.words) - 1]}")
        self.watched = np.array([w for w, n in self.labels.items() if (n in only if only else w > 1)], np.int64)     # 0, 1: the clock itself
        self.tracing = True

    def changes(self): note_changes(self.words, self.shadow, self.watched, self.lines, self.ring, self.head, self.clock.now, self.clock.ips)
    def record(self, kind, port, v): note(self.ring, self.head, self.clock.now, self.clock.ips, kind, port, 0, v); self.changes()

    def rows(self):
        n = int(self.head[0])
        return self.ring[:n] if n <= len(self.ring) else np.roll(self.ring, -(n % len(self.ring)))

    def frame(self):
        import pandas as pd
        f = pd.DataFrame(self.rows())
        name = lambda k, w: f"port {w:02X}h" if k >= READ else self.labels.get(w, f"word {w}")
        f["where"] = [name(k, w) for k, w in zip(f.kind, f["where"])]
        f["kind"] = [("field", "line", "read", "write")[k] for k in f.kind]
        return f


def columns(array, at=""):
    """{path: view} of every plain column of a nested structured array."""
    out = {}
    for n in array.dtype.names:
        v = array[n]
        if v.dtype.names is None: out[at + n] = v
        elif v.ndim == 1: out |= columns(v, f"{at}{n}.")
        else:
            for i in range(v.shape[1]): out |= columns(v[:, i], f"{at}{n}[{i}].")
    return out


_OPEN = (lambda chip, now: 0xFF), None                   # nobody answers: the bus floats high
_VOID = (lambda chip, v, now: None), None

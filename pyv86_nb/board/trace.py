"""The trace of a board: what is different from the last look, so a write costs nothing when nobody looks.

One row for each port access and each change of a watched word, with the tick; compiled and plain callers share it.
"""
import numpy as np

from ..engine.cache import compiled

FIELD, LINE, READ, WRITE = range(4)
ROW = np.dtype([("instruction", "u8"), ("time", "f8"), ("kind", "u1"), ("where", "i4"), ("old", "i8"), ("new", "i8")])


@compiled
def note(ring, head, now, ips, kind, where, old, new):
    r = ring[head[0] % len(ring)]
    r.instruction, r.time, r.kind, r.where, r.old, r.new = now, now / ips, kind, where, old, new
    head[0] += 1


@compiled
def note_changes(words, shadow, watched, lines, ring, head, now, ips):
    """One row for each watched word that is not what it was at the last look."""
    for i in watched:
        if words[i] != shadow[i]:
            note(ring, head, now, ips, FIELD + lines[i], i, shadow[i], words[i])
            shadow[i] = words[i]


class Trace:
    """The tracing half of a Backplane."""

    def trace(self, only=None, rows=1 << 16):
        """Record ports, and changes of all fields and lines, or of those named: trace(only=("pic1.irr", "pic1.isr"))."""
        self.ring, self.head, self.shadow = np.zeros(rows, ROW), np.zeros(1, np.int64), self.words.copy()
        self.labels = {c.origin + e.slot: f"{c.name}.{e.name}" for c in self.family() for e in c.layout.values()}
        self.lines = np.zeros(len(self.words), np.uint8)
        for c in self.family():
            for e in c.layout.values(): self.lines[c.origin + e.slot] = e.kind == "line"
        unknown = set(only or ()) - set(self.labels.values())
        if unknown:
            example = self.labels[max(self.labels)]
            raise ValueError(f"nothing is called {sorted(unknown)[0]}; names are like {example}")
        watched = [w for w, n in self.labels.items() if (n in only if only else w > 1)]      # 0, 1: the clock itself
        self._traced = np.array(watched, np.int64)
        self.tracing = True

    def changes(self):
        note_changes(self.words, self.shadow, self._traced, self.lines, self.ring, self.head, self.clock.now, self.clock.ips)

    def record(self, kind, port, v):
        note(self.ring, self.head, self.clock.now, self.clock.ips, READ + kind, port, 0, v)
        self.changes()

    def rows(self):
        n = int(self.head[0])
        return self.ring[:n] if n <= len(self.ring) else np.roll(self.ring, -(n % len(self.ring)))

    def frame(self):
        import pandas as pd
        f = pd.DataFrame(self.rows())
        name = lambda k, w: f"port {w:02X}h" if k >= READ else self.labels.get(w, f"word {w}")
        f["where"] = [name(k, w) for k, w in zip(f.kind, f["where"], strict=True)]
        f["kind"] = [("field", "line", "read", "write")[k] for k in f.kind]
        return f

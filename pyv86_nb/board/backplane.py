"""The backplane: one array for all chips, wires, the port table, deadlines, snapshots, the trace.

A chip's method writes its own record and nothing else.  When it has returned, the wires are looked at: an input whose
level is not the OR of what drives it is set, and its chip is told; and again, until nothing differs.  So no chip is ever
entered twice, the order is the same for compiled and plain callers, and a chip that must show a pulse says so with a
deadline.  The tables are those of engine/bus.py: Python reads them here, hot.py hands them to jitted code.
"""
import numpy as np

from ..devices.chip import PinsIn, Socket
from ..devices.clock import Clock
from ..engine import irq_trace
from ..engine.bus import ALL, APIC_INTA, INTA, PORTS, Bus, wires
from ..engine.raw import PYTHON_REGION
from .trace import Trace

READ, WRITE = range(2)
KINDS = {"read": READ, "write": WRITE}


class Backplane(Trace):
    moved, tracing, bus = False, False, None

    def __init__(self, clock=None, *chips):
        self.clock, self.chips, self.map, self.regions, self._wires = clock or Clock(), {}, [], {}, []
        self.controllers = []                            # 8259s to trace: (chip, its first line)
        self.local = None                                # and the local APIC
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

    def move(self, chip, bank, *ports):
        """The ports of a bank are at these addresses now, or nowhere; `place` makes it true."""
        self.map = [m for m in self.map if m[1:] != (chip, bank)] + [(p, chip, bank) for p in ports]

    def region(self, address, chip, window="window"):
        """The number of a memory region that a chip's window answers, for the memory map.  Those of kernels come first."""
        compiled = all(hasattr(f, "kernel") for (name, _), (f, _) in chip.windows.items() if name == window)
        number = sum(n < PYTHON_REGION for n in self.regions) if compiled else max([PYTHON_REGION - 1, *self.regions]) + 1
        self.regions[number] = address, chip, window
        return number

    def wire(self, out, to): self._wires.append((out, to))
    def sources(self, chip, entry, n): return [o for o, t in self._wires if (t.chip, t.entry, t.n) == (chip, entry, n)]
    def family(self): return [c for chip in self.chips.values() for c in chip.family()]

    def power_on(self):
        self.array = np.zeros(1, np.dtype([(n, c.dtype) for n, c in self.chips.items()]))
        self.words, base = self.array.view(np.int64), 0
        for number, c in enumerate(self.chips.values()):
            c.bind(self, memoryview(self.words), base)
            base += c.words
            for p in c.family(): p.number = number
        for c in self.chips.values():
            c.power_on()
            for p in c.family():
                if "ips" in p.layout: p.ips = self.clock.ips
        self.watched = {c.number: i + 1 for i, (c, _) in enumerate(self.controllers)}
        if self.local: self.watched[self.local.number] = irq_trace.APIC
        self.bus = Bus(words=self.words, ports=np.zeros((2, 3, PORTS), np.int16), **self._doors(), **self._solder(),
                       **self._watch())
        self._bus, self._ports = self.bus.address, memoryview(self.bus.ports)
        self.place()
        self.settle()
        irq_trace.sync(self.bus)
        return self

    # the tables of the bus; what only jitted code needs is filled in by hot.py
    def _watch(self):
        words = lambda chip, *names: [chip.origin + chip.layout[n].slot for n in names]
        service = [words(v, "isr")[0] for v in self.local.vectors] if self.local else []
        return irq_trace.tables([(*words(c, "ir", "isr", "imr", "cascade"), line) for c, line in self.controllers], service)

    def _doors(self):
        """Every method that can be entered from outside its chip: (method, chip, kind)."""
        self.doors = [(None, None, "")]
        self._door = {}
        for chip in self.chips.values():
            for key, (f, _) in chip.ports.items(): self._door[chip, key] = self._add(f, chip, key[2])
            for (window, kind), (f, _) in chip.windows.items():
                self._door[chip, window, kind] = self._add(f, chip, f"memory {kind}")
        dues = [(c.origin + e.slot, self._add(e.handler, c, "deadline"))
                for c in self.family() for e in c.layout.values() if e.kind == "deadline"]
        self._windows = [(0, 0, 0)] * (max(self.regions, default=-1) + 1)
        for n, (base, chip, window) in self.regions.items():
            self._windows[n] = self._door.get((chip, window, "read"), 0), self._door.get((chip, window, "write"), 0), base
        bursts = [row for chip in self.chips.values() if hasattr(chip, "BURST") for row in self._bursts(chip, *chip.BURST)]
        return {"bursts": np.array(bursts, np.int64).reshape(-1, 7),
                "dues": np.array(dues, np.int64).reshape(-1, 2), "mmio": np.array(self._windows, np.int64).reshape(-1, 3)}

    def _bursts(self, chip, port, buffer, next_byte, end, phase, reading, writing):
        """Rows for the bus: what a chip's `BURST` says of its data port."""
        word = lambda name: chip.origin + chip.layout[name].slot
        where = self.words.ctypes.data + 8 * word(buffer), chip.layout[buffer].n, word(next_byte), word(end), word(phase)
        return [(self._door[chip, (bank, offset, kind, size)], *where, value) for kind, value in (("read", reading), ("write", writing))
                for bank, offset, k, size in chip.ports if (bank, offset, k) == ("", port, kind)]

    def _add(self, f, chip, kind):
        self.doors.append((f, chip, kind))
        return len(self.doors) - 1

    def _solder(self):
        """Rows of pins for each chip that drives some; one more, nameless chip has those that only a hand drives."""
        drivers, nobody = {}, len(self.chips)
        if nobody > 60: raise ValueError(f"a board has room for 60 chips, not {nobody}")
        self.sampled, pins = {}, {}                      # chip number -> row of samples
        for o, t in self._wires:
            if "listened" in o.chip.layout and not t.entry.sampled: o.chip.listened = 1
            if t.entry.sampled and o.entry.level:
                if t.chip.number in self.sampled: raise ValueError(f"{t}: a chip has one sampled pin, with one driver")
                self.sampled[t.chip.number] = o, t
            else: drivers.setdefault((t.word, t.n), []).append(o)
        for c in self.family():
            for e in c.layout.values():
                if not isinstance(e, PinsIn): continue
                door = self._add(e.handler, c, "pin") if e.handler else 0
                for n in range(e.bits): pins[c.origin + e.slot, n] = door, not e.sampled
        rows, sources = [], []
        for (word, n), (door, hand) in sorted(pins.items()):
            by, first = drivers.get((word, n), ()), len(sources)
            if not by and not hand: continue             # a sampled pin follows nothing
            sources += [(o.word, o.n) for o in by] + [(word + 1, n)] * hand
            rows += [(chip, word, n, first, len(sources), door) for chip in {o.chip.number for o in by} or {nobody}]
        rows.sort()
        return {"pins": np.array([r[1:] for r in rows], np.int64).reshape(-1, 5),
                "pin_rows": np.searchsorted([r[0] for r in rows], np.arange(nobody + 2)).astype(np.int64),
                "sources": np.array(sources, np.int64).reshape(-1, 2),
                "samples": np.zeros((1 + len(self.sampled), 4), np.int64), "doors": np.zeros((len(self.doors), 5), np.int64)}

    def place(self):
        """Fill the port table by the map.  In place: jitted code looks at the same one."""
        self.bus.ports[:] = 0
        for port, chip, bank in self.map:
            for key in chip.ports:
                b, offset, kind, size = key
                if b == bank: self.bus.ports[KINDS[kind], size >> 1, port + offset] = self._door[chip, key]

    # running: one access, one stretch of time
    def enter(self, door, *args):
        f, chip, _ = self.doors[door]
        if chip.number in self.sampled:
            o, t = self.sampled[chip.number]
            t.chip.w[t.entry.slot] = o.level
        v = f(chip, *args, self.clock.now)
        if chip.number in self.watched: wires().note_edges(self._bus, self.watched[chip.number])
        return v

    def read(self, port, size=1):
        door = self._ports[READ, size >> 1, port]
        if door == 0 and size > 1:
            v = 0
            for i in range(size): v |= self.read(port + i & 0xFFFF) << 8 * i
            return v
        v = self.enter(door) if door else 0xFF           # nobody answers: the bus floats high
        if self.moved: self.settle()
        if self.tracing: self.record(READ, port, v)
        return v

    def write(self, port, v, size=1):
        door = self._ports[WRITE, size >> 1, port]
        if door == 0 and size > 1:
            for i in range(size): self.write(port + i & 0xFFFF, v >> 8 * i & 255)
            return
        if door: self.enter(door, v)
        if self.moved: self.settle()
        if self.tracing: self.record(WRITE, port, v)

    def memory_read(self, region, address, size):
        """`size` bytes at a physical address of a region."""
        door, _, base = self._windows[region]
        v = self.enter(door, address - base, size) if door else (1 << 8 * size) - 1
        if self.moved: self.settle()
        if self.tracing: self.changes()
        return v

    def memory_write(self, region, address, size, v):
        _, door, base = self._windows[region]
        if door: self.enter(door, address - base, size, v)
        if self.moved: self.settle()
        if self.tracing: self.changes()

    def look(self, region, address, n):
        """The bytes that n reads of a region would show, without reading: latches and the like stay as they are."""
        door, _, base = self._windows[region]
        before, moved = self.words.copy(), self.moved
        out = bytes(self.enter(door, address + i - base, 1) & 255 for i in range(n)) if door else b"\xff" * n
        self.words[:], self.moved = before, moved
        return out

    @property
    def irq(self):
        """The arrays of the interrupt trace."""
        return irq_trace.IrqTrace(self.bus.ring, self.bus.irq, self.bus.watch, self.bus.lines, self.bus.frames)

    def next_deadline(self):
        """The tick at which something falls due, NEVER if nothing will."""
        return wires().next_deadline(self._bus)

    def acknowledge(self):
        """What the processor does when INTR is high and IF is set: the vector."""
        if self._ports[READ, 0, APIC_INTA] and (v := self.read(APIC_INTA)) >= 0:
            wires().note_accept(self._bus, (v >> 8) - 1, v & 255, irq_trace.LINES + (v & 255))
            return v & 255
        v = self.read(INTA)
        line = v & 7
        if v < 0:
            v = self.read(INTA - 1 - v)
            line = 8 | v & 7
        wires().note_accept(self._bus, line, v, line)
        return v

    def settle(self):
        """Let the wires carry what the outputs show: compiled, and here for a chip that only Python can tell."""
        while wires().settle(self._bus, ALL):
            word, bit, _, _, door = self.bus.pins[wires().next_change(self._bus, ALL)].tolist()
            self.words[word] ^= 1 << bit
            self.enter(door, bit, int(self.words[word]) >> bit & 1)
        self.moved, self.clock.unsettled = False, 0

    def advance(self, n):
        """n ticks pass; what falls due in them happens, each at its own tick."""
        end = self.clock.now + n
        if self.clock.unsettled: self.settle()
        while True:
            if (row := wires().earliest(self._bus)) < 0: break
            word, door = self.bus.dues[row].tolist()
            when = int(self.words[word])
            if when > end: break
            self.clock.now = max(when, self.clock.now)
            self.words[word] = irq_trace.NEVER
            self.enter(door)
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
        irq_trace.sync(self.bus)
        return sorted(n for n in mine.keys() | theirs.keys() if n not in mine or not fits(n))

    @staticmethod
    def diff(a, b):
        """[(name, before, after)]"""
        a, b = columns(a), columns(b)
        return [(f"{n}[{i}]" if a[n].size > 1 else n, int(a[n].flat[i]), int(b[n].flat[i]))
                for n in a if n in b for i in np.flatnonzero(a[n].ravel() != b[n].ravel())]


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

"""Stand-ins for the parts of a machine, so that the VM's own rules can be tested exactly and fast.

The fake processor runs a Python generator: each `yield` is one instruction, and what is yielded may be "hlt", "reset", "triple".
The board is real where timers matter (PIT, RTC, PICs); video, keyboard, serial line and floppy controller are the least that answers.
"""
import time
from types import SimpleNamespace

import numpy as np

from pyv86_nb import assembly
from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.devices.chip import NEVER
from pyv86_nb.devices.clock import Clock


class FakeMemory:
    def __init__(self, n):
        self.ram, self.region = np.zeros(n, np.uint8), np.zeros(1 << 20, np.uint8)
        self.writes = []

    def read(self, at, n):
        out = bytearray(b"\xff" * n)
        have = self.ram[at:at + n]
        out[:len(have)] = have.tobytes()
        return bytes(out)

    def write(self, at, data):
        self.writes.append((at, bytes(data)))
        self.ram[at:at + len(data)] = np.frombuffer(bytes(data), np.uint8)


class FakeProcessor:
    tier = "python"
    faults = ["#UD(0x0)", "#DF(0x0)"]

    def __init__(self, board, program):
        self.board, self.program, self.instructions = board, program, 0
        self.cpu = SimpleNamespace(halted=0, tsc_offset=0, extra=0, segment=[SimpleNamespace(base=0, rights=0)] * 8)
        self.now = 0
        self.registers = {}
        self.resets = 0
        self.delay = 0.0

    def start(self, machine):
        self.code = iter(self.program(machine)) if self.program else None

    def get(self, name):
        if name == "instructions": return self.instructions
        return self.registers.get(name, (0, 0) if name in ("gdtr", "idtr") else 0)

    def set(self, name, value):
        if name == "cs" and value == 0xBAD8: raise ValueError("cs = 0xbad8: no descriptor")
        self.registers[name] = value

    def bus_changed(self): pass

    def reset(self, init=False):
        self.resets += 1
        self.cpu.halted = 0

    @property
    def worked(self): return self.instructions                             # no instruction here repeats

    def step(self):
        """'' or a reason."""
        what = next(self.code, "loop") if self.code else "loop"
        self.board.advance(1)
        self.instructions += 1
        self.registers["eip"] = self.instructions
        if what == "hlt": self.cpu.halted = 1
        return {"reset": "reset", "triple": "triple-fault", "off": "shutdown"}.get(what, "")


class FakeVga:
    def __init__(self, changed=lambda what: None):
        self.changed = changed
        self.cells = np.full((25, 80), 0x0720, np.uint16)
        self.row = self.column = 0

    def print(self, text):
        self.changed("screen")
        for c in text:
            if c == "\n": self.row, self.column = self.row + 1, 0
            else:
                self.cells[self.row, self.column] = 0x0700 | ord(c)
                self.column += 1
            if self.row == 25:
                self.cells[:-1] = self.cells[1:].copy()
                self.cells[-1] = 0x0720
                self.row = 24

    def clear(self):
        self.changed("screen")
        self.cells[:] = 0x0720
        self.row = self.column = 0


class FakeKeyboard:
    def __init__(self): self.moves, self.full, self.raw = [], False, b""
    def press(self, code): self.moves.append((code, True))
    def release(self, code): self.moves.append((code, False))
    def scancodes(self, data): self.raw += data
    @property
    def room(self): return 0 if self.full else 16


class FakeUart:
    def __init__(self, changed): self.changed, self.sent, self.seen = changed, b"", b""
    def drain(self): data, self.sent = self.sent, b""; return data

    @property
    def out(self): return self.sent

    @out.setter
    def out(self, data):
        self.sent = data
        self.changed("line")
    def receive(self, data): self.seen += data; return len(data)


class FakeFdc:
    def __init__(self): self.disks = [None] * 4
    def insert(self, n, disk, geometry): self.disks[n] = disk
    def eject(self, n): self.disks[n] = None


class FakeMachine(assembly.Machine):
    """A PC whose program is a generator function of the machine."""

    def __init__(self, options, disks=(), program=None):
        board = at_pc(clock=Clock(ips=options.ticks_per_second))
        super().__init__(FakeMemory(options.memory), board, FakeProcessor(board, program))
        self.options = options
        self.vga_fake, self.keyboard, self.fdc = FakeVga(self.changed), FakeKeyboard(), FakeFdc()
        self.uarts = [FakeUart(self.changed), None, None, None]
        for n, d in enumerate(disks):
            if d is not None: self.fdc.disks[n] = d
        self.slices, self.watched = [], False
        self.processor.start(self)

    def text_cells(self): return self.vga_fake.cells.copy()

    def watch(self, on): self.watched = on

    def changed(self, what):
        if self.watched: self.watched, self.noticed = False, what

    def run(self, ticks):
        self.slices.append(ticks)
        self.noticed = ""
        p, end = self.processor, self.now + ticks
        if p.delay: time.sleep(p.delay)
        while self.now < end:
            if self.halted:
                if not self.chips["cpu"].INTR:
                    when = self.next_deadline
                    if when == NEVER: return "halted"
                    self.board.advance(min(when, end) - self.now)
                    if not self.chips["cpu"].INTR: continue
                p.cpu.halted = 0
            why = p.step()
            if why or self.noticed: return why
        return ""


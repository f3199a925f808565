"""A machine put together: memory, board and processor, and what the PC's rooms ask of them.

This is the only file of the VM that knows how the board names its chips.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from . import screen as video
from .board import timers
from .board.rate import set_rate
from .engine import irq_trace
from .engine.bus import earliest
from .options import Options

KEYS_IN_FLIGHT = 4                                       # typed text waits while more codes than this are on their way
NOTHING = np.zeros((0, 0), np.uint16)
SERIAL_LINES = 4


class Machine:
    """Memory, board, processor.  Everything here is called between two slices, by one thread at a time."""

    def __init__(self, memory: Any, board: Any, processor: Any) -> None:
        self.memory, self.board, self.processor = memory, board, processor
        self.chips = board.chips
        self.vga, self.keyboard, self.fdc = (self.chips.get(n) for n in ("vga", "kbc", "fdc"))
        self.uarts = [self.chips.get(f"com{n + 1}") for n in range(SERIAL_LINES)]
        self.lines: list[Any] = []                       # watcher.Line of each serial port
        self.outgoing = [bytearray() for _ in range(SERIAL_LINES)]
        self.shift = 0                                   # what changes of the rate have taken from the board's count of ticks

    # TIME

    @property
    def now(self) -> int:
        """Ticks since power-on; they never run backwards."""
        return int(self.board.clock.now) + self.shift

    @property
    def ips(self) -> int:
        return int(self.board.clock.ips)

    @property
    def time(self) -> float:
        return int(self.board.clock.now) / self.ips

    def set_rate(self, ips: int) -> None:
        """Another number of ticks a guest second, from now on.  Guest time does not jump."""
        gone = set_rate(self.board, ips)
        self.processor.cpu["tsc_offset"] += gone
        self.processor.cpu["extra"] -= gone
        self.shift += gone

    @property
    def next_deadline(self) -> int:
        """The tick at which something falls due by itself."""
        return int(earliest(self.board.words, self.board.dues)[0]) + self.shift

    # RUNNING

    def run(self, ticks: int) -> str:
        """A slice.  Answers "" or a reason to stop, as `Stop` names it."""
        return self.board.run(self.processor, ticks)

    def reset(self) -> None:
        self.board.reset()
        self.processor.reset()

    @property
    def halted(self) -> bool:
        return bool(self.processor.cpu["halted"][0])

    def detail(self, reason: str) -> str:
        """One sentence on a stop."""
        get = self.processor.get
        at = f"CS:EIP {int(get('cs')):04X}:{int(get('eip')):08X}"
        if reason == "triple-fault":
            return f"{self.processor.faults} at {at}"
        if reason == "halted":
            return f"HLT with interrupts disabled, {at}; nothing can wake it but a reset"
        return at

    def close(self) -> None:
        self.outgoing = [bytearray() for _ in range(SERIAL_LINES)]

    # CODE

    @property
    def code_base(self) -> int:
        return int(self.processor.cpu["segment"]["base"][0, 1])

    @property
    def code_bits(self) -> int:
        return 32 if int(self.processor.cpu["segment"]["rights"][0, 1]) & 0x4000 else 16

    # WHAT IS CONNECTED

    def text_cells(self) -> np.ndarray:
        return video.text_cells(self.vga) if self.vga is not None else NOTHING

    def key(self, code: str, down: bool) -> None:
        if self.keyboard is not None:
            (self.keyboard.press if down else self.keyboard.release)(code)

    def move_mouse(self, dx: int, dy: int, wheel: int) -> None:
        if self.keyboard is not None:
            self.keyboard.move_mouse(dx, dy, wheel)

    def mouse_button(self, n: int, down: bool) -> None:
        if self.keyboard is not None:
            self.keyboard.mouse_button(n, down)

    def scancodes(self, codes: bytes) -> None:
        if self.keyboard is not None:
            self.keyboard.scancodes(codes)

    def keyboard_has_room(self) -> bool:
        return self.keyboard is None or self.keyboard.room >= KEYS_IN_FLIGHT

    def uart(self, n: int) -> Any:
        return self.uarts[n]

    def collect(self) -> None:
        """Serial lines: what the guest sent, and what is on its way to it."""
        for n, uart in enumerate(self.uarts):
            if uart is None:
                continue
            data = uart.drain()
            if data:
                self.lines[n].came(bytes(data), self.now)
            if self.outgoing[n]:
                taken = uart.receive(bytes(self.outgoing[n]))
                del self.outgoing[n][:taken]

    def disk(self, number: int) -> Any:
        return self.fdc.disk(number) if self.fdc is not None else None

    def insert(self, number: int, disk: Any) -> None:
        if self.fdc is None:
            raise ValueError("this machine has no floppy controller")
        self.fdc.insert(number, disk)

    # NUMBERS

    def timers(self) -> np.ndarray:
        return timers.table(self.board, int(self.board.clock.now) + int(self.processor.cpu["tsc_offset"][0]))


    # THE INTERRUPT TRACE: the board writes it

    def irq_ring(self, capacity: int) -> None:
        """Begin anew with a ring of `capacity` rows.  Jitted code holds the arrays, so the bus gets new ones."""
        self.board.irq = self.board.irq._replace(ring=np.zeros(capacity, irq_trace.ROW))
        if self.board.bus is not None:
            self.board.bus = self.board.bus._replace(irq=self.board.irq)
            self.processor.bus = self.board.bus
        self.irq_clear()
        self.irq_recording(True)

    def irq_recording(self, on: bool) -> None:
        self.board.irq.state[irq_trace.ON] = on

    def irq_clear(self) -> None:
        self.board.irq.state[irq_trace.HEAD] = 0


def assemble(o: Options, disks: list[Any]) -> Machine:
    """The PC that the options ask for, at power-on."""
    raise ValueError("no board")

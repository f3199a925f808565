"""What each input does to the machine, when its tick has come.  An event is a tuple: its name, and what it carries."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .inputs import Event
from .keyboard import movements

if TYPE_CHECKING:
    from .vm import VM


class Events:
    """The inputs of one machine.  Only `Inputs` calls this, between two slices."""

    def __init__(self, vm: VM) -> None:
        self.vm = vm
        self.held: set[str] = set()                      # keys that are down
        self.buttons = 0                                 # of the mouse, as the browser counts them

    def apply(self, event: Event) -> None:
        getattr(self, event[0])(*event[1:])

    # KEYBOARD AND MOUSE

    def key_down(self, code: str) -> None:
        if code not in self.held:                        # the browser's repeats: the keyboard has its own typematic
            self.held.add(code)
            self.vm._machine.key(code, True)

    def key_up(self, code: str) -> None:
        if code in self.held:
            self.held.discard(code)
            self.vm._machine.key(code, False)

    def release_all(self) -> None:
        for code in sorted(self.held):
            self.vm._machine.key(code, False)
        self.held.clear()
        if self.buttons:
            self.mouse(0, 0, 0, 0)

    def mouse(self, dx: int, dy: int, wheel: int = 0, buttons: int | None = None) -> None:
        """buttons: as the browser's MouseEvent.buttons, 1 left, 2 right, 4 middle; None: as they are."""
        self.vm._machine.move_mouse(int(dx), int(dy), int(wheel))
        pressed = self.buttons if buttons is None else int(buttons)
        for n in range(3):
            if (pressed ^ self.buttons) >> n & 1:
                self.vm._machine.mouse_button(n, bool(pressed >> n & 1))
        self.buttons = pressed

    def button(self, n: int, down: bool) -> None:
        self.vm._machine.mouse_button(n, down)

    def paste(self, text: str) -> None:
        self.movements(tuple(movements(text)))

    def movements(self, moves: tuple[Event, ...]) -> None:
        self.vm._inputs.type(list(moves), self.vm._machine.now)

    def scancodes(self, codes: bytes) -> None:
        self.vm._machine.scancodes(codes)

    # DISKS AND LINES

    def insert(self, drive: str, source: str, disk: Any) -> None:
        getattr(self.vm, drive).source = source
        self.vm._machine.insert(getattr(self.vm, drive).number, disk)

    def eject(self, drive: str) -> None:
        getattr(self.vm, drive).source = ""
        self.vm._machine.insert(getattr(self.vm, drive).number, None)

    def serial(self, number: int, data: bytes) -> None:
        self.vm._machine.outgoing[number] += data

    # THE MACHINE ITSELF

    def rate(self, ips: int) -> None:
        self.vm._runner.set_rate(ips)

    def power_button(self) -> None:
        self.vm._machine.press_power_button()

    def reset(self) -> None:
        self.vm._runner.pending_reset = ""
        self.vm._machine.reset()

    KNOWN = ("key_down", "key_up", "release_all", "mouse", "button", "paste", "movements", "scancodes", "insert", "eject", "serial", "rate",
             "power_button", "reset")

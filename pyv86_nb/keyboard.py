"""`vm.keyboard` and `vm.mouse`: fingers for scripts.

    vm.keyboard.type("dir\\n")           # paced in guest time; what the layout cannot type is refused
    vm.keyboard.press("ctrl+alt+delete")
    vm.keyboard.scancodes(b"\\x1e\\x9e")  # raw bytes from the keyboard

Keys have the names of the browser's KeyboardEvent.code ("KeyA", "Digit1", "ArrowUp"); short names are in NAMES.
"""
from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from .inputs import Event

if TYPE_CHECKING:
    from .vm import VM

NAMES = {
    "ctrl": "ControlLeft", "control": "ControlLeft", "alt": "AltLeft", "shift": "ShiftLeft", "altgr": "AltRight", "win": "MetaLeft",
    "meta": "MetaLeft", "del": "Delete", "delete": "Delete", "ins": "Insert", "insert": "Insert", "esc": "Escape", "escape": "Escape",
    "enter": "Enter", "return": "Enter", "tab": "Tab", "space": "Space", "backspace": "Backspace", "up": "ArrowUp", "down": "ArrowDown",
    "left": "ArrowLeft", "right": "ArrowRight", "home": "Home", "end": "End", "pageup": "PageUp", "pagedown": "PageDown", "pgup": "PageUp",
    "pgdn": "PageDown", "capslock": "CapsLock", "numlock": "NumLock", "scrolllock": "ScrollLock", "pause": "Pause", "print": "PrintScreen",
    "printscreen": "PrintScreen", "minus": "Minus", "equal": "Equal", "comma": "Comma", "period": "Period", "slash": "Slash",
    "backslash": "Backslash", "semicolon": "Semicolon", "quote": "Quote", "backquote": "Backquote", "menu": "ContextMenu",
    **{c: f"Key{c.upper()}" for c in "abcdefghijklmnopqrstuvwxyz"}, **{c: f"Digit{c}" for c in "0123456789"},
    **{f"f{n}": f"F{n}" for n in range(1, 13)},
    "-": "Minus", "=": "Equal", ",": "Comma", ".": "Period", "/": "Slash", "\\": "Backslash", ";": "Semicolon", "'": "Quote", "`": "Backquote",
    "[": "BracketLeft", "]": "BracketRight",
}


class Keyboard:
    """The keyboard of the machine.  Calls return at once; the keys reach the guest as it runs."""

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def type(self, text: str) -> None:
        """Type text on a US keyboard, one key after another in guest time.

        Raises
        ------
        ValueError
            For a character that the layout does not have; nothing is typed.
        """
        if not isinstance(text, str):
            raise TypeError(f"vm.keyboard.type takes a str, not {text!r}")
        self._vm._check_open()
        movements(text)
        self._vm._post("paste", text)

    def press(self, keys: str) -> None:
        """Press keys together and release them: "ctrl+alt+delete", "f1", "shift+tab", "KeyA"."""
        if not isinstance(keys, str):
            raise TypeError(f"vm.keyboard.press takes a name such as \"ctrl+alt+delete\", not {keys!r}")
        self._vm._check_open()
        codes = chord(keys)
        self._vm._post("movements", tuple([("key_down", c) for c in codes] + [("key_up", c) for c in reversed(codes)]))

    def scancodes(self, codes: bytes) -> None:
        """Send raw bytes as the keyboard would, whatever its scan-code set is."""
        if not isinstance(codes, (bytes, bytearray, list, tuple)):
            raise TypeError(f"vm.keyboard.scancodes takes bytes, not {codes!r}")
        self._vm._check_open()
        self._vm._post("scancodes", bytes(codes))


class Mouse:
    """The PS/2 mouse of the machine, with a wheel.  What is asked for happens one after the other in guest time, keys included."""

    BUTTONS = ("left", "right", "middle")

    def __init__(self, vm: VM) -> None:
        self._vm = vm

    def move(self, dx: int, dy: int) -> None:
        """Counts to the right and downwards."""
        self._vm._check_open()
        for n in (dx, dy):
            if isinstance(n, bool) or not isinstance(n, int) or abs(n) > 4096:
                raise ValueError(f"move({dx!r}, {dy!r}): give two ints from -4096 to 4096")
        self._vm._post("movements", (("mouse", dx, dy, 0, None),))

    def wheel(self, clicks: int) -> None:
        """Turn the wheel: positive towards the user, so that a page goes down."""
        self._vm._check_open()
        if isinstance(clicks, bool) or not isinstance(clicks, int) or abs(clicks) > 256:
            raise ValueError(f"wheel({clicks!r}): give an int from -256 to 256")
        self._vm._post("movements", (("mouse", 0, 0, clicks, None),))

    def press(self, button: str = "left") -> None:
        """Press a button ("left", "right", "middle") and hold it, to drag something."""
        self._buttons("press", button, True)

    def release(self, button: str = "left") -> None:
        """Release a button."""
        self._buttons("release", button, False)

    def click(self, button: str = "left") -> None:
        """Press a button and release it."""
        self._buttons("click", button, True, False)

    def _buttons(self, what: str, button: str, *downs: bool) -> None:
        self._vm._check_open()
        if button not in self.BUTTONS:
            raise ValueError(f"{what}({button!r}): the buttons are {', '.join(self.BUTTONS)}")
        n = self.BUTTONS.index(button)
        self._vm._post("movements", tuple(("button", n, down) for down in downs))


def movements(text: str) -> list[Event]:
    """Key movements that type `text` on a US keyboard."""
    from .keyboard_layout import keys_for

    return [("key_down" if down else "key_up", code) for code, down in keys_for(text)]


def chord(keys: str) -> list[str]:
    """Key codes of "ctrl+alt+delete"; "+" itself is "shift+equal"."""
    codes = []
    for word in keys.split("+"):
        code = NAMES.get(word.strip().lower(), word.strip())
        if code not in known_codes():
            near = difflib.get_close_matches(word.strip().lower(), NAMES, 1)
            hint = f"did you mean {near[0]!r}?" if near else "use names such as \"ctrl\", \"f1\", \"a\", or codes such as \"KeyA\""
            raise ValueError(f"press({keys!r}): there is no key {word.strip()!r}; {hint}")
        codes.append(code)
    return codes


def known_codes() -> frozenset[str]:
    from .keyboard_layout import CODES

    return frozenset(CODES)

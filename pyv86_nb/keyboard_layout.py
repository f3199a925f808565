"""Text as key movements on a US keyboard.

    keys_for("Dir\\n")     [("ShiftLeft", True), ("KeyD", True), ("KeyD", False), ("ShiftLeft", False), ...]

Names are those of the W3C's KeyboardEvent `code`; True is down, False is up.
"""
from __future__ import annotations

from .devices.key_codes import KEYS

CODES: frozenset[str] = frozenset(KEYS)                  # every key that the keyboard has

_PLAIN = {" ": "Space", "\n": "Enter", "\r": "Enter", "\t": "Tab", "\b": "Backspace", "\x1b": "Escape",
          "\x7f": "Delete"}
_PLAIN |= {c: f"Key{c.upper()}" for c in "abcdefghijklmnopqrstuvwxyz"} | {c: f"Digit{c}" for c in "0123456789"}
_SHIFTED = {c: f"Key{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_SHIFTED |= {c: f"Digit{d}" for c, d in zip(")!@#$%^&*(", "0123456789")}
for _both, _key in (("`~", "Backquote"), ("-_", "Minus"), ("=+", "Equal"), ("[{", "BracketLeft"),
                    ("]}", "BracketRight"), ("\\|", "Backslash"), (";:", "Semicolon"), ("'\"", "Quote"),
                    (",<", "Comma"), (".>", "Period"), ("/?", "Slash")):
    _PLAIN[_both[0]], _SHIFTED[_both[1]] = _key, _key


def keys_for(text: str) -> list[tuple[str, bool]]:
    """Key movements (code, down) that type `text`, one key after another; "\\r\\n" is one Enter.

    Raises
    ------
    TypeError
        For something that is not a str.
    ValueError
        For a character that a US keyboard cannot type; nothing is half typed.
    """
    if not isinstance(text, str):
        raise TypeError(f"keys_for() takes a str to type, not {text!r}")
    out: list[tuple[str, bool]] = []
    for at, c in enumerate(text := text.replace("\r\n", "\n")):
        if c in _PLAIN:
            out += [(_PLAIN[c], True), (_PLAIN[c], False)]
        elif c in _SHIFTED:
            out += [("ShiftLeft", True), (_SHIFTED[c], True), (_SHIFTED[c], False), ("ShiftLeft", False)]
        else:
            raise ValueError(f"the character {c!r} at position {at} is not on a US keyboard; type what it has, or "
                             "press keys by name")
    return out

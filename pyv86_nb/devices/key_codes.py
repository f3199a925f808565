"""What each key of an enhanced keyboard sends, by its W3C name (UI Events, KeyboardEvent `code`).

IBM PS/2 Hardware Interface Technical Reference (1988), "Scan code set 1", "2", "3"; the multimedia keys as in
"Keyboard Scan Code Specification" (Microsoft, 2000).  Set 1 is not listed: for every key it is set 2 seen through the
translation of the 8042.
"""
from __future__ import annotations

import numpy as np

# Set 2 -> set 1, codes 00-7F; the rest stands for itself but for F7 and Alt-SysRq.
XLAT = np.concatenate([np.frombuffer(bytes.fromhex("""
    ff 43 41 3f 3d 3b 3c 58  64 44 42 40 3e 0f 29 59
    65 38 2a 70 1d 10 02 5a  66 71 2c 1f 1e 11 03 5b
    67 2e 2d 20 12 05 04 5c  68 39 2f 21 14 13 06 5d
    69 31 30 23 22 15 07 5e  6a 72 32 24 16 08 09 5f
    6b 33 25 17 18 0b 0a 60  6c 34 35 26 27 19 0c 61
    6d 73 28 74 1a 0d 62 6e  3a 36 1c 1b 75 2b 63 76
    55 56 77 78 79 7a 0e 7b  7c 4f 7d 4b 47 7e 7f 6f
    52 53 50 4c 4d 48 01 45  57 4e 51 4a 37 49 46 54"""), np.uint8), np.arange(128, 256)]).astype(np.int64)
XLAT[0x83], XLAT[0x84] = 0x41, 0x54

# name, set 2 (E0xx: after the prefix E0), set 3 (00: the key is not in that set)
_TABLE = """
    Backquote 0E 0E     Digit1 16 16        Digit2 1E 1E        Digit3 26 26        Digit4 25 25        Digit5 2E 2E
    Digit6 36 36        Digit7 3D 3D        Digit8 3E 3E        Digit9 46 46        Digit0 45 45        Minus 4E 4E
    Equal 55 55         Backspace 66 66     Tab 0D 0D           KeyQ 15 15          KeyW 1D 1D          KeyE 24 24
    KeyR 2D 2D          KeyT 2C 2C          KeyY 35 35          KeyU 3C 3C          KeyI 43 43          KeyO 44 44
    KeyP 4D 4D          BracketLeft 54 54   BracketRight 5B 5B  Backslash 5D 5C     CapsLock 58 14      KeyA 1C 1C
    KeyS 1B 1B          KeyD 23 23          KeyF 2B 2B          KeyG 34 34          KeyH 33 33          KeyJ 3B 3B
    KeyK 42 42          KeyL 4B 4B          Semicolon 4C 4C     Quote 52 52         Enter 5A 5A         ShiftLeft 12 12
    IntlBackslash 61 13 KeyZ 1A 1A          KeyX 22 22          KeyC 21 21          KeyV 2A 2A          KeyB 32 32
    KeyN 31 31          KeyM 3A 3A          Comma 41 41         Period 49 49        Slash 4A 4A         ShiftRight 59 59
    ControlLeft 14 11   AltLeft 11 19       Space 29 29         AltRight E011 39    ControlRight E014 58
    Insert E070 67      Delete E071 64      Home E06C 6E        End E069 65         PageUp E07D 6F      PageDown E07A 6D
    ArrowUp E075 63     ArrowLeft E06B 61   ArrowDown E072 60   ArrowRight E074 6A
    NumLock 77 76       Numpad7 6C 6C       Numpad4 6B 6B       Numpad1 69 69       NumpadDivide E04A 77
    Numpad8 75 75       Numpad5 73 73       Numpad2 72 72       Numpad0 70 70       NumpadMultiply 7C 7E
    Numpad9 7D 7D       Numpad6 74 74       Numpad3 7A 7A       NumpadDecimal 71 71 NumpadSubtract 7B 84
    NumpadAdd 79 7C     NumpadEnter E05A 79 Escape 76 08        F1 05 07            F2 06 0F            F3 04 17
    F4 0C 1F            F5 03 27            F6 0B 2F            F7 83 37            F8 0A 3F            F9 01 47
    F10 09 4F           F11 78 56           F12 07 5E           PrintScreen E07C 57 ScrollLock 7E 5F    Pause E077 62
    MetaLeft E01F 8B    MetaRight E027 8C   ContextMenu E02F 8D IntlRo 51 51        IntlYen 6A 5D       KanaMode 13 87
    Convert 64 86       NonConvert 67 85    NumpadComma 6D 00   NumpadEqual 0F 00   F13 08 00           F14 10 00
    F15 18 00           F16 20 00           F17 28 00           F18 30 00           F19 38 00           F20 40 00
    F21 48 00           F22 50 00           F23 57 00           F24 5F 00           Power E037 00       Sleep E03F 00
    WakeUp E05E 00      AudioVolumeMute E023 00                 AudioVolumeDown E021 00
    AudioVolumeUp E032 00                   MediaPlayPause E034 00                  MediaStop E03B 00
    MediaTrackPrevious E015 00              MediaTrackNext E04D 00                  MediaSelect E050 00
    LaunchMail E048 00  LaunchApp1 E040 00  LaunchApp2 E02B 00  BrowserSearch E010 00
    BrowserHome E03A 00 BrowserFavorites E018 00                BrowserRefresh E020 00
    BrowserStop E028 00 BrowserForward E030 00                  BrowserBack E038 00
"""
_words = _TABLE.split()
KEYS: dict[str, tuple[int, int]] = {n: (int(a, 16), int(b, 16)) for n, a, b in zip(*(_words[i::3] for i in range(3)))}
NUMBER: dict[str, int] = {name: i for i, name in enumerate(KEYS)}

# Keys of the editing and cursor group: with Num Lock or Shift they wrap their codes in shifts that nobody pressed, so
# that a program which only knows the 84-key numeric pad sees the cursor function.
CURSOR = frozenset("Insert Delete Home End PageUp PageDown ArrowUp ArrowLeft ArrowDown ArrowRight".split())

# Set 3 begins with these types ("Scan code set 3", column "default key state"); all others are typematic.
MAKE_BREAK = frozenset(KEYS[n][1] for n in ("ShiftLeft", "ShiftRight", "CapsLock", "ControlLeft", "AltLeft"))
MAKE_ONLY = frozenset(KEYS[n][1] for n in (
    "AltRight ControlRight Insert Home End PageUp PageDown NumLock Numpad0 Numpad1 Numpad2 Numpad3 Numpad4 Numpad5 "
    "Numpad6 Numpad7 Numpad8 Numpad9 NumpadDivide NumpadMultiply NumpadSubtract NumpadEnter NumpadDecimal Escape "
    "PrintScreen ScrollLock Pause MetaLeft MetaRight ContextMenu F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12").split())


def _one(code: int, down: bool, number: int) -> bytes:
    """One code of set 2, or of set 1 made from it."""
    prefix, code = (b"\xE0" if code >> 8 else b""), code & 0xFF
    if number == 1:
        return prefix + bytes([int(XLAT[code]) | (0 if down else 0x80)])
    return prefix + (b"" if down else b"\xF0") + bytes([code])


def codes(key: str, down: bool, number: int, shift: int = 0, control: bool = False, alt: bool = False,
          num_lock: bool = False) -> tuple[bytes, bytes]:
    """What a key sends in scan code set `number` when it goes down or up, as (all of it, what typematic repeats).

    shift: bit 0 left, bit 1 right.  Empty bytes where the key sends nothing.  KeyError for a name that is not in KEYS.
    """
    two, three = KEYS[key]
    if number == 3:
        made = bytes([three]) if three else b""
        return (made if down or not made else b"\xF0" + made), made
    one = lambda code, d=down: _one(code, d, number)
    if key == "Pause":                                   # no break, no repeat; with Ctrl it is Break
        if not down:
            return b"", b""
        keys = (0xE07E,) if control else (0x14, 0x77)
        both = b"".join(one(k, True) for k in keys) + b"".join(one(k, False) for k in keys)
        return (both if control else _pause(number)), b""
    if key == "PrintScreen":
        if alt:
            return one(0x84), one(0x84)                  # SysRq
        if shift or control:
            return one(0xE07C), one(0xE07C)
        return (one(0xE012) + one(0xE07C) if down else one(0xE07C) + one(0xE012)), one(0xE07C)
    made, wrap = one(two), []
    if key in CURSOR and shift and not num_lock or key == "NumpadDivide" and shift:
        wrap = [(0xE012, False)] * (shift & 1) + [(0xE059, False)] * (shift >> 1)
    elif key in CURSOR and num_lock and not shift:
        wrap = [(0xE012, True)]
    before = b"".join(one(c, d) for c, d in wrap)
    after = b"".join(one(c, not d) for c, d in reversed(wrap))
    return (before + made if down else made + after), made


def _pause(number: int) -> bytes:
    return bytes.fromhex("E11D45E19DC5" if number == 1 else "E11477E1F014F077")

"""IBM enhanced keyboard.   IBM PS/2 Hardware Interface Technical Reference (1988), "Keyboard (101- and 102-key)".

    keys --> scan --> buffer (16 bytes) --> +------+      The reply to a command goes before scan codes that wait.
                typematic  -^               | out  | -->  A full buffer ends with one overrun code, 00 (set 1: FF).
    command --> reply (4 bytes) ----------> +------+      While codes wait, a key that repeats adds nothing.

    ED leds   EE echo   F0 set (0: which?)   F2 identify: AB 83   F3 rate and delay   F4 enable   F5 default, disable
    F6 default   F7 F8 F9 FA all keys typematic, make/break, make only, both   FB FC FD the same for single keys (set 3)
    FE again   FF reset

This is the far end of the cable: a part of the 8042 (kbc_8042.py), which moves the bytes and keeps the time.  Sets 1
and 2 repeat every key but Pause; set 3 has a type for each key.

Not emulated: the bits on the cable (no parity error ever), the 500 ms of the self-test (BAT takes 10 ms), and the AA
at power-on (the keyboard had its self-test before the first instruction).
"""
from __future__ import annotations

from .chip import NEVER, Chip, buffer, field, keep, kernel
from .key_codes import KEYS, MAKE_BREAK, MAKE_ONLY, NUMBER, codes

SIZE = 16                                                # bytes of the scan-code buffer
ACK, RESEND, BAT_OK, ECHO = 0xFA, 0xFE, 0xAA, 0xEE
TYPEMATIC, BREAKS = 1, 2                                 # a set 3 key type: repeats, sends its break
BAT_US = 10_000
RATE = 0x2B                                              # 10.9 a second after 500 ms


# THE HOST'S SIDE: bytes out, commands in

@kernel
def waiting(kb, now):
    """Whether the keyboard wants to send."""
    return kb.replies > 0 or kb.count > 0


@kernel
def reply(kb, v):
    if kb.replies < 4:
        kb.reply[kb.replies] = v
        kb.replies += 1


@kernel
def take(kb, now):
    """The next byte on the cable.  Only when something is waiting."""
    if kb.replies > 0:
        v = int(kb.reply[0])
        for i in range(3): kb.reply[i] = kb.reply[i + 1]
        kb.replies -= 1
        if kb.bat and kb.replies == 0:                   # the self-test runs once its ACK is out
            kb.bat = 0
            reply(kb, BAT_OK)
            kb.ready = now + kb.ips * BAT_US // 1_000_000
    else:
        v = int(kb.queue[kb.head])
        kb.head = (kb.head + 1) % SIZE
        kb.count -= 1
    if v != RESEND: kb.last = v
    return v


@kernel
def scan_code(kb, v):
    """One byte into the buffer; the last place is for the overrun code."""
    if kb.count == SIZE: return
    if kb.count == SIZE - 1: v = 0xFF if kb.scan_set == 1 else 0
    kb.queue[(kb.head + kb.count) % SIZE] = v
    kb.count += 1


@kernel
def clear(kb):
    kb.count = 0
    kb.repeating = NEVER


@kernel
def default_types(kb):
    for i in range(144): kb.types[i] = kb.first_types[i]


@kernel
def defaults(kb):
    """F5, F6, FF: typematic 10.9 a second after 500 ms, set 2, default key types."""
    clear(kb)
    kb.rate, kb.scan_set, kb.expect = RATE, 2, 0
    default_types(kb)


@kernel
def parameter(kb, v):
    """The byte after ED, F0, F3; after FB, FC, FD any number of set 3 codes."""
    c = kb.expect
    if c < 0xFB: kb.expect = 0
    if c == 0xED: kb.leds = v & 7
    elif c == 0xF3: kb.rate = v & 0x7F
    elif c == 0xF0:
        if v > 3:
            reply(kb, RESEND)
            return
        reply(kb, ACK)
        if v == 0: reply(kb, kb.scan_set)
        else:
            clear(kb)
            kb.scan_set = v
        return
    elif v < 144: kb.types[v] = TYPEMATIC if c == 0xFB else BREAKS if c == 0xFC else 0
    reply(kb, ACK)


@kernel
def command(kb, v, now):
    """A byte from the host.  A command ends whatever waited for a parameter."""
    kb.ready = now
    kb.replies = kb.bat = 0
    if kb.expect and v < 0xED:
        parameter(kb, v)
        return
    if kb.expect >= 0xFB: kb.scanning = 1                # "scanning is resumed by the next command"
    kb.expect = 0
    if v == 0xEE: reply(kb, ECHO)
    elif v == 0xFE: reply(kb, kb.last)
    elif v == 0xF2:
        reply(kb, ACK)
        reply(kb, 0xAB)
        reply(kb, 0x83)
    elif v < 0xED or v == 0xEF or v == 0xF1: reply(kb, RESEND)
    else:
        reply(kb, ACK)
        if v == 0xED or v == 0xF0 or v == 0xF3: kb.expect = v
        elif v == 0xF4:
            clear(kb)
            kb.scanning = 1
        elif v == 0xF5 or v == 0xF6 or v == 0xFF:
            defaults(kb)
            kb.scanning = 0 if v == 0xF5 else 1
            if v == 0xFF: kb.leds, kb.bat = 0, 1
        elif v >= 0xFB:
            clear(kb)
            kb.expect, kb.scanning = v, 0
        else:  # F7 typematic, F8 make/break, F9 make only, FA typematic and make/break
            clear(kb)
            t = TYPEMATIC if v == 0xF7 else BREAKS if v == 0xF8 else 0 if v == 0xF9 else TYPEMATIC | BREAKS
            for i in range(144): kb.types[i] = t


# THE KEYS

@kernel
def period(kb):
    """Ticks from one repeat to the next: (8 + A) * 2^B * 4.17 ms."""
    return max(kb.ips * ((8 + (kb.rate & 7)) << (kb.rate >> 3 & 3)) * 417 // 100_000, 1)


@kernel
def delay(kb):
    """Ticks until the first repeat: (1 + delay) * 250 ms."""
    return max(kb.ips * (1 + (kb.rate >> 5)) // 4, 1)


@kernel
def repeat(kb, now):
    """The key that is held sends its make code again, if the host keeps up."""
    kb.repeating = now + period(kb)
    if kb.count == 0 and kb.scanning:
        for i in range(kb.repeats): scan_code(kb, int(kb.again[i]))


class Ps2Keyboard(Chip):
    """IBM enhanced keyboard"""
    ips = field(63, "instructions per guest second", reset=keep(0))
    queue = buffer(SIZE, "scan codes that wait, a ring from `head`")
    head = field(4, "where the oldest of them is", reset=keep(0))
    count = field(5, "how many wait", reset=keep(0))
    reply = buffer(8, "bytes that answer a command; they go first")
    replies = field(3, "how many of them wait", reset=keep(0))
    bat = field(1, "the self-test begins when the ACK is out", reset=keep(0))
    ready = field(63, "instruction before which nothing is sent (self-test)", reset=keep(0))
    last = field(8, "last byte sent, for FE", reset=keep(0))
    expect = field(8, "command that waits for a parameter, or 0", reset=keep(0))
    scanning = field(1, "keys are scanned (F4, F5)", reset=keep(1))
    scan_set = field(2, "scan code set", reset=keep(2))
    leds = field(3, "lights", reset=keep(0), names="CAPS:2 NUM:1 SCROLL:0")
    rate = field(7, "typematic byte (F3)", reset=keep(RATE), names="DELAY:6-5 B:4-3 A:2-0")
    repeating = field(63, "instruction of the next repeat", reset=keep(NEVER))
    repeats = field(4, "length of `again`", reset=keep(0))
    held = field(8, "number of the key that repeats", reset=keep(0))
    again = buffer(8, "what it sends")
    down = buffer(160, "1 for each key that is down, by its number")
    types = buffer(144, "set 3 key types by code: 1 typematic, 2 sends break")
    first_types = buffer(144, "their default state")

    # RESET does not reach the keyboard: it has the supply's two wires and the cable's, no more.
    def power_on(self) -> None:
        super().power_on()
        for code in range(144):
            kind = BREAKS if code in MAKE_BREAK else 0 if code in MAKE_ONLY else TYPEMATIC
            self.first_types[code] = self.types[code] = kind

    def is_down(self, *names: str) -> bool: return any(self.down[NUMBER[n]] for n in names)

    def move(self, key: str, down: bool, now: int) -> None:
        """A finger moves a key.  A key that is down already sends nothing: the keyboard itself repeats."""
        if key not in KEYS:
            raise ValueError(f"there is no key {key!r}; keys have W3C names such as 'KeyA', 'Digit1', 'ArrowLeft'")
        n = NUMBER[key]
        if self.down[n] == down: return
        self.down[n] = down
        if self.held == n and not down: self.repeating = NEVER
        if not self.scanning: return
        sent, made = codes(key, down, self.scan_set, self.is_down("ShiftLeft") | self.is_down("ShiftRight") << 1,
                           self.is_down("ControlLeft", "ControlRight"), self.is_down("AltLeft", "AltRight"),
                           bool(self.NUM))
        kind = self.types[made[-1]] if self.scan_set == 3 and made else TYPEMATIC | BREAKS
        if not down and not kind & BREAKS: return
        for c in sent: scan_code(self, c)
        if down:
            self.repeating = now + delay(self) if made and kind & TYPEMATIC else NEVER
            self.held, self.repeats = n, len(made)
            self.again[:len(made)] = made

"""Intel 8042 as the PC's keyboard controller.   IBM PS/2 Hardware Interface Technical Reference (1988), "Keyboard and
Auxiliary Device Controller"; 8042 data sheet 210393; port 60h is offset 0, port 64h offset 4.

    keyboard ==cable==> [XLAT] --+                                  status (64h)
                                 +--> output buffer --> 60h         7 parity  6 timeout  5 from AUX  4 not inhibited
    mouse ====cable=========== --+         |                        3 last write was a command  2 SYS  1 IBF  0 OBF
    controller's own replies ----+         +--> IRQ1 or IRQ12
                                                                    command byte (20h, 60h)
    60h --> keyboard, or the data byte of a command                 6 XLAT  5 AUX off  4 keyboard off  2 SYS  1, 0 INT
    64h --> command                                                 output port (D0, D1)
                                                                    5 IRQ12  4 IRQ1  1 A20  0 /RESET

A device sends only while the output buffer is empty and its port is on; a byte takes 11 bits at 12.5 kHz (880 us) on
the cable.  The IRQ pins follow OBF.  A byte written for the keyboard turns its port on.  A reply of the controller
takes the output buffer at once.

`A20` and the pin `gate` tie this gate to that of port 92h (port_92.py): wired both ways, the two always show the
same, and the last write counts.

Not emulated: the time the 8042 itself needs (IBF is always 0), the cable's bits (no parity or timeout error),
diagnostic dump AC, polling the input port into the status (C1, C2), passwords (A4 answers "none").
"""
from __future__ import annotations

from . import ps2_keyboard, ps2_mouse
from .chip import NEVER, Chip, buffer, deadline, field, keep, kernel, parts, pin_out, pins_in, reads, writes
from .key_codes import XLAT

BYTE_US, PULSE_US = 880, 6
KEYBOARD_OFF, AUX_OFF, XLAT_ON = 0x10, 0x20, 0x40
INPUT_PORT = 0xB0  # not inhibited, colour display, no manufacturing jumper, RAM enabled
RAW = 256                                                # size of the ring of `scancodes`

kb_waiting, kb_take, kb_command = ps2_keyboard.waiting, ps2_keyboard.take, ps2_keyboard.command
kb_repeat = ps2_keyboard.repeat
ms_waiting, ms_take, ms_command = ps2_mouse.waiting, ps2_mouse.take, ps2_mouse.command


# THE OUTPUT BUFFER AND THE CABLES

@kernel
def lines(kbc):
    """IRQ1 and IRQ12 follow the output buffer."""
    kbc.IRQ1 = 1 if kbc.obf and kbc.from_aux == 0 and kbc.mode & 1 else 0
    kbc.IRQ12 = 1 if kbc.obf and kbc.from_aux and kbc.mode & 2 else 0


@kernel
def show(kbc, v, aux):
    """A byte into the output buffer."""
    kbc.data, kbc.obf, kbc.from_aux = v, 1, aux
    lines(kbc)


@kernel
def keyboard_asks(kbc, now):
    return kbc.mode & KEYBOARD_OFF == 0 and (kbc.raws > 0 or kb_waiting(kbc.keyboard[0], now))


@kernel
def mouse_asks(kbc, now):
    return kbc.mode & AUX_OFF == 0 and kbc.has_mouse and ms_waiting(kbc.mouse[0], now)


@kernel
def pump(kbc, now):
    """If the buffer is free and a device has something, its byte is on the cable now."""
    if kbc.obf or kbc.cable != NEVER: return
    when = NEVER
    if keyboard_asks(kbc, now): when = max(now, kbc.keyboard[0].ready)
    if mouse_asks(kbc, now): when = min(when, max(now, kbc.mouse[0].ready))
    if when != NEVER: kbc.cable = when + max(kbc.ips * BYTE_US // 1_000_000, 1)


@kernel
def translated(kbc, v):
    """Set 2 to set 1; -1 for the prefix F0, which becomes bit 7 of the next."""
    if kbc.mode & XLAT_ON == 0: return v
    if v == 0xF0:
        kbc.breaking = 1
        return -1
    code = int(XLAT[v]) | kbc.breaking << 7
    kbc.breaking = 0
    return code


@kernel
def from_keyboard(kbc, now):
    if kbc.raws:
        v = int(kbc.raw[kbc.raw_head])
        kbc.raw_head, kbc.raws = (kbc.raw_head + 1) % RAW, kbc.raws - 1
        show(kbc, v, 0)
    else:
        v = translated(kbc, kb_take(kbc.keyboard[0], now))
        if v >= 0: show(kbc, v, 0)
    kbc.turn = 1


@kernel
def from_mouse(kbc, now):
    show(kbc, ms_take(kbc.mouse[0], now), 1)
    kbc.turn = 0


@kernel
def rearm(kbc):
    """The keyboard's next repeat, as a deadline of this chip."""
    kbc.typematic = kbc.keyboard[0].repeating


@kernel
def to_keyboard(kbc, v, now):
    kbc.mode &= ~KEYBOARD_OFF
    kbc.breaking = kbc.raws = 0
    kb_command(kbc.keyboard[0], v, now + kbc.ips * BYTE_US // 1_000_000)
    kbc.cable = NEVER
    rearm(kbc)


@kernel
def to_mouse(kbc, v, now):
    if kbc.has_mouse:
        ms_command(kbc.mouse[0], v, now + kbc.ips * BYTE_US // 1_000_000)
        kbc.cable = NEVER
    else: show(kbc, 0xFE, 1)                             # nobody answered


# COMMANDS

@kernel
def set_mode(kbc, v):
    kbc.mode = v & 0x7F
    kbc.sys = v >> 2 & 1
    if kbc.mode & KEYBOARD_OFF or kbc.mode & AUX_OFF: kbc.cable = NEVER  # the byte on the cable is sent again later
    lines(kbc)


@kernel
def output_port(kbc):
    irq1 = 1 if kbc.obf and kbc.from_aux == 0 else 0
    irq12 = 1 if kbc.obf and kbc.from_aux else 0
    return 0xC0 | irq12 << 5 | irq1 << 4 | kbc.port2 & 0x0C | kbc.A20 << 1 | 1


@kernel
def set_output_port(kbc, v, now):
    kbc.port2 = v & 0x0C
    kbc.A20 = v >> 1 & 1
    if v & 1 == 0: pulse_reset(kbc, now)


@kernel
def pulse_reset(kbc, now):
    kbc.RESET = 1
    kbc.reset_ends = now + max(kbc.ips * PULSE_US // 1_000_000, 1)


@kernel
def argument(kbc, v, now):
    """The byte at port 60h that a command waits for."""
    c = kbc.awaits
    kbc.awaits = 0
    if c == 0x60: set_mode(kbc, v)
    elif c < 0x80: kbc.ram[c & 31] = v
    elif c == 0xA5: kbc.awaits = 0xA5 if v else 0        # a password: bytes up to 0, not kept
    elif c == 0xD1: set_output_port(kbc, v, now)
    elif c == 0xD2: show(kbc, v, 0)
    elif c == 0xD3: show(kbc, v, 1)
    else: to_mouse(kbc, v, now)


@kernel
def command_byte(kbc, c, now):
    kbc.awaits = 0
    if c == 0x20: show(kbc, kbc.mode, 0)
    elif 0x20 < c < 0x40: show(kbc, int(kbc.ram[c & 31]), 0)
    elif 0x60 <= c < 0x80 or c == 0xA5 or 0xD1 <= c <= 0xD4: kbc.awaits = c
    elif c == 0xA4: show(kbc, 0xF1, 0)                   # no password is installed
    elif c == 0xA7: set_mode(kbc, kbc.mode | AUX_OFF)
    elif c == 0xA8: set_mode(kbc, kbc.mode & ~AUX_OFF)
    elif c == 0xA9: show(kbc, 0x00, 0)                   # the lines of the cable are in order
    elif c == 0xAA:
        kbc.sys = 1
        kbc.mode |= 4
        show(kbc, 0x55, 0)
    elif c == 0xAB: show(kbc, 0x00, 0)
    elif c == 0xAD: set_mode(kbc, kbc.mode | KEYBOARD_OFF)
    elif c == 0xAE: set_mode(kbc, kbc.mode & ~KEYBOARD_OFF)
    elif c == 0xC0: show(kbc, INPUT_PORT, 0)
    elif c == 0xD0: show(kbc, output_port(kbc), 0)
    elif c == 0xE0: show(kbc, (0 if kbc.mode & KEYBOARD_OFF else 1) | (0 if kbc.mode & AUX_OFF else 2), 0)
    elif c >= 0xF0 and c & 1 == 0: pulse_reset(kbc, now)


class Kbc8042(Chip):
    """8042 keyboard controller"""
    IRQ1 = pin_out("keyboard interrupt: output buffer full")
    IRQ12 = pin_out("auxiliary device interrupt: output buffer full")
    A20 = pin_out("gate A20: 1, address line 20 passes", reset=1)
    RESET = pin_out("reset of the processor, a pulse of 6 us")
    gate = pins_in(1, "A20 as the other gate (port 92h) shows it")
    ips = field(63, "instructions per guest second", reset=keep(0))
    keyboard = parts(1, ps2_keyboard.Ps2Keyboard, "the keyboard at the end of the cable")
    mouse = parts(1, ps2_mouse.Ps2Mouse, "the mouse at the end of the auxiliary cable")
    has_mouse = field(1, "a mouse is plugged in", reset=keep(1))
    data = field(8, "output buffer")
    obf = field(1, "output buffer full")
    from_aux = field(1, "what is in it came from the auxiliary device")
    was_command = field(1, "the last write was to port 64h")
    sys = field(1, "system flag")
    mode = field(7, "command byte", reset=0x41, names="XLAT:6 AUX_OFF:5 KBD_OFF:4 IGNORE_LOCK:3 INT2:1 INT:0")
    port2 = field(4, "output port bits 3, 2 as written", reset=0x0C)
    awaits = field(8, "command that waits for its byte at port 60h, or 0")
    breaking = field(1, "translation: F0 has come")
    turn = field(1, "whose byte goes first when both wait: 0 keyboard, 1 mouse")
    ram = buffer(32, "the 8042's RAM as commands 21-3F and 61-7F reach it")
    raw = buffer(RAW, "bytes of `scancodes`, a ring from raw_head")
    raw_head = field(8, "where the oldest of them is", reset=keep(0))
    raws = field(9, "how many wait", reset=keep(0))
    cable = deadline("the byte on the cable has arrived")
    typematic = deadline("the key that is held repeats")
    reset_ends = deadline("end of the reset pulse")

    def __init__(self, name: str = "kbc", mouse: bool = True) -> None:
        super().__init__(name)
        self.plugged = int(mouse)

    def power_on(self) -> None:
        super().power_on()
        self.keyboard[0].power_on()
        self.has_mouse = self.plugged

    def reset(self, cold: bool = False) -> None:
        """RESET: the controller's; the keyboard keeps what it has, and what it has to say."""
        super().reset(cold)
        self.typematic = self.keyboard[0].repeating

    @cable.due
    @kernel
    def arrived(kbc, now):
        """A device's byte is here.  If a reply of the controller took the buffer meanwhile, it is sent again later."""
        if kbc.obf: return
        keyboard = keyboard_asks(kbc, now) and (kbc.raws > 0 or kbc.keyboard[0].ready <= now)
        mouse = mouse_asks(kbc, now) and kbc.mouse[0].ready <= now
        if keyboard and (mouse == 0 or kbc.turn == 0): from_keyboard(kbc, now)
        elif mouse: from_mouse(kbc, now)
        pump(kbc, now)

    @typematic.due
    @kernel
    def repeats(kbc, now):
        kb_repeat(kbc.keyboard[0], now)
        rearm(kbc)
        pump(kbc, now)

    @reset_ends.due
    @kernel
    def release_reset(kbc, now): kbc.RESET = 0

    @gate.changed
    @kernel
    def follow(kbc, n, level, now):
        """Port 92h has moved A20."""
        kbc.A20 = level

    # PORTS
    @reads(0, "output buffer")
    @kernel
    def read_data(kbc, now):
        kbc.obf = 0
        lines(kbc)
        pump(kbc, now)
        return kbc.data

    @writes(0, "byte for the keyboard, or for the command before it")
    @kernel
    def write_data(kbc, v, now):
        kbc.was_command = 0
        if kbc.awaits: argument(kbc, v, now)
        else: to_keyboard(kbc, v, now)
        pump(kbc, now)

    @reads(4, "status")
    @kernel
    def status(kbc, now):
        return 0x10 | (kbc.from_aux & kbc.obf) << 5 | kbc.was_command << 3 | kbc.sys << 2 | kbc.obf

    @writes(4, "command")
    @kernel
    def write_command(kbc, v, now):
        kbc.was_command = 1
        command_byte(kbc, v, now)
        pump(kbc, now)

    # THE WORLD OUTSIDE
    def _stir(self) -> None:
        rearm(self)
        pump(self, self.home.clock.now)
        self.home.settle()

    def press(self, key: str) -> None:
        """A key goes down, by its W3C name ("KeyA", "ArrowLeft"); one that is down already changes nothing.

        ValueError for an unknown name.
        """
        self.keyboard[0].move(key, True, self.home.clock.now)
        self._stir()

    def release(self, key: str) -> None:
        """A key comes up.  ValueError for an unknown name."""
        self.keyboard[0].move(key, False, self.home.clock.now)
        self._stir()

    def scancodes(self, data: bytes) -> int:
        """Bytes to appear in the output buffer one after another, as if the keyboard had sent them (no translation).

        Answers how many were taken; the rest finds no room now.
        """
        data = bytes(data)[:RAW - self.raws]
        for c in data:
            self.raw[(self.raw_head + self.raws) % RAW] = c
            self.raws += 1
        self._stir()
        return len(data)

    @property
    def room(self) -> int:
        """Bytes that the keyboard can still take without an overrun: 16 when nothing waits, 0 while it is switched off.

        One key movement is at most 8 bytes (Pause).
        """
        k = self.keyboard[0]
        if not k.scanning or k.bat or k.expect or self.mode & KEYBOARD_OFF or self.raws: return 0
        return max(ps2_keyboard.SIZE - 1 - k.count, 0) + (k.count == 0)

    def move_mouse(self, dx: int, dy: int, wheel: int = 0) -> None:
        """Counts to the right and downwards (as a screen counts), wheel clicks towards the user."""
        self.mouse[0].turn(dx, -dy, wheel)
        self._stir()

    def mouse_button(self, n: int, down: bool) -> None:
        """Button 0 left, 1 right, 2 middle, 3 and 4 at the sides.  ValueError for another."""
        self.mouse[0].button(n, down)
        self._stir()

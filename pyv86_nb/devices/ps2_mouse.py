"""PS/2 mouse with a wheel.   IBM PS/2 Hardware Interface Technical Reference (1988), "Mouse"; Microsoft IntelliMouse.

    byte 1   Y overflow, X overflow, Y sign, X sign, 1, middle, right, left    A packet is made when its first byte is
    byte 2   X movement (right is positive)                                    sent, from what has moved since the last,
    byte 3   Y movement (up is positive)                                       at most `sample rate` times a second.
    byte 4   IDs 3 and 4: wheel (down is positive), a click at a time; ID 4: buttons 4 and 5 in bits 4, 5

    E6 E7 scaling 1:1, 2:1   E8 resolution   E9 status   EA stream   EB read packet   EC EE wrap   F0 remote
    F2 identify   F3 sample rate   F4 F5 reporting on, off   F6 defaults   FE again   FF reset: FA AA 00
    sample rates 200, 100, 80 one after the other: ID 3;  200, 200, 80: ID 4

The far end of the auxiliary cable: a part of the 8042 (kbc_8042.py), which moves the bytes and keeps the time.

Not emulated: overflow (what does not fit a packet follows in the next), the 500 ms of the self-test (10 ms here), the
AA 00 at power-on.
"""
from __future__ import annotations

from .chip import Chip, buffer, field, keep, kernel

ACK, RESEND = 0xFA, 0xFE
BAT_US, ZERO, LIMIT = 10_000, 1 << 20, 255


@kernel
def moved(m):
    """Whether there is something to report."""
    return m.x != ZERO or m.y != ZERO or m.z != ZERO or m.buttons != m.reported or m.pressed & ~m.reported


@kernel
def waiting(m, now):
    return m.replies > 0 or m.enabled and m.remote == 0 and m.wrap == 0 and moved(m)


@kernel
def reply(m, v):
    if m.replies < 8:
        m.reply[m.replies] = v & 0xFF
        m.replies += 1


@kernel
def part(v):
    """What of a counter fits one packet."""
    return max(min(v - ZERO, LIMIT), -LIMIT)


@kernel
def scaled(m, v):
    """Scaling 2:1, in stream mode only."""
    if m.scaling == 0 or m.remote: return v
    a = abs(v)
    b = a if a < 2 else 1 if a == 2 else 3 if a == 3 else 6 if a == 4 else 9 if a == 5 else 2 * a
    b = min(b, LIMIT)
    return b if v > 0 else -b


@kernel
def packet(m):
    x, y, z = part(m.x), part(m.y), max(min(m.z - ZERO, 1), -1)
    m.x, m.y, m.z = m.x - x, m.y - y, m.z - z if m.ident else ZERO
    m.reported, m.pressed = m.buttons | m.pressed, 0
    x, y = scaled(m, x), scaled(m, y)
    reply(m, (32 if y < 0 else 0) | (16 if x < 0 else 0) | 8 | m.reported & 7)
    reply(m, x)
    reply(m, y)
    if m.ident == 3: reply(m, z)
    if m.ident == 4: reply(m, z & 15 | (m.reported & 0x18) << 1)


@kernel
def take(m, now):
    """The next byte on the cable.  Only when something is waiting."""
    if m.replies == 0:
        packet(m)
        m.next_packet = now + m.ips // max(m.rate, 1)
    v = int(m.reply[0])
    for i in range(7): m.reply[i] = m.reply[i + 1]
    m.replies -= 1
    if m.bat and m.replies == 0:
        m.bat = 0
        reply(m, 0xAA)
        reply(m, m.ident)
        m.ready = now + m.ips * BAT_US // 1_000_000
    elif m.replies == 0: m.ready = m.next_packet
    if v != RESEND: m.last = v
    return v


@kernel
def forget(m):
    m.x = m.y = m.z = ZERO
    m.reported, m.pressed = m.buttons, 0


@kernel
def defaults(m):
    """F6: 100 samples a second, 4 counts/mm, scaling 1:1, stream mode, reporting off."""
    m.rate, m.resolution, m.scaling, m.remote, m.enabled, m.wrap, m.knock = 100, 2, 0, 0, 0, 0, 0
    forget(m)


@kernel
def set_rate(m, v):
    m.rate = v
    m.knock = (m.knock << 8 | v) & 0xFFFFFF
    if m.knock == 0xC86450: m.ident = 3                  # 200, 100, 80
    elif m.knock == 0xC8C850 and m.ident == 3: m.ident = 4


@kernel
def command(m, v, now):
    """A byte from the host."""
    m.ready = now
    m.replies = m.bat = 0
    if m.wrap and v != 0xFF and v != 0xEC:
        reply(m, v)
        return
    if m.expect and v < 0xE6:
        if m.expect == 0xF3: set_rate(m, v)
        else: m.resolution = v & 3
        m.expect = 0
        reply(m, ACK)
        return
    m.expect = 0
    if v == 0xFE:
        reply(m, m.last)
        return
    if v < 0xE6 or v == 0xED or v == 0xEF or v == 0xF1 or 0xF7 <= v <= 0xFD:
        reply(m, RESEND)
        return
    reply(m, ACK)
    if v == 0xE6 or v == 0xE7: m.scaling = v & 1
    elif v == 0xE8 or v == 0xF3: m.expect = v
    elif v == 0xE9:
        left, right, middle = m.buttons & 1, m.buttons >> 1 & 1, m.buttons >> 2 & 1
        reply(m, m.remote << 6 | m.enabled << 5 | m.scaling << 4 | left << 2 | middle << 1 | right)
        reply(m, m.resolution)
        reply(m, m.rate)
    elif v == 0xEA or v == 0xF0:
        m.remote = 1 if v == 0xF0 else 0
        forget(m)
    elif v == 0xEB: packet(m)
    elif v == 0xEC or v == 0xEE: m.wrap = 1 if v == 0xEE else 0
    elif v == 0xF2: reply(m, m.ident)
    elif v == 0xF4 or v == 0xF5:
        m.enabled = 1 if v == 0xF4 else 0
        forget(m)
    else:
        defaults(m)
        if v == 0xFF: m.ident, m.bat = 0, 1


class Ps2Mouse(Chip):
    """PS/2 mouse with a wheel"""
    ips = field(63, "instructions per guest second", reset=keep(0))
    x = field(21, "counts to the right not reported yet, + 2^20", reset=keep(ZERO))
    y = field(21, "counts upwards not reported yet, + 2^20", reset=keep(ZERO))
    z = field(21, "wheel clicks downwards not reported yet, + 2^20", reset=keep(ZERO))
    buttons = field(5, "buttons that are down", reset=keep(0), names="FIFTH:4 FOURTH:3 MIDDLE:2 RIGHT:1 LEFT:0")
    reported = field(5, "buttons as last reported", reset=keep(0))
    pressed = field(5, "buttons pressed since then: a click shorter than a sample is not lost", reset=keep(0))
    rate = field(8, "samples a second (F3)", reset=keep(100))
    resolution = field(2, "counts per mm, as a power of two (E8)", reset=keep(2))
    scaling = field(1, "scaling 2:1 (E7)", reset=keep(0))
    enabled = field(1, "reporting (F4)", reset=keep(0))
    remote = field(1, "remote mode (F0): packets on EB only", reset=keep(0))
    wrap = field(1, "wrap mode (EE): bytes come back", reset=keep(0))
    ident = field(3, "device ID: 0, 3 with a wheel, 4 with five buttons", reset=keep(0))
    knock = field(24, "the last three sample rates", reset=keep(0))
    expect = field(8, "command that waits for a parameter, or 0", reset=keep(0))
    reply = buffer(8, "bytes on their way to the host")
    replies = field(4, "how many of them", reset=keep(0))
    bat = field(1, "the self-test begins when the ACK is out", reset=keep(0))
    ready = field(63, "instruction before which nothing is sent", reset=keep(0))
    next_packet = field(63, "instruction before which no new packet is made (sample rate)", reset=keep(0))
    last = field(8, "last byte sent, for FE", reset=keep(0))

    def turn(self, dx: int, dy: int, dz: int) -> None:
        """The hand moves the mouse: counts to the right, upwards, and wheel clicks downwards."""
        add = lambda old, d: max(0, min(old + int(d), 2 * ZERO - 1))
        if self.remote or self.enabled: self.x, self.y, self.z = add(self.x, dx), add(self.y, dy), add(self.z, dz)

    def button(self, n: int, down: bool) -> None:
        """Button n: 0 left, 1 right, 2 middle, 3 and 4 at the sides."""
        if not 0 <= n < 5:
            raise ValueError(f"button {n!r} is not on the mouse; 0 left, 1 right, 2 middle, 3 and 4 at the sides")
        self.buttons = self.buttons | 1 << n if down else self.buttons & ~(1 << n)
        if down and self.enabled and not self.remote: self.pressed |= 1 << n

"""System control port A, 92h.   IBM PS/2 Hardware Interface Technical Reference (1988), "System control port A".

    bits 7, 6 activity light  |  5 reserved  4 watchdog status  3 security lock  2 reserved  |  1 A20 gate  0 fast reset

Bit 1 is the gate of address line 20, bit 0 going from 0 to 1 pulses the processor's RESET.  The pin `gate` is the
other A20 gate, that of the 8042: wired both ways, the two follow each other, so that the last write counts, whichever
port it went to (as chip sets do that watch for D1).

Not emulated: watchdog and security lock (their bits read 0), the activity light (bits 7, 6 are kept).
"""
from __future__ import annotations

from .chip import Chip, deadline, field, keep, kernel, pin_out, pins_in, reads, writes

PULSE_US = 6


class Port92(Chip):
    """port 92h: fast A20 gate and reset"""
    A20 = pin_out("gate A20: 1, address line 20 passes", reset=1)
    RESET = pin_out("reset of the processor, a pulse of 6 us")
    gate = pins_in(1, "A20 as the 8042 shows it")
    ips = field(63, "instructions per guest second", reset=keep(0))
    light = field(2, "bits 7, 6: activity light")
    fast_reset = field(1, "bit 0 as written")
    reset_ends = deadline("end of the reset pulse")

    @gate.changed
    @kernel
    def follow(port, n, level, now): port.A20 = level

    @reset_ends.due
    @kernel
    def release(port, now): port.RESET = 0

    @reads(0, "A20 in bit 1, fast reset in bit 0")
    @kernel
    def get(port, now): return port.light << 6 | port.A20 << 1 | port.fast_reset

    @writes(0, "A20 in bit 1; bit 0 from 0 to 1 resets the processor")
    @kernel
    def put(port, v, now):
        port.light, port.A20 = v >> 6 & 3, v >> 1 & 1
        if v & 1 and port.fast_reset == 0:
            port.RESET = 1
            port.reset_ends = now + max(port.ips * PULSE_US // 1_000_000, 1)
        port.fast_reset = v & 1

"""Ports for whoever develops: POST codes, and two character ports.   Data sheet: IBM PC/AT Technical Reference (1984), "Manufacturing port";
Bochs "port E9 hack"; SeaBIOS debug port 402h (its documentation, "Debugging").

    bank   port                                                   read gives
    post    80h   w POST code: where the firmware is              the last one (the AT has a spare DMA page register here)
    e9      E9h   w a character for the host                      E9h: "somebody is there"
    log    402h   w a character of SeaBIOS's log                  E9h, which SeaBIOS asks before it writes

Characters wait in rings of 64 KiB, of which the oldest are lost when nobody takes them; `drain` takes them.

Not emulated: the LED display, the exit ports of some test benches (501h, F4h).
"""
from .chip import Chip, buffer, field, keep, kernel, parts, reads, writes

ROOM = 0x10000
E9, LOG = 0, 1


class Ring(Chip):
    """characters on their way to the host"""
    head = field(63, "characters written so far", keep(0))
    tail = field(63, "characters taken so far", keep(0))
    ring = buffer(ROOM, "the last characters")


@kernel
def put(ring, v):
    ring.ring[ring.head % ROOM] = v
    ring.head += 1


class DebugPorts(Chip):
    """POST code and debug character ports"""
    code = field(8, "last POST code")
    before = field(56, "the seven codes before it, the latest lowest")
    out = parts(2, Ring, "characters written to E9h, to 402h")

    @writes(0, "POST code", bank="post")
    @kernel
    def put_code(debug, v, now):
        debug.before = (debug.before << 8 | debug.code) & 0xFFFFFFFFFFFFFF
        debug.code = v

    @reads(0, "last POST code", bank="post")
    @kernel
    def get_code(debug, now): return debug.code

    @writes(0, "a character", bank="e9")
    @kernel
    def put_e9(debug, v, now): put(debug.out[E9], v)

    @writes(0, "a character of the firmware's log", bank="log")
    @kernel
    def put_log(debug, v, now): put(debug.out[LOG], v)

    @reads(0, "E9h: somebody is there", bank="e9")
    @reads(0, "E9h: somebody is there", bank="log")
    @kernel
    def present(debug, now): return 0xE9

    def drain(self, which=LOG) -> bytes:
        """What was written to port 402h (LOG) or E9h (E9) since the last call, at most the last 64 KiB."""
        r = self.out[which]
        start, end = max(r.tail, r.head - ROOM), r.head
        r.tail = end
        a, n = start % ROOM, end - start
        return (bytes(r.ring[a:]) + bytes(r.ring[:a]))[:n]

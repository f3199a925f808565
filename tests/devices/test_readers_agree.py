"""One text, two readers: random traffic on the whole board through Python and through jitted code gives the same bytes."""
import random

import numpy as np
import pytest
from two_readers import ADVANCE, HAND, INTA_IF, MEMORY_READ, MEMORY_WRITE, READ, WRITE, same

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.board.hot import hot
from pyv86_nb.devices.chip import (
    NEVER,
    Chip,
    deadline,
    field,
    kernel,
    memory_reads,
    memory_writes,
    pin_out,
    pins_in,
    reads,
    writes,
)
from pyv86_nb.devices.clock import FakeClock, instant, ticks
from pyv86_nb.engine import bus as B

PORTS = [0x20, 0x21, 0xA0, 0xA1, 0x40, 0x41, 0x42, 0x43, 0x4D0, 0x4D1, 0x61, 0x70, 0x71, 0x92]
RTC_VALUES = 0, 2, 6, 0x12, 0x20, 0x26, 0x42, 0x62, 0x72, 0x82


def traffic(b, seed, n):
    r = random.Random(seed)
    hands = [b.chips[c].origin + b.chips[c].layout["ir_by_hand"].slot for c in ("pic1", "pic2")]
    hands += [c.origin + c.layout["GATE_by_hand"].slot for c in b.chips["pit"].counter]
    rows = [(WRITE, p, v, 1) for p, v in ((0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x70),
                                          (0xA1, 2), (0xA1, 1), (0x43, 0x34), (0x40, 50), (0x40, 0))]
    for _ in range(n):
        k, size = r.random(), r.choice((1, 1, 1, 2, 4))
        if k < .3: rows.append((ADVANCE, r.choice((0, 1, 2, 7, 60, 1000, 30000)), 0, 0))
        elif k < .5: rows.append((READ, r.choice(PORTS), 0, size))
        elif k < .75:
            p = r.choice(PORTS)
            if p >= 0x40 and p != 0x61: size = 1                            # their neighbours would be written too
            v = r.getrandbits(8 * size)
            if p in (0x20, 0xA0) and r.random() < .9: v &= ~0x10             # ICW1 now and then
            if 0x40 <= p < 0x43: v = r.choice((2, 3, 5, 9, 0))
            if p == 0x70: v = r.choice((0, 1, 4, 7, 9, 10, 11, 11, 12, 50))
            if p == 0x71: v = r.choice(RTC_VALUES)
            if p == 0x92: v &= 2
            rows.append((WRITE, p, v, size))
        elif k < .83:
            h = r.choice(hands)
            rows.append((HAND, h, r.getrandbits(8) if h in hands[:2] else r.getrandbits(1), 0))
        elif k < .88: rows.append((MEMORY_WRITE, 0xA0000 + r.randrange(0x20000 - 4), r.getrandbits(8 * size), size))
        elif k < .93: rows.append((MEMORY_READ, 0xA0000 + r.randrange(0x20000 - 4), 0, size))
        else: rows.append((INTA_IF, 0, 0, 0))
    return np.array(rows, np.int64)


@pytest.mark.parametrize("seed", range(40))
def test_python_and_jit_agree(seed):
    slow, fast = (at_pc(clock=FakeClock(1_193_182 * 3)) for _ in range(2))
    answers = same(slow, fast, traffic(slow, seed, 1500))
    assert slow.clock.now > 1000 and (answers >> 3 != 0).any()


class Wide(Chip):
    """A chip with methods of all sizes, a memory window, and a method that is not a kernel.   Data sheet: this file."""
    got = field(63, "the last thing heard")
    when = deadline("raises DONE")
    DONE = pin_out("follows the deadline")

    @reads(0, "a word", size=2)
    @kernel
    def word(c, now): return 0x1234

    @reads(0, "a byte")
    @kernel
    def low(c, now): return 0x56

    @reads(1, "a byte")
    @kernel
    def high(c, now): return 0x78

    @writes(4, "a long", size=4)
    @kernel
    def put(c, v, now): c.got, c.when = v, now + 10

    @writes(6, "a byte")
    @kernel
    def put_byte(c, v, now): c.got = c.got << 8 & 0xFFFFFF | v

    @reads(7, "only Python")
    def slow(c, now): return 9

    @when.due
    @kernel
    def due(c, now): c.DONE = 1 - c.DONE

    @memory_reads("window")
    @kernel
    def look(c, address, size, now): return (c.got + address) & ((1 << 8 * size) - 1)

    @memory_writes("window")
    @kernel
    def poke(c, address, size, v, now): c.got = v * size + address


class Ear(Chip):
    """A chip that only Python can tell.   Data sheet: this file."""
    IN = pins_in(1, "an input")
    heard = field(63, "how often it moved")

    @IN.changed
    def moved(c, n, level, now): c.heard += 1


def wide():
    b = Backplane(FakeClock())
    pins = b.at(0x100, chip := Wide("wide"))
    ear = b.plug(Ear("ear"))
    pins.DONE >> ear.IN
    assert b.region(0xD0000, chip) == 0
    return b.power_on()


def test_an_access_goes_to_the_method_of_its_size_or_is_split():
    b = wide()
    assert b.read(0x100) == 0x56 and b.read(0x100, 2) == 0x1234             # its own method
    assert b.read(0x100, 4) == 0xFFFF7856 and b.read(0xFFFF, 2) == 0xFFFF   # as bytes, low first; nobody: FF
    b.write(0x104, 0x11223344, 4); assert b.chips["wide"].got == 0x11223344
    b.write(0x105, 0xAABB, 2); assert b.chips["wide"].got == 0x3344AA


def test_sizes_and_windows_agree():
    slow, fast = wide(), wide()
    rows = [(READ, 0x100, 0, 1), (READ, 0x100, 0, 2), (READ, 0x100, 0, 4), (WRITE, 0x104, 0x11223344, 4), (READ, 0xFFFF, 0, 2),
            (WRITE, 0x105, 0xAABB, 2), (MEMORY_READ, 0xD0010, 0, 4), (MEMORY_WRITE, 0xD0003, 0x77, 2), (MEMORY_READ, 0xD0000, 0, 1)]
    same(slow, fast, np.array(rows, np.int64))


def test_what_only_python_can_do_is_left_undone_for_it():
    b = wide()
    bus, wide_, ear = hot(b).address, b.chips["wide"], b.chips["ear"]
    assert B.port_read(bus, 0x107, 1) == B.PYTHON and B.port_read(bus, 0x106, 2) == B.PYTHON and b.read(0x107) == 9
    assert B.port_write(bus, 0x104, 4, 5) == 0 and B.next_deadline(bus) == 10
    assert B.advance_to(bus, 50) == 1 and b.clock.now == 10                 # DONE rises, the ear is deaf to jitted code
    assert wide_.DONE == 1 and ear.heard == 0 and B.next_deadline(bus) == 10
    b.advance(0)
    assert ear.heard == 1 and B.advance_to(bus, 50) == 0 and b.clock.now == 50


def test_a_deadline_of_python_stops_time():
    class Alarm(Chip):
        """A Python-only deadline.   Data sheet: this file."""
        ring = deadline("rings"); rung = field(8, "how often")
        @ring.due
        def rings(c, now): c.rung += 1
    b = Backplane(FakeClock(), Alarm("alarm")).power_on()
    b.chips["alarm"].ring = 7
    bus = hot(b).address
    assert B.advance_to(bus, 100) == 1 and b.clock.now == 7 and b.chips["alarm"].rung == 0
    b.advance(0)
    assert b.chips["alarm"].rung == 1 and B.advance_to(bus, 100) == 0 and b.clock.now == 100


def test_ticks_and_instant_are_inverse_and_do_not_overflow():
    r = random.Random(1)
    for _ in range(20000):
        hz, ips = r.choice((32768, 1_193_182, 14_318_180)), r.choice((1_000_000, 100_000_000, 3_333_333, 1_000_000_000))
        t = r.randrange(1 << r.choice((4, 20, 40)))
        i = instant(t, hz, ips)
        assert ticks(i, hz, ips) >= t and (i == 0 or ticks(i - 1, hz, ips) < t or hz > ips)
        assert ticks(i, hz, ips) == i * hz // ips


def test_earliest_deadline():
    b = at_pc()
    assert B.earliest(b.bus.address) == -1 and B.next_deadline(b.bus.address) == NEVER
    b.chips["rtc"].alarm, b.chips["kbc"].cable = 30, 20
    assert B.next_deadline(b.bus.address) == 20

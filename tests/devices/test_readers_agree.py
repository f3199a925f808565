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
from pyv86_nb.devices.ide_channel import IdeChannel
from pyv86_nb.devices.virtio_blk import VirtioBlk
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


def descriptors(r, n):
    """Of virtio: addresses, sizes, flags, the next, of which more or less are anything."""
    rows, odd = [], r.choice((.01, .1, .3))
    for i in range(n):
        bits = r.choice((4, 12, 16, 32, 34, 62, 64))
        flags = r.choice((1, 3)) if r.random() > odd else r.getrandbits(16)
        after = i + 1 if r.random() > odd else r.randrange(n + 2)
        rows.append((r.getrandbits(bits), r.choice((0, 1, 16, 512, 4096, r.getrandbits(32))) | flags << 32 | after << 48))
    return np.array(rows, np.uint64).view(np.int64)


def regions_by_the_manual(descriptors, some, most):
    """Bus Master IDE Controller 1.0, 1.2: address, count (0: 64 KiB) and EOT, one after the other; (regions, bytes left of the last, EOT)."""
    out, left, last = [], 0, False
    for d in descriptors[:some]:
        if most == 0 or last: break
        d = int(d) & (1 << 64) - 1
        size, last = (d >> 32 & 0xFFFE) or 0x10000, bool(d >> 63)
        out.append([d & 0xFFFFFFFE, min(size, most)])
        most, left = most - out[-1][1], size - out[-1][1]
    return out, left, last


def test_a_table_of_descriptors_followed_by_python_and_by_jitted_code():
    slow, fast, r = IdeChannel().ahead, at_pc().chips["ide0"].ahead, random.Random(1)
    lengths = set()
    for _ in range(2000):
        last = r.choice((.001, .03))
        table = np.array([r.getrandbits(63) | (r.random() < last) << 63 for _ in range(128)], np.uint64).view(np.int64)
        if r.random() < .5: table &= ~(0xFC00 << 32)                          # small ones, so that there are many
        some, most = r.randrange(1, 129), r.choice((1, 512, 65536, 1 << 20, r.randrange(1, 1 << 20)))
        for sheet in (slow, fast): sheet["descriptors"][:] = table
        k = slow(some, most)
        lengths.add(k)
        assert fast(some, most) == k
        for n in ("bytes", "region", "left", "last"): assert slow[n] == fast[n], n
        regions, left, last = regions_by_the_manual(table, some, most)
        for sheet in (slow, fast): assert sheet["regions"][:k].tolist() == regions
        assert (slow["bytes"], slow["left"], slow["last"]) == (sum(n for _, n in regions), left, last)
        assert slow["region"] == (sum(regions[-1]) & 0xFFFFFFFF)
    assert {1, 2, 3, 20, 128} <= lengths


def chain_by_the_manual(table, i):
    """VIRTIO 1.0, 2.4.5: the descriptors from number i on, as (address, length, device-writable); None for a loop or one off the table."""
    out = []
    while True:
        if i >= len(table) or len(out) == len(table): return None
        address, word = (int(v) & (1 << 64) - 1 for v in table[i])
        out.append((address, word & 0xFFFFFFFF, word >> 33 & 1))
        if not word >> 32 & 1: return out
        i = word >> 48


def test_a_chain_of_descriptors_followed_by_python_and_by_jitted_code():
    slow, fast, r = VirtioBlk().chain, at_pc(virtio=1).chips["virtio0"].chain, random.Random(2)
    lengths = set()
    for _ in range(2000):
        entries = 1 << r.randrange(9)
        table, i = descriptors(r, entries), r.randrange(entries + entries // 8 + 1)
        for sheet in (slow, fast): sheet["table"][:entries] = table
        chain, found = chain_by_the_manual(table, i), slow(i, entries)
        assert bool(found) == bool(fast(i, entries)) == (chain is not None)
        if chain is None: continue
        lengths.add(len(chain))
        near = [(min(a, 1 << 62), n) for a, n, _ in chain]
        writable = [c[2] for c in chain]
        outs, ins = ([list(c) for c, w in zip(near, writable, strict=True) if w == side] for side in (0, 1))
        room = sum(n for _, n in ins)
        if room:
            last = max(k for k, (_, n) in enumerate(ins) if n)
            ins[last][1] -= 1
        for sheet in (slow, fast):
            assert (sheet["given"], sheet["room"]) == (sum(n for _, n in outs), room)
            assert sheet["outs"][:sheet["out_rows"]].tolist() == outs and sheet["ins"][:sheet["in_rows"]].tolist() == ins
            assert sheet["far"] == any(a + n > 1 << 32 for a, n in near)
            if room: assert sheet["status"] == sum(ins[last])
    assert {1, 2, 3, 10} <= lengths and max(lengths) > 40

"""One text, two readers: random traffic on the whole board through Python and through jitted code gives the same bytes everywhere."""
import random
import numpy as np
import pytest
from pyv86_nb.board import hot
from pyv86_nb.board.at_pc import acknowledge, at_pc
from pyv86_nb.devices.clock import FakeClock, instant, ticks, next_deadline
from pyv86_nb.devices.chip import NEVER

PORTS = [0x20, 0x21, 0xA0, 0xA1, 0x40, 0x41, 0x42, 0x43, 0x4D0, 0x4D1]


def script(b, seed, n):
    r = random.Random(seed)
    hands = [b.chips[c].origin + b.chips[c].layout["ir_by_hand"].slot for c in ("pic1", "pic2")]
    hands += [c.origin + c.layout["GATE_by_hand"].slot for c in b.chips["pit"].counter]
    setup = [(hot.WRITE, p, v) for p, v in ((0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x70),
                                            (0xA1, 2), (0xA1, 1), (0x43, 0x34), (0x40, 50), (0x40, 0))]
    rows = []
    for _ in range(n):
        k = r.random()
        if k < .3: rows.append((hot.ADVANCE, r.choice((0, 1, 2, 7, 60, 1000)), 0))
        elif k < .5: rows.append((hot.READ, r.choice(PORTS), 0))
        elif k < .75:
            p = r.choice(PORTS)
            v = r.getrandbits(8)
            if p in (0x20, 0xA0) and r.random() < .9: v &= ~0x10             # ICW1 now and then
            if 0x40 <= p < 0x43: v = r.choice((2, 3, 5, 9, 0))
            rows.append((hot.WRITE, p, v))
        elif k < .85:
            h = r.choice(hands)
            rows.append((hot.HAND, h, r.getrandbits(8) if h in hands[:2] else r.getrandbits(1)))
        else: rows.append((hot.INTA_IF, 0, 0))
    return np.array(setup + rows, np.int64)


def play(b, rows):
    """hot.play, said in Python."""
    answers = np.zeros(len(rows), np.int64)
    for i, (what, a, v) in enumerate(rows.tolist()):
        if what == hot.ADVANCE: b.advance(a)
        elif what == hot.READ: answers[i] = b.read(a)
        elif what == hot.WRITE: b.write(a, v)
        elif what == hot.HAND: b.words[a] = v; b.settle()
        elif b.chips["cpu"].INTR: answers[i] = acknowledge(b)
    return answers


@pytest.mark.parametrize("seed", range(40))
def test_python_and_jit_agree(seed):
    slow, fast = at_pc(FakeClock(1_193_182 * 3)), at_pc(FakeClock(1_193_182 * 3))
    rows = script(slow, seed, 1500)
    answers = np.zeros(len(rows), np.int64)
    intr = fast.chips["cpu"].origin + fast.chips["cpu"].layout["INTR"].slot
    hot.play(hot.hot(fast), rows, answers, intr)
    assert (play(slow, rows) == answers).all()
    assert slow.diff(slow.array, fast.array) == []
    assert slow.clock.now > 1000 and (answers >> 3 != 0).any()


def test_ticks_and_instant_are_inverse_and_do_not_overflow():
    r = random.Random(1)
    for _ in range(20000):
        hz, ips = r.choice((32768, 1_193_182, 14_318_180)), r.choice((1_000_000, 100_000_000, 3_333_333, 1_000_000_000))
        t = r.randrange(1 << r.choice((4, 20, 40)))
        i = instant(t, hz, ips)
        assert ticks(i, hz, ips) >= t and (i == 0 or ticks(i - 1, hz, ips) < t or hz > ips)
        assert ticks(i, hz, ips) == i * hz // ips


def test_next_deadline():
    w = np.array([NEVER, 30, 10, 20])
    assert next_deadline(w, np.arange(4)) == (10, 2) and next_deadline(w[:1], np.arange(1)) == (NEVER, -1)


def test_python_only_chips_hand_over():
    b = at_pc()
    h = hot.hot(b)
    assert h.read[0x71, 0] == 0 and h.read[0x40, 0] != 0                    # the RTC is Python, the PIT is hot
    b.write(0x70, 11); b.write(0x71, 0x42)
    assert hot.advance(h, 100_000_000) > 0                                  # stops before the RTC's deadline

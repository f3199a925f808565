"""APICs and HPET through Python and through jitted code: random accesses give the same answers and leave the same bytes."""
import random

import numpy as np
import pytest
from two_readers import ADVANCE, HAND, MEMORY_READ, MEMORY_WRITE, READ, WRITE, all_hot, same

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.apic import Apic
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.hpet import Hpet
from pyv86_nb.engine.bus import APIC_INTA

LOCAL = [0x20, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0, 0x120, 0x1A0, 0x220, 0x280, 0x300, 0x310, 0x320, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3E0]
TIMERS = [0, 4, 0x10, 0x20, 0xF0, 0xF4, *(0x100 + 0x20 * n + r for n in range(3) for r in (0, 4, 8, 12))]


def boards(chip, window):
    made = []
    for _ in range(2):
        c, b = chip("chip"), Backplane(FakeClock(90_000_000))
        b.plug(c)
        if chip is Apic:
            b.at(APIC_INTA, c, "inta"); b.at(APIC_INTA + 1, c, "msr")
        b.region(0, c, window)
        made.append(b.power_on())
    return made


def value(r, register):
    if register == 0xF0: return r.choice((0x1FF, 0x1FF, 0xFF, 0x10))
    if register == 0x380: return r.choice((0, 1, 5, 1000, 2**32 - 1))
    if 0x300 <= register <= 0x370: return r.choice((0, 1 << 16)) | r.getrandbits(20)
    return r.choice((0, 1, r.getrandbits(8), r.getrandbits(32)))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("chip, window, registers, pins", [
    (Apic, "local", LOCAL, ("INTIN", "LINT")), (Apic, "io", [0, 0x10], ("INTIN",)), (Hpet, "registers", TIMERS, ("PIT", "RTC"))],
    ids=["local APIC", "I/O APIC", "HPET"])
def test_random_accesses(chip, window, registers, pins, seed):
    slow, fast = boards(chip, window)
    assert all_hot(fast) == []
    r = random.Random(seed)
    c = slow.chips["chip"]
    rows = [(MEMORY_WRITE, 0xF0, 0x1FF, 4)] if window == "local" else []
    for _ in range(1500):
        k = r.random()
        if k < .2: rows.append((ADVANCE, r.choice((0, 1, 3, 50, 1000)), 0, 0))
        elif k < .55:
            at = r.choice(registers)
            v = r.choice((1, 0x10 + r.randrange(48))) if window == "io" and at == 0 else value(r, at)
            rows.append((MEMORY_WRITE, at, v, 4))
        elif k < .8: rows.append((MEMORY_READ, r.choice(registers) + r.choice((0, 0, 0, 1)), 0, r.choice((1, 4))))
        elif k < .9:
            pin = r.choice(pins)
            hand = c.layout[pin + "_by_hand"]
            rows.append((HAND, c.origin + hand.slot, r.getrandbits(hand.bits), 0))
        elif chip is Apic and k < .97: rows.append((READ, APIC_INTA, 0, 1))
        elif chip is Apic: rows.append((WRITE, APIC_INTA + r.choice((1, 2)), r.choice((0xFEE00900, 0xFEE00800, 0, 5000)), 4))
    answers = same(slow, fast, np.array(rows, np.int64))
    assert len(set(answers.tolist())) > 10

"""8254 against its data sheet (231164-005, "Mode definitions", figures 15-20, "Read operations") and against a counter that ticks."""
import random

import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.pit_8254 import HZ, Pit8254


@pytest.fixture
def pit():
    p = Pit8254("pit")
    b = Backplane(FakeClock(HZ))
    b.at(0x40, p)
    b.power_on()
    for g in p.pins.GATE: g.set(1)
    return p


def program(pit, mode, n, counter=0, bcd=0):
    pit.home.write(0x43, counter << 6 | 0x30 | mode << 1 | bcd)
    pit.home.write(0x40 + counter, n & 255); pit.home.write(0x40 + counter, n >> 8 & 255)


def wave(pit, n, counter=0):
    """OUT after each of the next n CLK pulses."""
    s = ""
    for _ in range(n):
        pit.home.advance(1)
        s += "_~"[pit.pins.OUT[counter].level]
    return s


def read(pit, counter=0): return pit.home.read(0x40 + counter) | pit.home.read(0x40 + counter) << 8


def test_mode_0_goes_high_n_plus_1_pulses_after_the_write(pit):           # fig. 15: LSB=4
    program(pit, 0, 4)
    assert wave(pit, 8) == "____~~~~"


def test_mode_0_gate_low_holds_and_a_new_count_starts_over(pit):          # fig. 15, second and third drawing
    program(pit, 0, 3)
    assert wave(pit, 2) == "__" and read(pit) == 2
    pit.pins.GATE[0].set(0)
    assert wave(pit, 5) == "_____" and read(pit) == 2
    pit.pins.GATE[0].set(1)
    assert wave(pit, 3) == "_~~" and read(pit) == 0xFFFF
    program_count = lambda n: (pit.home.write(0x40, n), pit.home.write(0x40, 0))
    program_count(2)
    assert wave(pit, 4) == "__~~"


def test_mode_0_loaded_while_gate_is_low_counts_n_from_gate(pit):         # "OUT will go high N CLK pulses later"
    pit.pins.GATE[0].set(0)
    program(pit, 0, 3)
    assert wave(pit, 4) == "____" and read(pit) == 3
    pit.pins.GATE[0].set(1)
    assert wave(pit, 4) == "__~~"


def test_mode_1_one_shot_is_n_long_and_retriggerable(pit):                # fig. 16: LSB=3
    program(pit, 1, 3)
    assert wave(pit, 3) == "~~~"
    pit.pins.GATE[0].set(0); pit.pins.GATE[0].set(1)
    assert wave(pit, 5) == "___~~"
    pit.pins.GATE[0].set(0); pit.pins.GATE[0].set(1)
    assert wave(pit, 2) == "__"
    pit.pins.GATE[0].set(0); pit.pins.GATE[0].set(1)
    assert wave(pit, 5) == "___~~"


def test_mode_2_is_low_one_pulse_in_n(pit):                               # fig. 17: LSB=3
    program(pit, 2, 3)
    assert wave(pit, 10) == "~~_~~_~~_~"
    pit.pins.GATE[0].set(0)
    assert wave(pit, 3) == "~~~"
    pit.pins.GATE[0].set(1)
    assert wave(pit, 6) == "~~_~~_"


def test_mode_2_gate_lifts_out_at_once_and_a_new_count_waits(pit):        # fig. 17: LSB=4 then 5
    program(pit, 2, 4)
    assert wave(pit, 4) == "~~~_"
    pit.pins.GATE[0].set(0)
    assert pit.pins.OUT[0].level == 1
    pit.pins.GATE[0].set(1)
    assert wave(pit, 2) == "~~"
    pit.home.write(0x40, 5); pit.home.write(0x40, 0)
    assert wave(pit, 8) == "~_~~~~_~"


def test_mode_3_even_and_odd(pit):                                        # fig. 18: LSB=4, LSB=5
    program(pit, 3, 4)
    assert wave(pit, 9) == "~~__~~__~"
    program(pit, 3, 5)
    assert wave(pit, 11) == "~~~__~~~__~"
    program(pit, 3, 4)
    assert [(pit.home.advance(1), read(pit))[1] for _ in range(5)] == [4, 2, 4, 2, 4]
    program(pit, 3, 5)
    assert [(pit.home.advance(1), read(pit))[1] for _ in range(6)] == [4, 2, 0, 4, 2, 4]


def test_mode_4_strobes_once(pit):                                        # fig. 19: LSB=3
    program(pit, 4, 3)
    assert wave(pit, 7) == "~~~_~~~" and read(pit) == 0xFFFD


def test_mode_5_strobes_after_the_trigger(pit):                           # fig. 20: LSB=3
    program(pit, 5, 3)
    assert wave(pit, 5) == "~~~~~"
    pit.pins.GATE[0].set(0); pit.pins.GATE[0].set(1)
    assert wave(pit, 6) == "~~~_~~"


def test_zero_is_65536_or_10000(pit):
    program(pit, 2, 0)
    pit.home.advance(2); assert read(pit) == 0xFFFF
    program(pit, 2, 0, bcd=1)
    pit.home.advance(2); assert read(pit) == 0x9999
    program(pit, 0, 0x0100, bcd=1)
    pit.home.advance(2); assert read(pit) == 0x0099


def test_counter_latch_holds_until_read_and_a_second_latch_is_ignored(pit):
    program(pit, 0, 1000)
    pit.home.advance(1 + 100); pit.home.write(0x43, 0x00)
    pit.home.advance(50); pit.home.write(0x43, 0x00)
    assert read(pit) == 900 and read(pit) == 850


def test_read_back_gives_status_then_count_and_null_count(pit):           # "Read-back command", figs. 11-13
    program(pit, 3, 0x1234, counter=2)
    pit.home.write(0x43, 0xC8)                                             # latch count and status of counter 2
    assert pit.home.read(0x42) == 0x80 | 0x40 | 0x30 | 3 << 1              # OUT high, NULL COUNT: not loaded yet
    read(pit, 2)
    pit.home.advance(1); pit.home.write(0x43, 0xE8)                        # status only
    assert pit.home.read(0x42) == 0x80 | 0x30 | 3 << 1
    assert read(pit, 2) == 0x1234


def test_one_byte_formats(pit):
    pit.home.write(0x43, 0x24); pit.home.write(0x40, 0x02)                 # mode 2, MSB only
    pit.home.advance(2)
    assert pit.home.read(0x40) == 0x01 and pit.home.read(0x40) == 0x01


class Ticking:
    """The naive twin: one counter that does each CLK pulse, sentence by sentence from "Mode definitions"."""
    def __init__(self): self.gate = 1
    def mode_word(self, mode):
        self.mode, self.out, self.half = mode, int(mode > 0), 1
        self.cr = self.ce = self.load = self.armed = self.fired = 0

    def write(self, n):
        self.cr = n
        if self.mode in (0, 4) or self.mode in (2, 3) and not self.armed: self.load = 1
        if self.mode == 0: self.out = 0
        self.armed = 1

    def set_gate(self, g):
        if g and not self.gate and self.armed and self.mode in (1, 2, 3, 5): self.load = 1
        if not g and self.mode in (2, 3): self.out = 1
        self.gate = g

    def reload(self):
        self.ce = self.cr & ~1 if self.mode == 3 else self.cr
        self.odd, self.fired = self.cr & 1, 1

    def clk(self):
        m = self.mode
        if self.load:
            self.load = 0; self.reload(); self.half = 1; self.strobed = 0
            if m == 1: self.out = 0
            if m in (2, 3, 4, 5): self.out = 1
            return
        if not self.fired or not self.gate and m in (0, 2, 3, 4): return
        if m == 3:
            if self.ce == 2 and not (self.odd and self.half) or self.ce == 0:
                self.half ^= 1; self.out = self.half; self.reload()
            else: self.ce -= 2
            return
        self.ce -= 1
        if m == 0 and self.ce == 0: self.out = 1
        if m == 1 and self.ce == 0: self.out = 1
        if m == 2:
            if self.ce == 1: self.out = 0
            if self.ce == 0: self.out = 1; self.reload()
        if m in (4, 5): self.out = 0 if self.ce == 0 and not self.strobed else 1; self.strobed |= self.ce == 0
        self.ce %= 65536


@pytest.mark.parametrize("seed", range(60))
def test_function_of_time_equals_ticking(pit, seed):
    """OUT as asked for, OUT as the deadlines drive it, and the count."""
    r, c = random.Random(seed), Ticking()
    mode = seed % 6
    pit.counter[0].listened = 1
    program_word = 0x10 | mode << 1                                        # low byte only: 1..255
    pit.home.write(0x43, program_word); c.mode_word(mode)
    for _ in range(60):
        what = r.random()
        if what < .3:
            n = r.randint(2, 9)
            pit.home.write(0x40, n); c.write(n)
        elif what < .6:
            pit.pins.GATE[0].set(g := r.randint(0, 1)); c.set_gate(g)
        for _ in range(r.randint(1, 14)):
            pit.home.advance(1); c.clk()
            assert pit.pins.OUT[0].level == c.out == pit.counter[0].OUT
            if c.fired: assert pit.home.read(0x40) == c.ce & 255


def test_a_reset_of_the_board_is_none_of_its_business():
    """The 8254 has no RESET pin (231164, pin table): the counters go on, with their gates as they are."""
    b = at_pc()
    b.write(0x43, 0x36); b.write(0x40, 100); b.write(0x40, 0)            # a square wave of 100 CLK: 8381 ticks
    b.advance(1_000_000)
    b.reset()
    edges = 0
    for _ in range(2000):
        before = b.chips["pit"].counter[0].OUT
        b.advance(100)
        edges += before != b.chips["pit"].counter[0].OUT
    assert 200_000 * 2 // 8381 - 1 <= edges <= 200_000 * 2 // 8381 + 1

"""HPET against the IA-PC HPET Specification 1.0a."""
import pytest

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.hpet import HZ, Hpet

CAPABILITIES, PERIOD, CONFIG, STATUS, COUNTER = 0, 4, 0x10, 0x20, 0xF0
ENABLED, LEGACY = 1, 2
LEVEL, ON, PERIODIC, SET, BITS32 = 2, 4, 8, 0x40, 0x100


class Timer:
    """A board with nothing else; one tick is one count."""
    def __init__(self):
        self.chip = Hpet("hpet")
        self.board = Backplane(FakeClock(HZ))
        self.board.plug(self.chip)
        self.board.region(0, self.chip, "registers")
        self.board.power_on()

    def get(self, r): return self.board.memory_read(0, r, 4)
    def put(self, r, v): self.board.memory_write(0, r, 4, v)

    def edges(self, read, n):
        """Ticks at which a pin rises, of the next n."""
        seen, before = [], read()
        for i in range(1, n + 1):
            self.board.advance(1)
            if read() and not before: seen.append(i)
            before = read()
        return seen


@pytest.fixture
def h(): return Timer()


def test_capabilities(h):                                                  # 2.3.4: period in femtoseconds, at most 100 ns
    assert h.get(PERIOD) * HZ == 10**15 and h.get(PERIOD) <= 0x05F5E100
    v = h.get(CAPABILITIES)
    assert v >> 16 == 0x8086 and v >> 15 & 1 and v >> 13 & 1 and v >> 8 & 31 == 2


def test_the_counter_counts_while_enabled_and_is_written_while_not(h):    # 2.3.7
    h.put(COUNTER, 0xFFFFFFFE); h.put(COUNTER + 4, 5)
    h.board.advance(10)
    assert (h.get(COUNTER), h.get(COUNTER + 4)) == (0xFFFFFFFE, 5)
    h.put(CONFIG, ENABLED); h.board.advance(3)
    assert (h.get(COUNTER), h.get(COUNTER + 4)) == (1, 6)
    h.put(CONFIG, 0); h.board.advance(3)
    assert h.get(COUNTER) == 1


def test_one_match_by_the_legacy_route(h):                                 # 2.3.5 LEG_RT: timer 0 is IRQ0, timer 1 is IRQ8
    h.put(0x100, ON); h.put(0x108, 20); h.put(0x10C, 0)
    h.put(CONFIG, ENABLED | LEGACY)
    assert h.edges(lambda: h.chip.IRQ0, 100) == [20] and h.chip.IRQ8 == 0
    h.put(0x120, ON); h.put(0x128, 150); h.put(0x12C, 0)
    assert h.edges(lambda: h.chip.IRQ8, 100) == [50]


def test_periodic_as_systems_set_it_up(h):                                 # 2.3.9.2.2: VAL_SET, first match, then the period
    h.put(CONFIG, ENABLED | LEGACY)
    h.put(0x100, ON | PERIODIC | SET | BITS32)
    h.put(0x108, 30); h.put(0x108, 7)
    assert h.edges(lambda: h.chip.IRQ0, 60) == [30, 37, 44, 51, 58]
    h.put(0x100, 0)
    assert h.edges(lambda: h.chip.IRQ0, 60) == []


def test_pit_and_rtc_pass_without_the_legacy_route(h):
    h.chip.pins.PIT.set(1); h.chip.pins.RTC.set(1)
    assert h.chip.IRQ0 == 1 and h.chip.IRQ8 == 1
    h.put(CONFIG, LEGACY)
    assert h.chip.IRQ0 == 0 and h.chip.IRQ8 == 0


def test_a_level_stays_until_its_status_is_cleared(h):                     # 2.3.6; route 18 is a pin of the I/O APIC
    assert h.get(0x104) >> 18 & 1
    h.put(0x100, ON | LEVEL | 18 << 9); h.put(0x108, 5); h.put(0x10C, 0); h.put(CONFIG, ENABLED)
    pin = h.chip.pins.IRQ[2]
    h.board.advance(4)
    assert pin.level == 0 and h.get(STATUS) == 0
    h.board.advance(1)
    assert pin.level == 1 and h.get(STATUS) == 1
    h.board.advance(50)
    assert pin.level == 1
    h.put(STATUS, 1)
    assert pin.level == 0 and h.get(STATUS) == 0


def test_a_comparator_of_32_bits_matches_again_after_a_turn(h):           # 2.3.9.2.1: "when the counter wraps around"
    h.put(COUNTER, 0xFFFFFFF0); h.put(0x100, ON | BITS32); h.put(0x108, 2)
    h.put(CONFIG, ENABLED | LEGACY)
    assert h.edges(lambda: h.chip.IRQ0, 40) == [18]


def test_a_match_in_the_past_waits(h):
    h.put(COUNTER, 100); h.put(CONFIG, ENABLED | LEGACY)
    h.put(0x100, ON); h.put(0x108, 50); h.put(0x10C, 0)
    assert h.edges(lambda: h.chip.IRQ0, 300) == []


# ON THE BOARD

@pytest.mark.parametrize("periodic", [0, PERIODIC | SET], ids=["once", "again and again"])
@pytest.mark.parametrize("n, vector", [(0, 0x20), (1, 0x28)])
def test_an_8259_still_sees_the_request_when_the_processor_comes_to_it(n, vector, periodic):
    """8259A, "Edge and level triggered modes": IR "must remain high until after the falling edge of the first INTA"; else IR7 is answered."""
    from pyv86_nb.board.at_pc import at_pc
    b = at_pc()
    for port, v in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xFA), (0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1), (0xA1, 0xFE)): b.write(port, v)
    region = next(r for r, (base, chip, _) in b.regions.items() if base == 0xFED00000)
    put = lambda r, v: b.memory_write(region, r, 4, v)
    put(0x100 + 0x20 * n, ON | BITS32 | (periodic if n == 0 else 0)); put(0x108 + 0x20 * n, 10000); put(0x108 + 0x20 * n, 10000)
    put(CONFIG, ENABLED | LEGACY)
    b.advance(b.clock.ips * 9990 // HZ)
    assert not b.chips["cpu"].INTR
    b.advance(b.clock.ips * 2000 // HZ)                  # interrupts were off for 20 us
    assert b.chips["cpu"].INTR and b.acknowledge() & 0xFF == vector


def test_an_edge_that_became_nothing_is_taken_back(h):
    h.put(0x100, ON); h.put(0x108, 20); h.put(0x10C, 0)
    h.put(CONFIG, ENABLED | LEGACY)
    h.board.advance(25)
    assert h.chip.IRQ0
    h.put(0x108, 30)                                     # the next one must be an edge again
    assert not h.chip.IRQ0 and h.edges(lambda: h.chip.IRQ0, 100) == [5]
    h.put(0x100, 0)
    assert not h.chip.IRQ0

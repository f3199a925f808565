"""The wiring of the PC/AT: what software expects of two chips together (IBM PC/AT Technical Reference)."""
from test_pic_8259 import start

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.devices.clock import FakeClock

HZ = 1_193_182


def test_calibration_by_timer_2_and_port_61():                             # gate on, mode 0, wait for bit 5: what Linux does
    b = at_pc(clock=FakeClock(HZ * 10))
    b.write(0x61, b.read(0x61) & ~2 | 1)
    b.write(0x43, 0xB0); b.write(0x42, 0x9B); b.write(0x42, 0x2E)           # 11931 CLK = 10 ms
    t = b.clock.now
    while not b.read(0x61) & 0x20: b.advance(10)
    assert (b.clock.now - t) // 10 == 11931 + 1


def test_the_gate_stops_timer_2_and_only_timer_2():
    b = at_pc(clock=FakeClock(HZ))
    for c in (0, 2): b.write(0x43, c << 6 | 0x30); b.write(0x40 + c, 100); b.write(0x40 + c, 0)
    b.advance(500)
    assert b.chips["pit"].pins.OUT[0].level == 1 and b.read(0x61) & 0x20 == 0


def test_refresh_detect_changes_every_15_us():
    b = at_pc(clock=FakeClock(HZ))
    seen = [(b.advance(18), b.read(0x61) & 0x10)[1] for _ in range(6)]
    assert seen in ([0x10, 0] * 3, [0, 0x10] * 3)


def test_irq0_comes_once_a_period_for_a_second():
    b = at_pc(clock=FakeClock(HZ)); start(b)
    b.write(0x21, 0xFE)
    b.write(0x43, 0x34); b.write(0x40, 0xA9); b.write(0x40, 0x04)           # 1193: 1000 Hz
    n = 0
    for _ in range(HZ // 100):
        b.advance(100)
        if b.chips["cpu"].INTR:
            assert b.acknowledge() == 8
            b.write(0x20, 0x20); n += 1
    assert n in (1000, 1001)


def test_every_port_of_the_map_answers_and_an_empty_one_floats():
    b = at_pc()
    there = [(int(size), int(p)) for size, p in zip(*b.bus.ports[0].nonzero(), strict=True) if p < 0x10000]
    assert len(there) > 50 and all(0 <= b.read(p, 1 << size) < 1 << 8 * (1 << size) for size, p in there)
    assert b.read(0x300) == 0xFF
    b.write(0x300, 1)

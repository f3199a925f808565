"""MC146818A against its data sheet (sections "Update cycle", "Interrupts", registers A-D, tables 3 and 5)."""
import datetime

import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.rtc_mc146818 import HZ, RtcMc146818, date, days


@pytest.fixture
def rtc():
    r = RtcMc146818("rtc", start=(26, 11, 21, 12, 0, 0), weekday=7)
    b = Backplane(FakeClock(HZ))                                            # one instruction is one tick of the crystal
    b.at(0x70, r)
    b.power_on()
    return r


def get(rtc, i): rtc.home.write(0x70, i); return rtc.home.read(0x71)
def put(rtc, i, v): rtc.home.write(0x70, i); rtc.home.write(0x71, v)
def time(rtc): return tuple(get(rtc, i) for i in (9, 8, 7, 4, 2, 0))
def wait(rtc, ticks): rtc.home.advance(ticks)


def test_time_runs_in_bcd(rtc):
    assert time(rtc) == (0x26, 0x11, 0x21, 0x12, 0x00, 0x00) and get(rtc, 6) == 7
    wait(rtc, HZ - 1); assert get(rtc, 0) == 0
    wait(rtc, 1); assert get(rtc, 0) == 1
    wait(rtc, 12 * 3600 * HZ); assert time(rtc) == (0x26, 0x11, 0x22, 0, 0, 1) and get(rtc, 6) == 1


def test_binary_and_12_hours(rtc):                                          # table 3: 12-hour mode, PM is bit 7
    def set_(b, hour):                                                       # "the ten bytes must be written again" when DM changes
        put(rtc, 11, 0x80 | b)
        for i, v in ((4, hour), (7, 21 if b & 4 else 0x21), (8, 11 if b & 4 else 0x11), (9, 26 if b & 4 else 0x26)): put(rtc, i, v)
        put(rtc, 11, b)
    set_(0x06, 23); assert get(rtc, 4) == 23
    set_(0x04, 0x80 | 11); assert get(rtc, 4) == 0x8B                        # binary, 11 PM
    wait(rtc, 3600 * HZ); assert get(rtc, 4) == 12 and get(rtc, 7) == 22     # 12 AM, next day
    set_(0x00, 0x80 | 0x12); assert get(rtc, 4) == 0x92                      # BCD, 12 PM is noon
    wait(rtc, 3600 * HZ); assert get(rtc, 4) == 0x81


def test_uip_is_up_2228_us_before_the_update(rtc):                          # table 5: tBUC 244 us, tUC 1984 us
    first = round(HZ - 2228e-6 * HZ)
    wait(rtc, first - 1); assert get(rtc, 10) == 0x26
    wait(rtc, 1); assert get(rtc, 10) == 0xA6
    wait(rtc, HZ - first - 1); assert get(rtc, 10) == 0xA6
    wait(rtc, 1); assert get(rtc, 10) == 0x26 and get(rtc, 0) == 1
    put(rtc, 11, 0x82); wait(rtc, HZ - 10); assert get(rtc, 10) == 0x26      # "SET=1 ... clears UIP"


def test_set_stops_updates_and_guest_writes_hold(rtc):                      # register B: SET
    put(rtc, 11, 0x82)
    for i, v in ((0, 0x59), (2, 0x59), (4, 0x23), (7, 0x28), (8, 0x02), (9, 0x24), (6, 4)): put(rtc, i, v)
    wait(rtc, 5 * HZ); assert time(rtc) == (0x24, 0x02, 0x28, 0x23, 0x59, 0x59)
    put(rtc, 11, 0x02); wait(rtc, HZ)
    assert time(rtc) == (0x24, 0x02, 0x29, 0, 0, 0) and get(rtc, 6) == 5     # a leap year


@pytest.mark.parametrize("rs, hz", [(1, 256), (2, 128), (3, 8192), (4, 4096), (6, 1024), (15, 2)])
def test_periodic_interrupt(rtc, rs, hz):                                   # table 5: periodic rates, 32.768 kHz column
    put(rtc, 10, 0x20 | rs); put(rtc, 11, 0x42)
    period = HZ // hz
    uip = HZ - round(2228e-6 * HZ)                                           # "tPI/2 + tBUC" from PF to the update cycle: tPI/2 to UIP
    wait(rtc, (uip - period // 2) % period)
    get(rtc, 12)
    for _ in range(3):
        wait(rtc, period - 1); assert not rtc.IRQ
        wait(rtc, 1); assert rtc.IRQ
        assert get(rtc, 12) & 0xE0 == 0xC0 and not rtc.IRQ and get(rtc, 12) == 0


def test_flags_are_set_without_being_enabled(rtc):                          # register C
    wait(rtc, HZ); assert not rtc.IRQ
    assert get(rtc, 12) & 0x50 == 0x50 and get(rtc, 12) == 0
    wait(rtc, HZ); put(rtc, 11, 0x12); assert rtc.IRQ                        # UF was waiting
    assert get(rtc, 12) & 0x90 == 0x90


def test_alarm_and_dont_care(rtc):                                          # "the three alarm bytes", C0-FF
    for i, v in ((1, 0x05), (3, 0x01), (5, 0x12)): put(rtc, i, v)
    put(rtc, 11, 0x22)
    wait(rtc, 65 * HZ - 1); assert not rtc.IRQ
    wait(rtc, 1); assert rtc.IRQ and get(rtc, 12) & 0xA0 == 0xA0
    put(rtc, 3, 0xC0); put(rtc, 5, 0xFF)
    wait(rtc, 60 * HZ - 1); assert not rtc.IRQ
    wait(rtc, 1); assert rtc.IRQ


def test_alarm_tomorrow(rtc):
    for i, v in ((1, 0), (3, 0), (5, 0x11)): put(rtc, i, v)
    put(rtc, 11, 0x22); wait(rtc, 23 * 3600 * HZ - 1); assert not rtc.IRQ
    wait(rtc, 1); assert rtc.IRQ


def test_update_ended_interrupt_each_second_and_set_clears_uie(rtc):
    put(rtc, 11, 0x12)
    for _ in range(3):
        wait(rtc, HZ - 1); assert not rtc.IRQ
        wait(rtc, 1); assert get(rtc, 12) & 0x90 == 0x90
    put(rtc, 11, 0x92); assert get(rtc, 11) == 0x82


def test_divider_reset_starts_half_a_second_before_an_update(rtc):          # "Divider control"
    put(rtc, 10, 0x66); wait(rtc, 3 * HZ); s = get(rtc, 0)
    put(rtc, 10, 0x26); wait(rtc, HZ // 2 - 1); assert get(rtc, 0) == s
    wait(rtc, 1); assert get(rtc, 0) == s + 1


def test_reset_pin_and_register_d(rtc):
    put(rtc, 11, 0x7A); put(rtc, 0x35, 0x77); wait(rtc, HZ); assert rtc.IRQ
    rtc.reset()
    assert get(rtc, 11) == 0x02 and get(rtc, 12) & 0x80 == 0 and not rtc.IRQ and get(rtc, 13) == 0x80 and get(rtc, 0x35) == 0x77
    assert get(rtc, 0) == 1


def test_the_calendar_is_the_calendar():
    for y, m, d in ((0, 1, 1), (0, 2, 29), (0, 3, 1), (1, 12, 31), (24, 2, 29), (99, 12, 31), (26, 11, 21)):
        assert days(y, m, d) == (datetime.date(2000 + y, m, d) - datetime.date(2000, 1, 1)).days
    for n in range(0, 36525):
        t = datetime.date(2000, 1, 1) + datetime.timedelta(n)
        assert date(n) == (t.year - 2000, t.month, t.day)


def test_irq8_reaches_the_cpu():
    from test_pic_8259 import intr, start
    b = at_pc(clock=FakeClock(HZ)); start(b)
    r = b.chips["rtc"]
    put(r, 10, 0x26); put(r, 11, 0x42)
    b.advance(32); assert intr(b) and b.acknowledge() == 0x70

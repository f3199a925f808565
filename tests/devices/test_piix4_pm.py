"""PIIX4 power management against its data sheet (290562-001, chapter 11) and the ACPI Specification 1.0, section 4.7."""
import pytest

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.piix4_pm import HEADER, HZ, Piix4Pm

BASE, STS, EN, CNT, TMR = 0xB000, 0xB000, 0xB002, 0xB004, 0xB008
HALF = 1 << 23


@pytest.fixture
def pm():
    p = Piix4Pm("pm")
    b = Backplane(FakeClock(HZ))                                           # one instruction is one tick of the timer
    b.at(BASE, p, "pm"); b.at(0xB2, p, "apm"); b.at(0xAFE0, p, "gpe")
    b.power_on()
    return p


def test_the_timer_counts_24_bits_at_3_579545_mhz(pm):                     # ACPI 4.7.3.3
    b = pm.home
    b.advance(0x123456); assert b.read(TMR, 4) == 0x123456 and [b.read(TMR + i) for i in range(4)] == [0x56, 0x34, 0x12, 0]
    b.advance((1 << 24) - 0x123456 + 5); assert b.read(TMR, 4) == 5
    b.write(TMR, 0, 4); assert b.read(TMR, 4) == 5                         # read only
    fast = Piix4Pm("pm")
    f = Backplane(FakeClock(100_000_000)); f.at(BASE, fast, "pm"); f.power_on()
    f.advance(100_000_000); assert f.read(TMR, 4) == HZ


def test_tmrof_is_set_whenever_bit_23_turns_over(pm):                      # "any time the last bit goes from set to clear or clear to set"
    b = pm.home
    b.advance(HALF - 1); assert b.read(STS, 2) == 0
    b.advance(1); assert b.read(STS, 2) == 1
    b.write(STS, 1, 2); assert b.read(STS, 2) == 0
    b.advance(HALF - 1); assert b.read(STS, 2) == 0
    b.advance(1); assert b.read(STS, 2) == 1


def test_the_overflow_raises_sci_when_enabled(pm):
    b = pm.home
    b.write(EN, 1, 2); b.write(CNT, 1, 2)
    b.advance(HALF - 1); assert not pm.SCI
    b.advance(1); assert pm.SCI
    b.write(STS, 1, 2); assert not pm.SCI
    b.advance(HALF); assert pm.SCI
    b.write(CNT, 0, 2); assert not pm.SCI                                  # SCI_EN = 0: events are the firmware's (SMI)


def test_an_overflow_before_enabling_is_pending(pm):
    b = pm.home
    b.write(CNT, 1, 2); b.advance(HALF + 5)
    b.write(EN, 1, 2); assert pm.SCI


def test_the_power_button(pm):                                             # ACPI 4.7.2.2
    b = pm.home
    b.write(EN, 0x100, 2); b.write(CNT, 1, 2)
    pm.pins.PWRBTN.set(1); assert pm.SCI and b.read(STS, 2) == 0x100
    pm.pins.PWRBTN.set(0); assert pm.SCI
    b.write(STS, 0x100, 2); assert not pm.SCI


def test_status_is_cleared_by_ones_and_reserved_enables_stay_0(pm):
    b = pm.home
    pm.sts = 0x8D31
    b.write(STS, 0x0120, 2); assert b.read(STS, 2) == 0x8C11
    b.write(EN, 0xFFFF, 2); assert b.read(EN, 2) == 0x0521


def test_slp_en_with_type_0_switches_off(pm):                              # 82371AB: SUS_TYP 000 is soft off
    b = pm.home
    b.write(CNT, 0x0001, 2); b.write(CNT, 0x2401, 2); assert not pm.POWEROFF and b.read(CNT, 2) == 0x0401
    b.write(CNT, 0x2001, 2); assert pm.POWEROFF and b.read(CNT, 2) == 1    # SLP_EN is write only


def test_apmc_switches_acpi_mode(pm):                                      # FADT: ACPI_ENABLE F1h, ACPI_DISABLE F0h at SMI_CMD B2h
    b = pm.home
    b.write(0xB2, 0xF1); assert b.read(CNT, 2) & 1 and b.read(0xB2) == 0xF1
    b.write(0xB2, 0xF0); assert b.read(CNT, 2) & 1 == 0
    b.write(0xB3, 0x5A); assert b.read(0xB3) == 0x5A


def test_general_purpose_events_in_both_places(pm):
    b = pm.home
    b.write(0xAFE2, 0x04, 2); assert b.read(BASE + 0x0E, 2) == 4
    b.write(CNT, 1, 2); pm.gpsts = 4
    b.write(BASE + 0x0E, 4, 2); assert pm.SCI
    b.write(0xAFE0, 4); assert not pm.SCI and b.read(BASE + 0x0C) == 0


def test_other_registers_are_stored(pm):
    pm.home.write(BASE + 0x28, 0x5A); assert pm.home.read(BASE + 0x28) == 0x5A


def test_the_base_is_where_configuration_says():
    c = bytearray(HEADER.reset)
    assert Piix4Pm.base(c) is None
    c[0x41], c[0x80] = 0xB0, 1
    assert Piix4Pm.base(c) == 0xB000
    assert HEADER.reset[0x5B] & 2                                          # APMC_EN shows as set: firmware leaves SMM alone

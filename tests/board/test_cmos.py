"""CMOS bytes against the tables of the IBM PC/AT Technical Reference and of SeaBIOS (src/hw/rtc.h)."""
import datetime

import pytest

from pyv86_nb.board import cmos
from pyv86_nb.board.at_pc import at_pc


def filled(memory=64 << 20, **k):
    ram = memoryview(bytearray(128))
    cmos.fill(ram, memory, **k)
    return ram


def word(ram, at): return ram[at] | ram[at + 1] << 8


@pytest.mark.parametrize("memory, extended, above_16", [(1 << 20, 0, 0), (16 << 20, 15 << 10, 0), (64 << 20, 63 << 10, 48 << 4),
                                                        (1 << 30, 0xFFFF, 1008 << 4), (3 << 30, 0xFFFF, (3072 - 16) << 4)])
def test_memory_sizes(memory, extended, above_16):
    r = filled(memory)
    assert word(r, 0x15) == 640 and word(r, 0x17) == word(r, 0x30) == extended and word(r, 0x34) == above_16
    assert bytes(r[0x5B:0x5E]) == bytes(3)


@pytest.mark.parametrize("floppies, types, equipment", [(("1.44M", None), 0x40, 0x07), (("1.2M", "720K"), 0x23, 0x47),
                                                        ((None, None), 0x00, 0x06)])
def test_floppies_and_equipment(floppies, types, equipment):
    r = filled(floppies=floppies)
    assert r[0x10] == types and r[0x14] == equipment


@pytest.mark.parametrize("boot, first_two, third", [("cda", 0x32, 0x11), ("a", 0x01, 0x01), ("dc", 0x23, 0x01)])
def test_boot_order(boot, first_two, third):
    r = filled(boot=boot)
    assert r[0x3D] == first_two and r[0x38] == third


def test_disks():
    r = filled(disks=((1024, 16, 63), None))
    assert r[0x12] == 0xF0 and r[0x19] == 47 and r[0x1A] == 0
    assert word(r, 0x1B) == 1024 and r[0x1D] == 16 and r[0x20] == 0xC8 and r[0x23] == 63


def test_the_sum_is_right():
    r = filled(disks=((306, 4, 17), (615, 4, 17)))
    assert r[0x2E] << 8 | r[0x2F] == sum(r[0x10:0x2E])


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="1.44M"): filled(floppies=("8 inch", None))
    with pytest.raises(ValueError, match="letters"): filled(boot="cdx")


def test_the_board_fills_it_and_the_clock_runs_from_the_given_date():
    b = at_pc(rtc_start=datetime.datetime(2026, 11, 21, 13, 4, 5), boot="a")
    def get(i):
        b.write(0x70, i)
        return b.read(0x71)
    assert [get(i) for i in (0x32, 9, 8, 7, 6, 4, 2, 0)] == [0x20, 0x26, 0x11, 0x21, 7, 0x13, 0x04, 0x05]
    assert get(0x3D) == 1 and get(0x14) & 1 and get(0x5F) == 0 and get(0x0F) == 0

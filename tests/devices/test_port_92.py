"""Port 92h against the IBM PS/2 Hardware Interface Technical Reference (1988), "System control port A"."""
import pytest
from two_readers import all_hot

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.port_92 import Port92


@pytest.fixture
def port():
    p = Port92("port92")
    b = Backplane(FakeClock(1_000_000)); b.at(0x92, p); b.power_on()
    return p


def test_a20_passes_after_reset_and_follows_bit_1(port):
    assert port.A20 == 1 and port.home.read(0x92) == 2
    port.home.write(0x92, 0); assert port.A20 == 0
    port.home.write(0x92, 2); assert port.A20 == 1
    port.home.write(0x92, 0); port.reset(); assert port.A20 == 1


def test_fast_reset_needs_a_rise_of_bit_0(port):
    b = port.home
    b.write(0x92, 3); assert port.RESET and b.read(0x92) == 3
    b.advance(6); assert not port.RESET
    b.write(0x92, 3); assert not port.RESET
    b.write(0x92, 2); b.write(0x92, 3); assert port.RESET


def test_activity_light_is_kept_and_the_rest_reads_0(port):
    port.home.write(0x92, 0xFE); assert port.home.read(0x92) == 0xC2


def test_the_other_gate_moves_this_one(port):
    port.pins.gate.set(1); port.pins.gate.set(0); assert port.A20 == 0
    port.pins.gate.set(1); assert port.A20 == 1 and port.home.read(0x92) == 2


def test_every_method_is_hot(port): assert all_hot(port.home) == []

"""Configuration space against PCI Local Bus Specification 2.1: 3.7.4.1 (mechanism #1), 6.2.5.1 (sizing), 6.2.3 (status); 82441FX and 82371SB
data sheets."""
import pytest

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.i440fx import I440fx
from pyv86_nb.devices.pci import IO, PREFETCHABLE, Bar, Header
from pyv86_nb.devices.piix3 import Piix3

CARD = Header(0x10EC, 0x8029, 0x020000, 0, bars={0: Bar(32, IO), 1: Bar(4096), 2: Bar(1 << 24, PREFETCHABLE)}, rom=0x10000, pin=1)
ONES = 0xFFFFFFFF


@pytest.fixture
def bus():
    """A bridge, a PIIX3 and a card at 00:03.0."""
    b = Backplane(FakeClock())
    host, isa = I440fx("host"), Piix3("isa")
    host.connect(1, 0, isa.header, isa)
    host.connect(3, 0, CARD)
    b.at(0xCF8, host); b.at(0xCF9, isa, "reset")
    b.power_on()
    handled(b)
    return b


def handled(b): b.chips["host"].REMAP = 0
def select(b, device, register, function=0): b.write(0xCF8, 1 << 31 | device << 11 | function << 8 | register, 4)


def get(b, device, register, size=4):
    select(b, device, register & ~3)
    return b.read(0xCFC + (register & 3), size)


def put(b, device, register, v, size=4):
    select(b, device, register & ~3)
    b.write(0xCFC + (register & 3), v, size)


def test_a_function_is_found_and_an_empty_slot_is_all_ones(bus):                     # 6.1: "FFFFh is an invalid vendor id"
    assert get(bus, 0, 0) == 0x12378086 and get(bus, 0, 0x2C) == 0x11001AF4 and get(bus, 0, 8, 1) == 2
    assert get(bus, 1, 0) == 0x70008086 and get(bus, 1, 0x0E, 1) == 0x80             # multifunction
    assert get(bus, 7, 0) == ONES and get(bus, 7, 2, 2) == 0xFFFF and get(bus, 7, 3, 1) == 0xFF
    put(bus, 7, 4, 0)                                                                # goes nowhere


def test_bytes_and_words_of_a_register(bus):
    select(bus, 3, 0)
    assert [bus.read(0xCFC + i) for i in range(4)] == [0xEC, 0x10, 0x29, 0x80]
    assert [bus.read(0xCFC + i, 2) for i in range(3)] == [0x10EC, 0x2910, 0x8029]


def test_confadd_is_32_bits_only_and_can_be_switched_off(bus):                       # "only full DWORD accesses are decoded"
    select(bus, 3, 0)
    bus.write(0xCFA, 0x55); bus.write(0xCFB, 0)
    assert bus.read(0xCF8, 4) == 0x80001800
    bus.write(0xCF8, 0x00001800, 4); assert bus.read(0xCFC, 4) == ONES
    bus.write(0xCF8, 0x80011800, 4); assert bus.read(0xCFC, 4) == ONES               # bus 1
    bus.write(0xCF8, 0xFFFFFFFF, 4); assert bus.read(0xCF8, 4) == 0x80FFFFFC


@pytest.mark.parametrize("register, answer", [(0x10, 0xFFFFFFE1), (0x14, 0xFFFFF000), (0x18, 0xFF000008), (0x1C, 0), (0x30, 0xFFFF0001)])
def test_sizing(bus, register, answer):                                              # 6.2.5.1
    put(bus, 3, register, ONES)
    assert get(bus, 3, register) == answer


def test_read_only_registers_stay_and_the_interrupt_line_is_the_firmwares(bus):
    for r in (0x00, 0x08, 0x2C): put(bus, 3, r, 0)
    assert get(bus, 3, 0) == 0x802910EC and get(bus, 3, 8) == 0x02000000
    put(bus, 3, 0x3C, 0xFF0B)
    assert get(bus, 3, 0x3C) == 0x010B


def test_status_bits_are_cleared_by_ones(bus):                                       # 6.2.3
    f = bus.chips["host"].functions[2]
    f.config[7] = 0xFA
    put(bus, 3, 6, 0x2000, 2); assert get(bus, 3, 6, 2) == 0xDA00
    put(bus, 3, 6, 0xFFFF, 2); assert get(bus, 3, 6, 2) == 0x0200                    # DEVSEL timing is read only


def test_a_base_address_counts_when_decoding_is_enabled(bus):
    f = bus.chips["host"].functions[2]
    put(bus, 3, 0x10, 0xC000); put(bus, 3, 0x18, 0xE0000000); put(bus, 3, 0x30, 0xFEB00001)
    assert f.bar(0) is None and f.bar(2) is None and f.rom() is None
    put(bus, 3, 4, 1, 2); assert f.bar(0) == 0xC000 and f.bar(2) is None
    put(bus, 3, 4, 3, 2); assert f.bar(2) == 0xE0000000 and f.rom() == 0xFEB00000 and f.bar(1) is None
    put(bus, 3, 0x30, 0xFEB00000); assert f.rom() is None


def test_remap_is_told_when_and_only_when_a_map_changes(bus):
    host = bus.chips["host"]
    for device, register, v, told in ((3, 0x3C, 9, 0), (3, 0x10, 0xC000, 1), (3, 0x10, 0xC000, 0), (3, 4, 1, 1), (0, 0x58, 0x3300, 1),
                                      (1, 0x60, 0x0B0A0980, 1), (1, 0x4C, 0, 0)):
        handled(bus)
        put(bus, device, register, v)
        assert host.REMAP == told, (device, register)


def test_pam_names_thirteen_pieces(bus):                                             # 82441FX, "PAM": table of attribute bits
    host = bus.chips["host"]
    assert [p[2:] for p in host.pam()] == [(0, 0)] * 13
    put(bus, 0, 0x59, 0x30, 1); put(bus, 0, 0x5A, 0x12, 1); put(bus, 0, 0x5F, 0xFF, 1)
    assert get(bus, 0, 0x5F, 1) == 0x33
    p = {at: (n, r, w) for at, n, r, w in host.pam()}
    assert p[0xF0000] == (0x10000, 1, 1) and p[0xC0000] == (0x4000, 0, 1) and p[0xC4000] == (0x4000, 1, 0) and p[0xEC000] == (0x4000, 1, 1)
    assert p[0xC8000] == (0x4000, 0, 0)


def test_reset_forgets_configuration(bus):
    put(bus, 3, 0x10, 0xC000); put(bus, 0, 0x59, 0x30, 1)
    bus.chips["host"].reset()
    assert get(bus, 3, 0x10) == 1 and get(bus, 0, 0x59, 1) == 0 and get(bus, 3, 0) == 0x802910EC
    assert bus.chips["host"].REMAP == 1


def test_the_card_lists_the_bus(bus):
    put(bus, 3, 0x10, 0xC000); put(bus, 3, 4, 1)
    card = bus.chips["host"].card()
    assert "00:01.0" in card and "8086:7000" in card and "class 020000" in card and "BAR0 C000h" in card


def test_a_taken_place_is_refused(bus):
    with pytest.raises(ValueError, match="taken"): bus.chips["host"].connect(3, 0, CARD)
    with pytest.raises(ValueError, match="power of two"): Bar(100)


# PIIX3

def irqs(b): return [n for n, line in enumerate(b.chips["isa"].line) if line.IRQ]


def steer(b, **routes):
    for name, v in routes.items(): put(b, 1, 0x60 + "ABCD".index(name), v, 1)
    b.chips["host"].announce()
    b.settle()


def test_pirq_steering_is_a_wired_or(bus):                                           # 82371SB, "PIRQRC": bit 7 disables, 3-0 the IRQ
    pins = bus.chips["isa"].pins.PIRQ
    pins[0].set(1); assert irqs(bus) == []
    steer(bus, A=11, B=11, C=10, D=0x80); assert irqs(bus) == [11]
    pins[1].set(1); pins[0].set(0); assert irqs(bus) == [11]
    pins[2].set(1); pins[3].set(1); assert irqs(bus) == [10, 11]
    steer(bus, B=5); assert irqs(bus) == [5, 10]
    steer(bus, B=0x85); assert irqs(bus) == [10]
    steer(bus, B=8); assert irqs(bus) == [10]                                        # IRQ8 is reserved


def test_cf9_resets_on_the_rise_of_bit_2(bus):                                       # 82371SB, "Reset control register"
    isa = bus.chips["isa"]
    bus.write(0xCF9, 2); assert isa.RESET == 0 and bus.read(0xCF9) == 2
    bus.write(0xCF9, 6); assert isa.RESET == 1

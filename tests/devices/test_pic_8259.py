"""8259A against its data sheet (231468-003), section by section."""
import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.devices.clock import FakeClock


@pytest.fixture
def pc():
    """Both PICs as a PC BIOS sets them up, nothing masked, RTC and timer silent."""
    b = at_pc(clock=FakeClock())
    start(b)
    return b


def start(b, icw4=(1, 1), icw1=0x11):
    for base, (i1, i2, i3, i4) in ((0x20, (icw1, 0x08, 0x04, icw4[0])), (0xA0, (icw1, 0x70, 0x02, icw4[1]))):
        b.write(base, i1)
        for v in (i2, i3, i4): b.write(base + 1, v)


def raise_(b, irq, level=1): (b.chips["pic1"] if irq < 8 else b.chips["pic2"]).pins.ir[irq & 7].set(level)
def pulse(b, irq): raise_(b, irq, 0); raise_(b, irq, 1)
def intr(b): b.advance(0); return b.chips["cpu"].INTR
def regs(b, base=0x20):
    b.write(base, 0x0A); irr = b.read(base)
    b.write(base, 0x0B); return irr, b.read(base)


def test_a_request_goes_through_irr_isr_and_eoi(pc):                       # "Interrupt sequence"
    assert not intr(pc)
    pulse(pc, 3)
    assert intr(pc) and regs(pc) == (0x08, 0x00)
    assert pc.acknowledge() == 0x0B and regs(pc) == (0x00, 0x08) and not intr(pc)
    pc.write(0x20, 0x20)
    assert regs(pc) == (0, 0)


def test_fully_nested(pc):                                                 # "Fully nested mode"
    pulse(pc, 4); assert pc.acknowledge() == 0x0C
    pulse(pc, 5); assert not intr(pc)
    pulse(pc, 1); assert intr(pc) and pc.acknowledge() == 0x09
    pc.write(0x20, 0x20); assert regs(pc)[1] == 0x10 and not intr(pc)
    pc.write(0x20, 0x20); assert intr(pc) and pc.acknowledge() == 0x0D


def test_mask_hides_but_does_not_forget(pc):                               # OCW1
    pc.write(0x21, 0x08)
    pulse(pc, 3); assert not intr(pc) and pc.read(0x21) == 0x08 and regs(pc)[0] == 0x08
    pc.write(0x21, 0x00); assert intr(pc)


def test_cascade(pc):                                                      # "Cascade mode"
    pulse(pc, 12)
    assert intr(pc) and pc.acknowledge() == 0x74
    assert regs(pc)[1] == 0x04 and regs(pc, 0xA0)[1] == 0x10
    pulse(pc, 9); assert not intr(pc)                                      # the master's IR2 is in service
    pc.write(0xA0, 0x20); pc.write(0x20, 0x20)
    assert intr(pc) and pc.acknowledge() == 0x71


def test_special_fully_nested_lets_the_slave_ask_again():                  # "Special fully nested mode"
    b = at_pc(clock=FakeClock()); start(b, icw4=(0x11, 1))
    pulse(b, 12); assert b.acknowledge() == 0x74
    b.advance(0)
    pulse(b, 9); assert intr(b) and b.acknowledge() == 0x71


def test_edge_mode_needs_a_new_edge_level_mode_does_not(pc):               # "Edge and level triggered modes"
    raise_(pc, 5); pc.acknowledge(); pc.write(0x20, 0x20)
    assert not intr(pc)
    pc.write(0x4D0, 0xFF)
    assert pc.read(0x4D0) == 0xF8                                          # IRQ 0, 1, 2 stay edge triggered
    assert intr(pc) and pc.acknowledge() == 0x0D
    pc.write(0x20, 0x20); assert intr(pc)                                  # still high: asks again
    raise_(pc, 5, 0); assert not intr(pc)


def test_a_request_withdrawn_before_inta_is_irq7_or_irq15(pc):             # "a default IR7 will occur"
    assert pc.acknowledge() == 0x0F and regs(pc)[1] == 0
    pulse(pc, 10)
    pc.chips["pic2"].irr = 0                                               # gone between the two INTA cycles
    assert pc.acknowledge() == 0x77
    assert regs(pc)[1] == 0x04 and regs(pc, 0xA0)[1] == 0                  # the master still needs its EOI


def test_automatic_eoi_and_its_rotation():                                 # "Automatic EOI", "Automatic rotation"
    b = at_pc(clock=FakeClock()); start(b, icw4=(3, 1))
    pulse(b, 3); assert b.acknowledge() == 0x0B and regs(b)[1] == 0
    b.write(0x20, 0x80)                                                    # rotate in AEOI mode
    pulse(b, 3); assert b.acknowledge() == 0x0B
    pulse(b, 3); pulse(b, 4); assert b.acknowledge() == 0x0C


def test_rotate_on_non_specific_eoi(pc):                                   # fig. "before rotate / after rotate": IR4
    pulse(pc, 4); pc.acknowledge()
    pc.write(0x20, 0xA0)
    pulse(pc, 4); pulse(pc, 6); assert pc.acknowledge() == 0x0E             # IR4 is lowest now, IR5 highest


def test_set_priority_and_specific_rotate(pc):                             # "Specific rotation"
    pc.write(0x20, 0xC5)                                                   # IR5 lowest: IR6 highest
    pulse(pc, 0); pulse(pc, 6); assert pc.acknowledge() == 0x0E
    pc.write(0x20, 0xE6); assert regs(pc)[1] == 0                          # specific EOI, IR6 lowest
    assert pc.acknowledge() == 0x08


def test_specific_eoi(pc):
    pulse(pc, 4); pc.acknowledge(); pulse(pc, 1); pc.acknowledge()
    pc.write(0x20, 0x64); assert regs(pc)[1] == 0x02


def test_special_mask_mode(pc):                                            # "Special mask mode"
    pulse(pc, 4); pc.acknowledge()
    pc.write(0x21, 0x10); pulse(pc, 6); assert not intr(pc)
    pc.write(0x20, 0x68); assert intr(pc) and pc.acknowledge() == 0x0E      # lower levels are enabled too
    pc.write(0x20, 0x20); assert regs(pc)[1] == 0x10                       # the masked bit is not cleared
    pc.write(0x20, 0x48); pulse(pc, 6); assert not intr(pc)


def test_poll(pc):                                                         # "Poll command"
    pc.write(0x20, 0x0C); assert pc.read(0x20) & 0x80 == 0
    pulse(pc, 3); pc.write(0x20, 0x0C)
    assert pc.read(0x20) == 0x83 and not intr(pc) and regs(pc) == (0, 0x08)


def test_icw1_forgets_edges_mask_and_modes(pc):                            # "ICW1": a-f
    pc.write(0x21, 0x55); pc.write(0x20, 0xC3); pc.write(0x20, 0x68); pc.write(0x20, 0x0B); raise_(pc, 3)
    start(pc)
    p = pc.chips["pic1"]
    assert (p.imr, p.irr, p.lowest, p.special_mask, p.read_isr) == (0, 0, 7, 0, 0) and not intr(pc)


def test_single_without_icw4_is_ready_after_icw2(pc):
    pc.write(0x20, 0x12); assert pc.chips["pic1"].init == 2
    pc.write(0x21, 0x40); assert pc.chips["pic1"].init == 0
    pulse(pc, 2); assert pc.acknowledge() == 0x42


def test_slave_pulse_after_inta_reaches_an_edge_sensing_master():          # slave in AEOI, two requests at once
    b = at_pc(clock=FakeClock()); start(b, icw4=(1, 3))
    pulse(b, 9); pulse(b, 10)
    assert b.acknowledge() == 0x71
    b.advance(0); b.write(0x20, 0x20)
    assert intr(b) and b.acknowledge() == 0x72

"""The interrupt trace against what the data sheet of the 8259A says happens, in its order; both readers write it."""
import numpy as np
import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.engine import bus as B
from pyv86_nb.engine import irq_trace as T

HZ = 1_193_182


@pytest.fixture
def pc():
    b = at_pc(clock=FakeClock(HZ))
    for p, v in ((0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x70), (0xA1, 2), (0xA1, 1), (0x21, 0xFF), (0xA1, 0xFF)):
        b.write(p, v)
    b.bus.irq[T.HEAD] = 0
    return b


def rows(b): return [(r["event"], int(r["irq"]), int(r["vector"])) for r in T.rows(b.bus)]


def jitted(b):
    """The same board, driven by jitted code."""
    a = b.bus.address
    return (lambda p, v: B.port_write(a, p, 1, v)), (lambda n: B.advance_to(a, b.clock.now + n)), lambda: B.acknowledge(a)


@pytest.mark.parametrize("how", ["python", "jitted"])
def test_a_timer_tick_from_raise_to_eoi(pc, how):
    write, advance, inta = (pc.write, pc.advance, pc.acknowledge) if how == "python" else jitted(pc)
    write(0x21, 0xFE)
    write(0x43, 0x34), write(0x40, 100), write(0x40, 0)      # OUT0 goes high (control word), falls for CLK 100, rises
    advance(101)
    pc.bus.irq[[T.CS, T.EIP, T.RETIRED]] = 0x1234, 0x56789ABC, 77
    advance(9)                                               # nine ticks late
    assert inta() == 8
    T.note_frame(pc.bus.address, 0x7FF0)
    advance(20)
    write(0x20, 0x20)
    advance(1)
    T.note_iret(pc.bus.address, 0x7000)                      # somebody else's frame
    T.note_iret(pc.bus.address, 0x7FF0)
    T.note_iret(pc.bus.address, 0x7FF0)                      # it is gone
    got = [r for r in T.rows(pc.bus) if r["instruction"] == 77]
    assert [(r["event"], r["irq"], r["vector"]) for r in got] == [("accept", 0, 8), ("eoi", 0, 8), ("iret", 0, 8)]
    assert np.allclose([r["latency"] * HZ for r in got], [9, 20, 21])
    assert all(r["cs"] == 0x1234 and r["eip"] == 0x56789ABC for r in got)
    before = [r for r in rows(pc) if r[1] == 0][:4]
    assert before == [("unmask", 0, -1), ("raise", 0, -1), ("lower", 0, -1), ("raise", 0, -1)]
    times = T.rows(pc.bus)["time"]
    assert (np.diff(times) >= 0).all() and times[3] == pytest.approx(101 / HZ)


def test_the_slave_is_told_by_its_own_lines(pc):
    pc.write(0x21, 0xFB), pc.write(0xA1, 0xFE)
    pc.bus.irq[T.HEAD] = 0
    pc.chips["pic2"].pins.ir[0].set(1)
    assert pc.acknowledge() == 0x70
    pc.write(0xA0, 0x20), pc.write(0x20, 0x20)
    pc.chips["pic2"].pins.ir[0].set(0)
    assert rows(pc) == [("raise", 8, -1), ("accept", 8, 0x70), ("eoi", 8, 0x70), ("lower", 8, -1)]


def test_a_request_that_has_gone_is_accepted_without_latency(pc):
    pc.write(0x21, 0xF7)
    pin = pc.chips["pic1"].pins.ir[3]
    pin.set(1), pin.set(0)
    assert pc.acknowledge() == 15
    last = T.rows(pc.bus)[-1]
    assert (last["event"], last["irq"], last["vector"]) == ("accept", 7, 15) and np.isnan(last["latency"])


def test_masks(pc):
    pc.write(0x21, 0xF0)
    pc.write(0x21, 0xF5)
    assert rows(pc) == [("unmask", i, -1) for i in (0, 1, 3)] + [("mask", 0, -1)]     # line 2 is the slave's


def test_the_oldest_rows_go_and_are_counted(pc):
    pin, n = pc.chips["pic1"].pins.ir[3], len(pc.bus.ring)
    pc.bus.irq[T.ROWS] = 8                                   # a shorter ring of the same memory
    pc.bus.ring = pc.bus.ring[:8]
    for _ in range(10): pin.set(1), pin.set(0)
    assert n == 1 << 16 and T.lost(pc.bus) == 12 and [r[0] for r in rows(pc)] == ["raise", "lower"] * 4


def test_it_can_be_off(pc):
    pc.bus.irq[T.ON] = 0
    pc.write(0x21, 0)
    assert rows(pc) == []


def test_a_restore_is_no_edge(pc):
    s = pc.snapshot()
    pc.chips["pic1"].pins.ir[3].set(1)
    pc.restore(s)
    pc.bus.irq[T.HEAD] = 0
    pc.read(0x21)
    assert rows(pc) == []


# THROUGH THE APIC: Intel SDM vol. 3, 11.8.4 (IRR, ISR), 11.8.5 (EOI: "clears the highest priority bit in the ISR"); 82093AA, 3.2.4 (Remote IRR)

def registers(b, how):
    """(write to the local APIC, write to an entry of the I/O APIC) on one of the readers."""
    at = {base: n for n, (base, _, _) in b.regions.items()}
    put = b.memory_write if how == "python" else (lambda region, address, size, v: B.mmio_write(b.bus.address, region, address, size, v))

    def local(r, v): put(at[0xFEE00000], 0xFEE00000 + r, 4, v)

    def redirect(n, low):
        for offset, v in ((0, 0x11 + 2 * n), (0x10, 0), (0, 0x10 + 2 * n), (0x10, low)): put(at[0xFEC00000], 0xFEC00000 + offset, 4, v)
    local(0xF0, 0x1FF)
    return local, redirect


@pytest.mark.parametrize("how", ["python", "jitted"])
def test_an_apic_interrupt_from_raise_to_iret(pc, how):
    write, advance, inta = (pc.write, pc.advance, pc.acknowledge) if how == "python" else jitted(pc)
    local, redirect = registers(pc, how)
    redirect(3, 0x43)
    redirect(8, 0x98)
    pc.chips["com2"].INTR = 1
    pc.settle()
    pc.bus.irq[T.RETIRED] = 77
    advance(5)
    assert inta() == 0x43
    T.note_frame(pc.bus.address, 0x7FF0)
    advance(2)
    pc.chips["hpet"].IRQ8 = 1
    pc.settle()
    advance(3)
    assert inta() == 0x98                                    # a higher class: it may interrupt the other
    T.note_frame(pc.bus.address, 0x7FE0)
    advance(4)
    local(0xB0, 0)                                           # the highest in service: 98h
    advance(1)
    T.note_iret(pc.bus.address, 0x7FE0)
    local(0xB0, 0)
    T.note_iret(pc.bus.address, 0x7FF0)
    local(0xB0, 0)                                           # nothing is in service: no row
    got = [r for r in T.rows(pc.bus) if r["instruction"] == 77 and r["event"] in ("accept", "eoi", "iret")]
    assert [(r["event"], r["irq"], r["vector"]) for r in got] == [
        ("accept", 3, 0x43), ("accept", 8, 0x98), ("eoi", 8, 0x98), ("iret", 8, 0x98), ("eoi", 3, 0x43), ("iret", 3, 0x43)]
    assert np.allclose([r["latency"] * HZ for r in got], [5, 3, 4, 5, 10, 10])


def test_a_level_that_is_still_there_asks_again_at_eoi(pc):
    local, redirect = registers(pc, "python")
    redirect(11, 0x8051)                                     # level
    pc.chips["isa"].pirqrc = 0x8080800B                      # PIRQA to IRQ11
    pc.bus.irq[T.HEAD] = 0
    pc.chips["isa"].pins.PIRQ[0].set(1)
    pc.advance(3)
    assert pc.acknowledge() == 0x51
    pc.advance(4)
    local(0xB0, 0)
    pc.advance(6)
    assert pc.acknowledge() == 0x51
    got = [r for r in T.rows(pc.bus) if r["event"] in ("accept", "eoi")]
    assert [(r["event"], r["irq"]) for r in got] == [("accept", 11), ("eoi", 11), ("accept", 11)]
    assert np.allclose([r["latency"] * HZ for r in got], [3, 4, 6])


def test_the_apics_own_timer_has_no_line(pc):
    local, _ = registers(pc, "python")
    local(0x320, 0x60)
    local(0x3E0, 0xB)                                        # divide by 1
    local(0x380, 100)
    pc.advance(HZ // 1000)
    pc.bus.irq[T.HEAD] = 0
    assert pc.acknowledge() == 0x60
    T.note_frame(pc.bus.address, 0x100)
    pc.advance(9)
    local(0xB0, 0)
    T.note_iret(pc.bus.address, 0x100)
    got = T.rows(pc.bus)
    assert [(r["event"], r["irq"], r["vector"]) for r in got] == [("accept", -1, 0x60), ("eoi", -1, 0x60), ("iret", -1, 0x60)]
    assert np.isnan(got[0]["latency"]) and np.allclose(got["latency"][1:] * HZ, 9)

"""The whole board: resets, moving ports, power off; IBM PC/AT Technical Reference, 82371 data sheets."""
import numpy as np
import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.engine import bus as B


@pytest.fixture
def pc(): return at_pc()


def config(b, device, function, register):
    b.write(0xCF8, 1 << 31 | device << 11 | function << 8 | register, 4)
    return 0xCFC


def level(b, pin): return int(b.words[b.pins[pin]])


def test_at_power_on_the_pins_are_quiet_and_a20_passes(pc):
    assert {p: level(pc, p) for p in pc.pins} == {"INTR": 0, "NMI": 0, "A20": 1, "RESET": 0, "REMAP": 0, "POWEROFF": 0, "IGNNE": 0, "NOTICE": 0}


def test_a20_from_both_gates(pc):
    pc.write(0x92, 0)
    assert level(pc, "A20") == 0
    pc.write(0x64, 0xD1), pc.write(0x60, 0xDF)
    assert level(pc, "A20") == 1 and pc.read(0x92) & 2


@pytest.mark.parametrize("ports", [[(0x92, 3)], [(0x64, 0xFE)], [(0xCF9, 0x02), (0xCF9, 0x06)], [(0xCF9, 0x04)]])
def test_reset_and_who_hears_it(pc, ports):
    pc.write(0x21, 0x5A) if not pc.chips["pic1"].init else None
    pc.chips["com1"].ier = 5
    for p, v in ports: B.port_write(pc.bus.address, p, 1, v)
    assert level(pc, "RESET") == 1
    pc.reset_line()
    assert level(pc, "RESET") == 0 and level(pc, "REMAP") == 0
    hard = ports[-1] == (0xCF9, 0x06)
    assert (pc.chips["com1"].ier == 0) == hard                # a processor's reset leaves the UART alone


@pytest.mark.parametrize("ports, hard", [([(0x92, 3)], 0), ([(0x64, 0xFE)], 0), ([(0xCF9, 0x02), (0xCF9, 0x06)], 1)])
def test_a_processors_reset_is_heard_by_its_local_apic_alone(pc, ports, hard):
    """SDM vol. 3, 11.4.7: LVTs masked, SVR FFh, TPR 0.  82093AA, 2.0: its own RESET pin sets the redirection table, which hangs on CF9h."""
    io, local = 0xFEC00000, 0xFEE00000
    select = lambda r: pc.memory_write(pc.local_apic + 1, io, 4, r)
    for r, v in ((0, 5 << 24), (0x10 + 2 * 9, 0x8039), (0x11 + 2 * 9, 0)):
        select(r); pc.memory_write(pc.local_apic + 1, io + 0x10, 4, v)
    for r, v in ((0xF0, 0x1FF), (0x80, 0x20), (0x360, 0x400), (0x320, 0x40), (0x380, 1000)): pc.memory_write(pc.local_apic, local + r, 4, v)
    pc.chips["pit"].counter[0].cr, pc.chips["fdc"].dor, pc.chips["hpet"].config = 1234, 0x1C, 1
    others = {n: bytes(c.w.tobytes()) for n, c in pc.chips.items() if n not in ("apic", "cpu", "clock", "kbc", "port92", "isa")}
    for p, v in ports: B.port_write(pc.bus.address, p, 1, v)
    pc.reset_line()
    get = lambda r: pc.memory_read(pc.local_apic, local + r, 4)
    assert (get(0xF0), get(0x80), get(0x360), get(0x320), get(0x380)) == (0xFF, 0, 0x10000, 0x10000, 0)
    table = []
    for r in (0, 0x10 + 2 * 9):
        select(r); table.append(pc.memory_read(pc.local_apic + 1, io + 0x10, 4))
    assert table == ([0, 0x10000] if hard else [5 << 24, 0x8039])
    assert ({n: bytes(pc.chips[n].w.tobytes()) for n in others} == others) == (not hard)


def test_without_a_local_apic_the_8259s_reach_the_processor():
    """SDM vol. 3, 11.4.3: "when APIC is globally disabled, LINT0 and LINT1 are INTR and NMI"; a 486 has never had another way."""
    b = at_pc(local_apic=False)
    for reset in (lambda: None, b.reset, b.chips["apic"].reset_local):
        reset()
        assert b.chips["apic"].base == 0
        for p, v in ((0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1), (0x21, 0)): b.write(p, v)
        b.write(0x43, 0x30)
        b.write(0x40, 10), b.write(0x40, 0)
        b.advance(b.clock.ips // 1000)
        assert level(b, "INTR") == 1 and b.acknowledge() == 8
        b.write(0x20, 0x20)


def test_power_management_ports_follow_pmbase(pc):
    assert pc.read(0x608, 4) == 0xFFFFFFFF
    at = config(pc, 1, 3, 0x40)
    B.port_write(pc.bus.address, at, 4, 0x601)
    pc.write(config(pc, 1, 3, 0x80), 1)
    assert level(pc, "REMAP") == 1
    pc.remap()
    assert level(pc, "REMAP") == 0
    pc.advance(1_000_000)
    assert pc.read(0x608, 4) == B.port_read(pc.bus.address, 0x608, 4) == 35795
    pc.write(config(pc, 1, 3, 0x40), 0xB001, 4)
    pc.remap()
    assert pc.read(0x608, 4) == 0xFFFFFFFF and pc.read(0xB008, 4) == 35795
    pc.write(0xB004, 0x2000, 2)
    assert level(pc, "POWEROFF") == 1


def test_a_restored_board_has_its_ports_where_they_were(pc):
    pc.write(config(pc, 1, 3, 0x40), 0x601, 4), pc.write(config(pc, 1, 3, 0x80), 1)
    pc.remap()
    s = pc.snapshot()
    pc.reset()
    assert pc.read(0x608, 4) == 0xFFFFFFFF
    assert pc.restore(s) == [] and pc.read(0x608, 4) == 0


def test_the_display_window_answers_through_its_region(pc):
    for p, v in ((0x3C2, 0x67), (0x3C4, 2), (0x3C5, 1), (0x3C4, 4), (0x3C5, 6), (0x3CE, 5), (0x3CF, 0), (0x3CE, 6), (0x3CF, 0x05),
                 (0x3CE, 8), (0x3CF, 0xFF)): pc.write(p, v)
    assert B.mmio_write(pc.bus.address, 0, 0xA0010, 2, 0x4142) == 0
    assert pc.memory_read(0, 0xA0010, 2) == B.mmio_read(pc.bus.address, 0, 0xA0010, 2) == 0x4142
    assert bytes(pc.chips["vga"].planes[0x10:0x12]) == b"BA"


def test_the_rows_of_apic_timer_and_hpet():
    """vm.timers(): what is written into the chips comes back as frequency, period and next moment (SDM vol. 3, 11.5.4; HPET 1.0a)."""
    from pyv86_nb.board.timers import table
    b = at_pc()
    local = lambda r, v: b.memory_write(b.local_apic, 0xFEE00000 + r, 4, v)
    for r, v in ((0xF0, 0x1FF), (0x3E0, 0b0011), (0x320, 0x20040), (0x380, 62_500)): local(r, v)          # 100 MHz / 16, 100 Hz
    high = lambda r, v: b.memory_write(b.local_apic + 2, 0xFED00000 + r, 4, v)
    for r, v in ((0x10, 3), (0x120, 0x14C), (0x128, 3_000_000), (0x128, 500_000)): high(r, v)
    b.advance(b.clock.ips // 1000)
    rows = {r["name"]: r for r in table(b)}
    apic, hpet1 = rows["apic"], rows["hpet1"]
    assert (apic["mode"], apic["frequency"], apic["period"], apic["count"]) == ("periodic", 6_250_000, 0.01, 62_500 - 6250)
    assert abs(apic["next"] - 0.01) < 1e-6 and apic["output"] == -1
    assert (hpet1["mode"], hpet1["period"], hpet1["count"]) == ("periodic, legacy route", 0.005, 100_000) and abs(hpet1["next"] - 0.03) < 1e-6
    assert rows["hpet0"]["mode"].startswith("off") and np.isnan(rows["hpet0"]["next"])

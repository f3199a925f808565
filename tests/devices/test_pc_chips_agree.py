"""One text, two readers, for the chips of the PCI PC: random traffic by ports and by the VGA's memory window, through Python and compiled,
gives the same answers and the same bytes."""
import random

import pytest
from test_vga import set_mode

from pyv86_nb.board import hot
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.debug_ports import DebugPorts
from pyv86_nb.devices.fw_cfg import FwCfg
from pyv86_nb.devices.i440fx import I440fx
from pyv86_nb.devices.piix3 import Piix3
from pyv86_nb.devices.piix4_pm import Piix4Pm
from pyv86_nb.devices.vga import WINDOW, Vga
from pyv86_nb.engine import bus as compiled


def pc():
    b = Backplane(FakeClock())
    host, isa, pm, vga = I440fx("host"), Piix3("isa"), Piix4Pm("pm"), Vga("vga")
    for place, chip in (((1, 0), isa), ((1, 3), pm), ((2, 0), vga)): host.connect(*place, chip.header, chip)
    b.at(0xCF8, host); b.at(0xCF9, isa, "reset"); b.at(0xB000, pm, "pm"); b.at(0xB2, pm, "apm")
    b.at(0x3C0, vga); b.at(0x3D0, vga, "color"); b.at(0x3B0, vga, "mono"); b.at(0x1CE, vga, "vbe")
    b.at(0x510, FwCfg("fw_cfg", files={"etc/x": bytes(range(200))}))
    d = DebugPorts("debug")
    b.at(0x80, d, "post"); b.at(0xE9, d, "e9"); b.at(0x402, d, "log")
    b.region(WINDOW, vga)
    return b.power_on()


class Compiled:
    """A board driven through the engine's bus; what only Python can do goes to Python, as the engine does."""
    def __init__(self, board):
        self.board, self.tables, self.trips = board, hot.hot(board), 0
        self.bus = self.tables.address

    def read(self, port, size):
        v = compiled.port_read(self.bus, port, size)
        if v != compiled.PYTHON: return v
        self.trips += 1
        return self.board.read(port, size)

    def write(self, port, v, size):
        if compiled.port_write(self.bus, port, size, v):
            self.trips += 1
            self.board.write(port, v, size)

    def memory_read(self, region, a, size): return compiled.mmio_read(self.bus, region, a, size)
    def memory_write(self, region, a, size, v): compiled.mmio_write(self.bus, region, a, size, v)

    def advance(self, n):
        end = self.board.clock.now + n
        while compiled.advance_to(self.bus, end): self.board.advance(0)


VGA_PORTS = [0x3C0, 0x3C1, *range(0x3C4, 0x3CA), 0x3CC, 0x3CE, 0x3CF, 0x3D4, 0x3D5, 0x3DA]


def vga_act(r):
    k = r.random()
    if k < .35: return "memory_write", 0, WINDOW + r.choice((r.randrange(0x20000), r.randrange(64))), (s := r.choice((1, 2, 4))), r.getrandbits(8 * s)
    if k < .6: return "memory_read", 0, WINDOW + r.choice((r.randrange(0x20000), r.randrange(64))), r.choice((1, 2, 4))
    if k < .7: return "advance", r.randrange(3000)
    if k < .8: return "read", r.choice(VGA_PORTS), 1
    if k < .9:
        port, last = r.choice(((0x3C4, 4), (0x3CE, 8), (0x3CE, 8), (0x3D4, 0x18)))
        return "write", port, r.randrange(last + 1) | r.getrandbits(8) << 8, 2
    return "write", r.choice(VGA_PORTS), r.getrandbits(8), 1


def pc_act(r):
    k = r.random()
    size = r.choice((1, 2, 4))
    at = r.randrange(0, 4, size)
    if k < .25: return "write", 0xCF8, r.choice((0, 1, 1, 1)) << 31 | r.choice((0, 8, 11, 16, 24)) << 8 | r.randrange(0, 256, 4), 4
    if k < .45: return "read", 0xCFC + at, size
    if k < .6: return "write", 0xCFC + at, r.getrandbits(8 * size), size
    if k < .7: return "advance", r.choice((1, 1000, 50_000_000))
    if k < .8: return "read", 0xB000 + r.choice((0, 2, 4, 8, 8, 8, 12)), r.choice((1, 2, 4))
    if k < .87: return "write", 0xB000 + r.choice((0, 2, 4, 14)), r.getrandbits(16), 2
    if k < .9: return "write", 0x510, r.choice((0, 1, 3, 0x19, 0x20, 0x99)), 2
    if k < .97: return "read", 0x511, r.choice((1, 1, 2, 4))
    return "write", r.choice((0x80, 0xE9, 0x402, 0xB2)), r.getrandbits(8), 1


@pytest.mark.parametrize("act, mode", [(vga_act, "12h"), (vga_act, "text"), (vga_act, "13h"), (vga_act, "X"), (pc_act, "text")])
@pytest.mark.parametrize("seed", range(4))
def test_python_and_compiled_agree(act, mode, seed):
    slow, fast = pc(), pc()
    for b in (slow, fast): set_mode(b, mode)
    engine, r, seen = Compiled(fast), random.Random(seed), set()
    for i in range(2500):
        what, *args = act(r)
        a, b = getattr(slow, what)(*args), getattr(engine, what)(*args)
        assert a == b, (i, what, args)
        seen.add(a)
    assert slow.diff(slow.array, fast.array) == []
    assert len(seen) > 50


def test_what_a_boot_asks_often_never_goes_to_python():
    """VGA ports and memory, PCI configuration, PM timer, fw_cfg, debug ports."""
    e = Compiled(pc())
    hot_reads = [(0xB008, 4), (0xB008, 1), (0xCF8, 4), *((0xCFC + i, 1) for i in range(4)), (0xCFC, 2), (0xCFE, 2), (0xCFC, 4), (0x511, 1),
                 (0x402, 1), (0x3C1, 1), (0x3C5, 1), (0x3CC, 1), (0x3CF, 1), (0x3D5, 1), (0x3DA, 1), (0x3C9, 1)]
    for port, size in hot_reads: e.read(port, size)
    for port, size in ((0xCF8, 4), (0xCFC, 4), (0xCFC, 1), (0x510, 2), (0x402, 1), (0x80, 1), (0x3C0, 1), (0x3C4, 2), (0x3CE, 2), (0x3D4, 2),
                       (0x3C8, 1), (0x3C9, 1), (0x3C2, 1)): e.write(port, 0, size)
    assert e.trips == 0

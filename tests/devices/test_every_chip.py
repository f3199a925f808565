"""The contract that every chip keeps, those of today and those to come.  A new chip adds one line to CHIPS."""
import random

import numpy as np
import pytest

from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.board.backplane import Backplane
from pyv86_nb.board.cpu_socket import CpuSocket
from pyv86_nb.devices.apic import Apic, Redirection
from pyv86_nb.devices.chip import Chip, field, keep
from pyv86_nb.devices.clock import Clock, FakeClock
from pyv86_nb.devices.debug_ports import DebugPorts, Ring
from pyv86_nb.devices.dma_8237 import Dma8237, DmaChannel
from pyv86_nb.devices.fdc_82077 import Fdc82077
from pyv86_nb.devices.floppy_drive import FloppyDrive
from pyv86_nb.devices.fw_cfg import FwCfg, Item
from pyv86_nb.devices.hpet import Comparator, Hpet, Route
from pyv86_nb.devices.i440fx import I440fx
from pyv86_nb.devices.ide_channel import IdeChannel
from pyv86_nb.devices.ide_drive import IdeDrive
from pyv86_nb.devices.ide_piix3 import Piix3Ide
from pyv86_nb.devices.kbc_8042 import Kbc8042
from pyv86_nb.devices.lapic import LocalApic, Lvt, Vectors
from pyv86_nb.devices.pci import PciFunction
from pyv86_nb.devices.pic_8259 import Pic8259
from pyv86_nb.devices.piix3 import IsaIrq, Piix3
from pyv86_nb.devices.piix4_pm import Piix4Pm
from pyv86_nb.devices.pit_8254 import Counter, Pit8254
from pyv86_nb.devices.port_92 import Port92
from pyv86_nb.devices.ps2_keyboard import Ps2Keyboard
from pyv86_nb.devices.ps2_mouse import Ps2Mouse
from pyv86_nb.devices.rtc_mc146818 import RtcMc146818
from pyv86_nb.devices.system_port_b import SystemPortB
from pyv86_nb.devices.uart_16550 import Uart16550
from pyv86_nb.devices.vga import Vga
from pyv86_nb.devices.virtio_blk import VirtioBlk

CHIPS = [Clock, CpuSocket, Pic8259, Pit8254, Counter, RtcMc146818, SystemPortB, Kbc8042, Ps2Keyboard, Ps2Mouse, Port92,
         Uart16550, Dma8237, DmaChannel, Fdc82077, FloppyDrive, I440fx, PciFunction, Piix3, IsaIrq, Piix4Pm, Vga, FwCfg,
         Item, DebugPorts, Ring, IdeChannel, IdeDrive, Piix3Ide, VirtioBlk, Apic, LocalApic, Redirection, Lvt, Vectors, Hpet, Comparator, Route]
FILES = [c for c in CHIPS if c.__module__ != "board"]


@pytest.fixture(params=CHIPS, ids=lambda c: c.__name__)
def chip(request):
    c = request.param("chip")
    Backplane(FakeClock(), c).power_on()
    return c


def scribble(chip, seed):
    r = random.Random(seed)
    for c in chip.family():
        for e in c.layout.values():
            if e.kind == "buffer": getattr(c, e.name)[:] = r.randbytes(e.n)
            elif not e.part: setattr(c, e.name, r.getrandbits(e.bits))


def test_save_scribble_load(chip):
    scribble(chip, 1)
    saved = chip.home.snapshot()
    scribble(chip, 2)
    assert chip.home.diff(saved, chip.home.array)
    assert chip.home.restore(saved) == []
    assert chip.home.array.tobytes() == saved.tobytes() and not chip.home.diff(saved, chip.home.array)


def test_reset_twice_is_reset_once(chip):
    scribble(chip, 3)
    chip.reset()
    once = chip.home.snapshot()
    chip.reset()
    assert chip.home.array.tobytes() == once.tobytes()


def test_reset_keeps_what_has_a_battery(chip):
    scribble(chip, 4)
    before = chip.home.snapshot()
    chip.reset()
    changed = {n.split("[")[0].split(".")[-1] for n, _, _ in chip.home.diff(before, chip.home.array)}
    kept = {e.name for c in chip.family() for e in c.layout.values() if isinstance(e.reset if not e.part else 0, keep)}
    assert changed & kept <= {"b"}                       # RESET clears the enables in the RTC's register B


def test_everything_is_documented(chip):
    for c in chip.family():
        for e in c.layout.values(): assert e.doc and len(e.doc) > 3, e.name
        for where, (_f, doc) in c.ports.items(): assert doc, where
    assert all(n in type(chip).register_table() for n, e in chip.layout.items() if not e.part)
    assert len(chip.port_table().splitlines()) == 2 + len(chip.ports)


@pytest.mark.parametrize("cls", FILES, ids=lambda c: c.__name__)
def test_the_file_says_where_it_comes_from_and_what_it_leaves_out(cls):
    assert "Not emulated:" in cls.document()
    assert cls is Clock or any(w in cls.document() for w in ("Data sheet", "Technical Reference"))


def test_looking_changes_nothing(chip):
    scribble(chip, 5)
    before, now = chip.home.array.tobytes(), chip.home.clock.now
    assert chip.name in chip.card() and chip.title() in chip._repr_html_()
    for c in chip.family():
        for n in dir(type(c)):
            if n in c.layout or type(getattr(type(c), n)).__name__ == "Bits": getattr(c, n)
    assert chip.home.array.tobytes() == before and chip.home.clock.now == now


def test_a_value_that_does_not_fit_is_refused(chip):
    for c in chip.family():
        for e in c.layout.values():
            if e.kind in ("field", "line"):
                with pytest.raises(ValueError, match=e.name): setattr(c, e.name, 1 << e.bits)


def test_a_snapshot_of_another_version_loads_what_matches_and_says_what_did_not():
    class New(Chip):
        """new"""
        a = field(8, "stays"); c = field(8, "came later", reset=7); k = field(8, "stays, elsewhere")
    class Old(Chip):
        """old"""
        k = field(8, "stays, elsewhere"); gone = field(8, "was dropped"); a = field(8, "stays")
    old, new = Old("x"), New("x")
    s = Backplane(FakeClock(), old).power_on()
    old.k, old.gone, old.a = 1, 2, 3
    Backplane(FakeClock(), new).power_on()
    assert new.home.restore(s.snapshot()) == ["x.c", "x.gone"]
    assert (new.a, new.c, new.k) == (3, 7, 1)


def test_a_saved_file_keeps_the_names(tmp_path):
    b = at_pc()
    np.save(tmp_path / "board.npy", b.snapshot())
    s = np.load(tmp_path / "board.npy", max_header_size=1 << 20)
    assert at_pc().restore(s) == [] and s["pit"]["counter"]["n"].shape == (1, 3)


def test_a_resumed_board_continues_bit_for_bit():
    a, b = at_pc(), at_pc()
    for port, v in ((0x43, 0x34), (0x40, 0x34), (0x40, 0x12), (0x70, 11), (0x71, 0x42)): a.write(port, v)
    a.advance(123_457)
    assert b.restore(a.snapshot()) == []
    a.advance(10_000_000); b.advance(10_000_000)
    assert a.diff(a.array, b.array) == []


def test_trace_names_what_changed_and_when():
    b = at_pc(clock=FakeClock(1_193_182))
    b.trace()
    b.write(0x43, 0x10); b.write(0x40, 5); b.advance(10)     # mode 0, 5: OUT rises 6 CLK after the write
    f = b.frame()
    rise = f[(f["where"] == "pit.counter[0].OUT") & (f.new == 1)]
    assert list(rise.instruction) == [6] and list(rise.kind) == ["line"]
    assert list(f[f.kind == "write"]["where"]) == ["port 43h", "port 40h"]
    assert list(b.ring.dtype.names[:2]) == ["instruction", "time"]


def test_trace_of_some_names():
    b = at_pc(clock=FakeClock())
    b.trace(only=["pic1.imr"])
    b.write(0x21, 1); b.chips["pic1"].init = 0; b.write(0x21, 5)
    assert list(b.frame().query("kind == 'field'")["where"]) == ["pic1.imr"]
    with pytest.raises(ValueError, match="pic9"): b.trace(only=["pic9.imr"])

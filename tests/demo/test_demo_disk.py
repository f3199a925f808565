"""The demonstration disk on a machine that is not ours.  Oracle: QEMU with SeaBIOS, read through its monitor."""
import re
import time

import pytest

from bench.qemu import Qemu
from pyv86_nb import demo
from pyv86_nb.demo.assemble import assemble


def test_the_shape_of_a_floppy():
    disk = demo.disk()
    assert len(disk) == 1_474_560 and disk[:512] == demo.boot_sector() and disk[510:512] == b"\x55\xaa"
    assert disk.startswith(demo.program()) and demo.program().origin == 0x7C00


def test_the_boot_sector_reads_the_whole_program():
    constants = dict(re.findall(r"^\.equ (\w+), (\w+)", demo.source(), re.M))
    assert len(demo.program()) <= 512 * (1 + int(constants["SECTORS"]))


def test_the_font_has_every_printable_sign():
    font = demo.font()
    assert set(range(32, 127)) <= set(font) and all(len(g) == 16 for g in font.values())
    assert not any(font[32]) and all(any(font[c]) for c in range(33, 127))
    assert len({font[c] for c in range(33, 127)}) == 94                    # no two signs look alike


def test_gnu_as_makes_the_same_program(command, tmp_path):
    from test_assemble import gnu_as
    theirs = gnu_as(command, tmp_path, demo.source(), 0x7C00)
    rep = [(b"\x66\xf3\xab", b"\xf3\x66\xab")]                             # prefixes in either order
    for a, b in rep: theirs = theirs.replace(a, b)
    assert bytes(assemble(demo.source(), 0x7C00)).replace(*rep[0]) == theirs


@pytest.mark.qemu
def test_it_boots_types_and_counts(command, tmp_path):
    (tmp_path / "demo.img").write_bytes(demo.disk())
    command("qemu-system-i386")
    with Qemu("-drive", f"file={tmp_path / 'demo.img'},if=floppy,format=raw") as qemu:
        qemu.wait("Type something")

        def ticks(): return int(re.search(r"Timer ticks +(\d+)|$", "\n".join(qemu.screen()))[1] or 0)
        end = time.monotonic() + 60
        while not ticks() and time.monotonic() < end: time.sleep(0.05)     # it is drawn; with the first tick the keyboard is set up too
        qemu.keys("shift-h", "e", "y", "x", "backspace", "comma", "spc", "shift-1", "ret", "shift-a", "z")
        qemu.wait("Az")
        rows = qemu.screen()
        assert rows[13][4:].startswith("Hey, ! ") and "9Eh" not in rows[14] and rows[14][4:7] == "Az "
        rates = []
        while len(rates) < 20 and not (rates and 80 < rates[-1] < 120):    # a busy host takes QEMU's time away, now and then
            start, first = time.monotonic(), ticks()
            time.sleep(1)
            rates.append((ticks() - first) / (time.monotonic() - start))
        assert 80 < rates[-1] < 120, f"{rates} ticks a second where 100 were programmed"
        assert re.search(r"CMOS clock +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", "\n".join(qemu.screen()))


@pytest.mark.qemu
def test_it_needs_no_firmware(command, tmp_path):
    """A ROM that only jumps to 0000:7C00: the VGA, the 8042 and both 8259A are as power-on left them."""
    command("qemu-system-i386")
    (tmp_path / "rom").write_bytes(assemble(".org 0xFFF0; ljmp 0, 0x7C00; .org 0x10000", 0xF0000))
    (tmp_path / "program").write_bytes(demo.program())
    # Without a local APIC, which QEMU starts with the 8259A cut off and which firmware is to open.
    with Qemu("-cpu", "qemu32,-apic", "-bios", str(tmp_path / "rom"), "-device", f"loader,file={tmp_path / 'program'},addr=0x7c00,force-raw=on") as qemu:
        qemu.wait("Type something")
        qemu.keys("o", "k")
        qemu.wait("ok")
        assert re.search(r"Timer ticks +[1-9]", "\n".join(qemu.screen()))
        before = qemu.screenshot(tmp_path / "picture.ppm")
    lit = {tuple(dot) for row in before for dot in row}
    assert before.shape == (400, 720, 3) and len(lit) >= 10            # the mode and the colours that the program sets


def test_the_source_is_in_the_package():
    assert (demo.HERE / "boot.s").exists() and (demo.HERE / "font.txt").exists()

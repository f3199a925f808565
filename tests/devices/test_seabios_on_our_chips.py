"""SeaBIOS and its VGA BIOS go through their power-on test on our chips, with Unicorn as the processor: PCI, PAM, fw_cfg, PM timer, VGA, text."""
import pathlib

import pytest

from pyv86_nb import screen

pytest.importorskip("unicorn")
if not pathlib.Path("/usr/share/seabios/vgabios-stdvga.bin").exists(): pytest.skip("seabios is not installed", allow_module_level=True)
from unicorn_pc import UnicornPc


@pytest.fixture(scope="module")
def pc():
    p = UnicornPc()
    p.run(lambda p: any("No bootable device" in row for row in screen.text(p.vga)))
    return p


def test_it_knows_the_machine_and_finds_the_functions(pc):
    assert "Running on QEMU (i440fx)" in pc.log and "Found QEMU fw_cfg" in pc.log
    for where in ("00:00.0 id=8086:1237", "00:01.0 id=8086:7000", "00:01.3 id=8086:7113", "00:02.0 id=1234:1111"): assert where in pc.log
    assert f"qemu/e820: addr 0x0000000000000000 len 0x{(32 << 20) - 4096:016x} [RAM]" in pc.log


def test_it_places_what_it_found(pc):
    m = pc.board.memory_map
    assert m.vga_function.bar(0) == 0xFD000000 and 0xFD000000 in m.mapped
    assert "Using pmtimer, ioport 0xb008" in pc.log and pc.board.read(0xB008, 4) > 0


def test_the_bios_is_in_ram_and_write_protected(pc):
    assert {(r, w) for at, _, r, w in pc.host.pam() if at == 0xF0000} == {(1, 0)}
    assert pc.memory.read(0xFFFFFFF0, 1) == b"\xea" == pc.memory.read(0xFFFF0, 1)


def test_the_vga_bios_finds_its_hardware_and_sets_text_mode(pc):
    assert "Start SeaVGABIOS" in pc.log and "VBE DISPI: lfb_addr=fd000000, size 16 MB" in pc.log and "Turning on vga text mode console" in pc.log
    assert str(screen.mode(pc.vga)) == "text 80x25" and pc.memory_writes > 10_000
    assert screen.palette16(pc.vga)[7].tolist() == [170, 170, 170] and screen.palette16(pc.vga)[14].tolist() == [255, 255, 85]
    assert screen.font(pc.vga)[ord("A")].any()


def test_the_screen_says_so(pc):
    t = screen.text(pc.vga)
    assert t[0].startswith("SeaBIOS (version ") and any(r.startswith("Booting from Floppy...") for r in t)
    c = screen.cursor(pc.vga)
    assert c.enabled and c.column == 0 and t[c.row - 2].startswith("No bootable device") or c.row > 2
    image = screen.image(pc.vga)
    assert image.shape == (400, 720, 3) and {0, 170} <= set(image.ravel().tolist())


def call_int10(pc, ax, bx=0):
    """Run `int 10h` in real mode, then a loop; answers AX."""
    from unicorn import x86_const as X
    code = b"\xCD\x10\xEB\xFE"
    pc.uc.mem_write(0x7C00, code)
    pc.uc.reg_write(X.UC_X86_REG_AX, ax)
    pc.uc.reg_write(X.UC_X86_REG_BX, bx)
    pc.uc.reg_write(X.UC_X86_REG_CS, 0)
    pc.uc.reg_write(X.UC_X86_REG_SP, 0x7000)
    pc.eip = 0x7C00
    assert pc.run(lambda p: p.eip == 0x7C00 + len(code) - 2 and p.uc.reg_read(X.UC_X86_REG_CS) == 0)
    return pc.uc.reg_read(X.UC_X86_REG_AX)


@pytest.mark.parametrize("mode, text", [(0x13, "graphics 320x200"), (0x12, "graphics 640x480"), (0x04, "graphics 320x200"), (0x06, "graphics 640x200"),
                                        (0x0D, "graphics 320x200"), (0x10, "graphics 640x350"), (0x01, "text 40x25"), (0x03, "text 80x25")])
def test_bios_modes(pc, mode, text):
    call_int10(pc, mode)
    assert str(screen.mode(pc.vga)) == text
    m = screen.mode(pc.vga)
    assert screen.image(pc.vga).shape == (m.height, m.width, 3)


def test_fifty_lines(pc):
    call_int10(pc, 3); call_int10(pc, 0x1112)
    assert str(screen.mode(pc.vga)) == "text 80x50" and screen.font(pc.vga).shape[1] == 8


@pytest.mark.parametrize("mode, text, colours", [(0x4101, "graphics 640x480", 256), (0x4118, "graphics 1024x768", 1 << 24), (0x4111, "graphics 640x480", 1 << 16),
                                                 (0x0102, "graphics 800x600", 16)])
def test_vesa_modes(pc, mode, text, colours):
    assert call_int10(pc, 0x4F02, mode) == 0x004F
    m = screen.mode(pc.vga)
    assert str(m) == text and m.colours == colours and screen.image(pc.vga).shape == (m.height, m.width, 3)
    if pc.vga.linear():
        pc.uc.mem_write(0xFD000000, b"\xff" * 8)                           # the framebuffer, where its base address register says
        assert (screen.image(pc.vga)[0, 0] == (screen.dac_palette(pc.vga)[255] if colours == 256 else 255)).all()
    call_int10(pc, 3); assert str(screen.mode(pc.vga)) == "text 80x25"

"""VGA registers, display memory and retrace timing against the IBM PS/2 Hardware Interface Technical Reference (Video Subsystem, 1992), and the
VBE registers against the Bochs VBE Display API."""
import numpy as np
import pytest
from vga_modes import MODES, set_mode

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.vga import Vga
from pyv86_nb.screen import image


def vga_board(clock=None):
    b = Backplane(clock or FakeClock())
    v = Vga("vga")
    b.at(0x3C0, v); b.at(0x3D0, v, "color"); b.at(0x3B0, v, "mono"); b.at(0x1CE, v, "vbe")
    return b.power_on(), v


@pytest.fixture
def vga():
    b, v = vga_board()
    set_mode(b, "12h")
    return v


def put(v, port, index, value): v.home.write(port, index); v.home.write(port + 1, value)
def get(v, port, index): v.home.write(port, index); return v.home.read(port + 1)
def gr(v, *values):
    for i, value in enumerate(values): put(v, 0x3CE, i, value)
def poke(v, a, value, size=1): v.window_write(a - 0xA0000, size, value, 0)
def peek(v, a, size=1): return v.window_read(a - 0xA0000, size, 0)
def plane(v, p, a=0): return v.planes[p << 16 | a]


# REGISTERS

def test_registers_keep_the_bits_that_exist(vga):
    for port, index, bits in ((0x3C4, 1, 0x3D), (0x3C4, 2, 0x0F), (0x3C4, 3, 0x3F), (0x3C4, 4, 0x0E), (0x3CE, 0, 0x0F), (0x3CE, 3, 0x1F),
                              (0x3CE, 4, 0x03), (0x3CE, 5, 0x7B), (0x3CE, 6, 0x0F), (0x3CE, 8, 0xFF), (0x3C4, 7, 0), (0x3CE, 9, 0)):
        put(vga, port, index, 0xFF)
        assert get(vga, port, index) == bits, (hex(port), index)


def test_the_attribute_controller_has_one_port_and_a_flip_flop(vga):
    b = vga.home
    b.read(0x3DA); b.write(0x3C0, 0x03); b.write(0x3C0, 0x2A)
    assert vga.attr[3] == 0x2A and b.read(0x3C1) == 0x2A
    b.write(0x3C0, 0x05); b.read(0x3DA); b.write(0x3C0, 0x23)                        # the read made the next write an address
    assert b.read(0x3C0) == 0x23
    b.write(0x3C0, 0x11); assert vga.attr[3] == 0x2A                                 # bit 5 set: the palette belongs to the screen
    b.write(0x3C0, 0x31); b.write(0x3C0, 0x77); assert vga.attr[0x11] == 0x77        # the other registers do not
    b.write(0x3C0, 0x1F); assert b.read(0x3C1) == 0


def test_the_dac_takes_three_bytes_and_moves_on(vga):
    b = vga.home
    b.write(0x3C8, 0xFF)
    for v in (1, 2, 0xFF, 4, 5): b.write(0x3C9, v)
    assert b.read(0x3C7) == 0 and b.read(0x3C8) == 0
    b.write(0x3C7, 0xFF); assert b.read(0x3C7) == 3
    assert [b.read(0x3C9) for _ in range(3)] == [1, 2, 0x3F]                         # six bits
    assert tuple(vga.dac[:3]) == (0, 0, 0)                                           # entry 0 waits for its blue


def test_cr11_protects_cr0_to_cr7_but_not_line_compare(vga):                         # CR11 bit 7
    before = bytes(vga.crtc[:8])
    put(vga, 0x3D4, 0x11, 0x80)
    for i in range(8): put(vga, 0x3D4, i, before[i] ^ 0xFF)
    assert bytes(vga.crtc[:7]) == before[:7] and vga.crtc[7] == before[7] ^ 0x10
    put(vga, 0x3D4, 0x11, 0); put(vga, 0x3D4, 0, 0x12); assert vga.crtc[0] == 0x12


def test_misc_bit_0_moves_the_crt_controller(vga):
    b = vga.home
    assert b.read(0x3CC) == 0xE3 and b.read(0x3B4) == 0xFF
    b.write(0x3C2, 0xE2)
    assert b.read(0x3D5) == 0xFF and get(vga, 0x3B4, 1) == 0x4F
    b.write(0x3D4, 0x11); assert b.read(0x3B4) == 1
    b.write(0x3BA, 3); assert b.read(0x3CA) == 3


def test_registers_have_the_names_of_the_manual(vga):
    put(vga, 0x3D4, 0x0C, 0x12); assert vga.CR0C == 0x12 and vga.GR6 == 5 and vga.SR4 == 6 and vga.AR10 == 1
    vga.CR0E = 7; assert get(vga, 0x3D4, 0x0E) == 7
    with pytest.raises(ValueError, match="8 bits"): vga.GR8 = 256
    assert "CR13" in vga.card() and "line compare" in vga.card()


# DISPLAY MEMORY

def test_write_mode_0_rotates_sets_masks_and_combines(vga):
    poke(vga, 0xA0000, 0xA5)
    assert [plane(vga, p) for p in range(4)] == [0xA5] * 4
    put(vga, 0x3C4, 2, 0b0101); gr(vga, 0, 0, 0, 3); poke(vga, 0xA0001, 0b00001001)      # rotate right by 3
    assert [plane(vga, p, 1) for p in range(4)] == [0b00100001, 0, 0b00100001, 0]
    put(vga, 0x3C4, 2, 15); gr(vga, 0b0011, 0b0110, 0, 0); poke(vga, 0xA0002, 0x3C)      # SET/RESET where enabled
    assert [plane(vga, p, 2) for p in range(4)] == [0x3C, 0xFF, 0x00, 0x3C]
    gr(vga, 0, 0, 0, 0x18)                                                               # XOR with the latches
    peek(vga, 0xA0002); poke(vga, 0xA0002, 0x0F)
    assert [plane(vga, p, 2) for p in range(4)] == [0x33, 0xF0, 0x0F, 0x33]
    gr(vga, 0, 0, 0, 0, 0, 0, 5, 15, 0xF0); peek(vga, 0xA0002); poke(vga, 0xA0003, 0x55)  # BIT MASK: the rest from the latches
    assert [plane(vga, p, 3) for p in range(4)] == [0x53, 0x50, 0x5F, 0x53]


def test_write_mode_1_copies_the_latches(vga):
    for p, v in enumerate((1, 2, 3, 4)): vga.planes[p << 16 | 5] = v
    put(vga, 0x3CE, 5, 1); peek(vga, 0xA0005); poke(vga, 0xA0009, 0xFF)
    assert [plane(vga, p, 9) for p in range(4)] == [1, 2, 3, 4]


def test_write_mode_2_spreads_bits_over_planes(vga):
    put(vga, 0x3CE, 5, 2); put(vga, 0x3CE, 8, 0x81); poke(vga, 0xA0000, 0b1010)
    assert [plane(vga, p) for p in range(4)] == [0, 0x81, 0, 0x81]


def test_write_mode_3_uses_the_byte_as_a_mask_of_set_reset(vga):
    gr(vga, 0b0101, 0, 0, 1, 0, 3, 5, 15, 0x0F); poke(vga, 0xA0000, 0b00010110)          # rotated by 1: 0000 1011
    assert [plane(vga, p) for p in range(4)] == [0x0B, 0, 0x0B, 0]


def test_read_modes(vga):
    for p, v in enumerate((0x0F, 0x33, 0x55, 0x00)): vga.planes[p << 16] = v
    put(vga, 0x3CE, 4, 2); assert peek(vga, 0xA0000) == 0x55
    put(vga, 0x3CE, 5, 8); put(vga, 0x3CE, 2, 0b0110); put(vga, 0x3CE, 7, 0b1111)
    assert peek(vga, 0xA0000) == 0x33 & 0x55 & ~0x0F                                     # 1 where all planes equal the colour
    put(vga, 0x3CE, 7, 0b0010); assert peek(vga, 0xA0000) == 0x33
    put(vga, 0x3CE, 7, 0); assert peek(vga, 0xA0000) == 0xFF


def test_odd_even_is_how_text_is_laid():
    b, v = vga_board()
    set_mode(b, "text")
    poke(v, 0xB8000, 0x1F41, 2); poke(v, 0xB8002, 0x2E422D43, 4)
    assert [plane(v, 0, i) for i in (0, 2, 4)] == [0x41, 0x43, 0x42] and [plane(v, 1, i) for i in (0, 2, 4)] == [0x1F, 0x2D, 0x2E]
    assert peek(v, 0xB8000, 4) == 0x2D431F41 and peek(v, 0xB8003) == 0x2D


def test_chain_4_puts_neighbours_into_planes():
    b, v = vga_board()
    set_mode(b, "13h")
    poke(v, 0xA0004, 0x44332211, 4)
    assert [plane(v, p, 4) for p in range(4)] == [0x11, 0x22, 0x33, 0x44] and peek(v, 0xA0004, 4) == 0x44332211


@pytest.mark.parametrize("select, inside, outside", [(0, 0xBFFFF, None), (1, 0xAFFFF, 0xB0000), (2, 0xB7FFF, 0xB8000), (3, 0xBFFFF, 0xB7FFF)])
def test_the_window_is_where_gr6_says(vga, select, inside, outside):
    put(vga, 0x3CE, 6, select << 2 | 1)
    poke(vga, inside, 0x5A); assert peek(vga, inside) == 0x5A
    if outside:
        poke(vga, outside, 0x5A); assert peek(vga, outside) == 0xFF
    vga.home.write(0x3C2, 0xE1); assert peek(vga, inside) == 0xFF                        # display memory switched off


# TIME

def trace(v, hz_step, n):
    """Status bits at n moments, hz_step instructions apart."""
    out = []
    for _ in range(n):
        out.append(v.home.read(0x3DA) & 9)
        v.home.advance(hz_step)
    return np.array(out)


@pytest.mark.parametrize("mode, hz, lines, shown, frames", [("text", 28_322_000 / 9 / 100, 449, 400, 70.09), ("13h", 25_175_000 / 8 / 100, 449, 400, 70.09),
                                                            ("12h", 25_175_000 / 8 / 100, 525, 480, 59.94)])
def test_retrace_follows_the_crt_controller(mode, hz, lines, shown, frames):           # 31.47 kHz, 70 or 60 Hz
    assert hz / (lines * 1.0) == pytest.approx(frames, rel=1e-3)
    b, v = vga_board(FakeClock(1_000_000))                                                 # one instruction is 1 us
    set_mode(b, mode)
    s = trace(v, 1, 100_000)
    rises = np.flatnonzero((s[1:] & 8 != 0) & (s[:-1] & 8 == 0))
    assert len(rises) in (int(frames / 10), int(frames / 10) + 1)
    assert np.diff(rises).mean() == pytest.approx(1e6 / frames, rel=2e-3)
    assert (s & 8 != 0).mean() == pytest.approx(2 / lines, rel=.05)                         # the retrace pulse is two lines
    assert (s & 1 == 0).mean() == pytest.approx(shown / lines * .8, rel=.01)                # 80 of 100 characters of the shown lines
    assert not (s == 8).any()                                                               # never displaying in vertical retrace


def test_a_frame_without_timing_does_not_divide_by_zero():
    b, v = vga_board()
    b.write(0x3C2, 1)
    assert b.read(0x3DA) & 0xF6 == 0


# VBE

def vbe(v, index, value=None):
    v.home.write(0x1CE, index, 2)
    if value is None: return v.home.read(0x1CF, 2)
    v.home.write(0x1CF, value, 2)


def test_vbe_identity_and_capabilities(vga):
    assert vbe(vga, 0) == 0xB0C5 and vbe(vga, 0xA) == 256                                   # 16 MiB
    vbe(vga, 0, 0xB0C0); assert vbe(vga, 0) == 0xB0C0
    vbe(vga, 4, 2); assert [vbe(vga, i) for i in (1, 2, 3)] == [2560, 1600, 32]
    vbe(vga, 4, 0); assert [vbe(vga, i) for i in (1, 2, 3)] == [0, 0, 0]


def test_a_vbe_mode(vga):
    vga.framebuffer = np.full(vga.vram_bytes, 7, np.uint8)
    for i, v in ((4, 0), (1, 1024), (2, 768), (3, 32), (4, 0x41)): vbe(vga, i, v)
    assert vga.linear() and vga.pitch() == 4096 and vga.REMAP and not vga.framebuffer[:4096 * 768].any() and vga.framebuffer[4096 * 768] == 7
    assert vbe(vga, 6) == 1024 and vbe(vga, 7) == 4096
    vbe(vga, 6, 2048); vbe(vga, 9, 100); assert vga.pitch() == 8192 and vbe(vga, 9) == 100
    vbe(vga, 8, 5000); assert vbe(vga, 8) == 1024                                           # no further than the virtual picture
    vga.REMAP = 0; vbe(vga, 5, 3); assert vga.REMAP and vga.bank == 3
    vbe(vga, 4, 0); assert not vga.linear() and vga.bank == 0


def test_a_vbe_mode_that_does_not_fit_is_made_to(vga):
    for i, v in ((1, 2561), (2, 5000), (3, 32), (4, 0x41)): vbe(vga, i, v)
    assert vga.xres == 2560 and vga.yres * vga.pitch() <= vga.vram_bytes
    vbe(vga, 3, 7); assert vga.bpp == 8


@pytest.mark.parametrize("bpp", [0, 4, 8, 15, 16, 24, 32, 0xFFFF])
def test_any_numbers_make_a_picture(vga, bpp):
    """"Horizontal display enable end" has 8 bits of 8 dots, "vertical display enable end" 10, "offset" 8 of 16 dots (4 bpp); the video memory 16 MiB."""
    for x in (0, 7, 8, 643, 2048, 2056, 2560, 4096, 0xFFFF):
        for virtual in (0, 100, 4096, 0xFFFF):
            for i, v in ((4, 0), (1, x), (2, x), (3, bpp), (4, 0x41), (6, virtual), (8, 0xFFFF), (9, 0xFFFF)): vbe(vga, i, v)
            shown = image(vga)
            assert shown.shape[:2] == (vga.yres, vga.xres)
            assert (vga.y_offset + vga.yres) * vga.pitch() <= (0x10000 if vga.bpp == 4 else vga.vram_bytes) == vga.vram_bytes // (256 if vga.bpp == 4 else 1)
            assert vbe(vga, 7) == min((0x10000 if vga.bpp == 4 else vga.vram_bytes) // vga.pitch(), 0xFFFF)
            if vga.bpp == 4: assert vga.crtc[1] == vga.xres // 8 - 1 and vga.crtc[0x13] == vga.virt_width // 16


def test_every_mode_of_the_tables_has_all_registers():
    assert all([len(p.split()) for p in parts] == [1, 4, 25, 9, 21] for parts in MODES.values())

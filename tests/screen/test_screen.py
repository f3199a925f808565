"""The screen against the IBM PS/2 Hardware Interface Technical Reference (Video Subsystem): text of any geometry, fonts, cursor, colours, modes.
Pictures of graphics modes are compared with QEMU's in tests/devices/test_against_qemu.py; Pillow is the oracle of the PNG."""
import io
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "devices"))
from test_vga import put, vbe, vga_board
from vga_modes import set_mode

from pyv86_nb import screen

A = np.array([[0, 0, 0, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0, 1, 1]], np.uint8)


@pytest.fixture
def vga():
    b, v = vga_board()
    set_mode(b, "text")
    for i in range(16): v.dac[3 * v.attr[i]:3 * v.attr[i] + 3] = bytes((i, 2 * i, 4 * i - (i > 0)))
    return v


def write(v, row, column, s, attribute=7, columns=80):
    for i, c in enumerate(s.encode("cp437")):
        v.window_write(0x18000 + 2 * (row * columns + column + i), 2, c | attribute << 8, 0)


def glyph(v, n, rows, font=0):
    """Put a glyph into plane 2, as a font loader would."""
    for y, row in enumerate(rows): v.planes[2 << 16 | font | n * 32 | y] = int("".join(map(str, row)), 2)


def test_text_is_what_is_in_the_planes(vga):
    write(vga, 0, 0, "C:\\>dir"); write(vga, 24, 74, "║░é±ß", 0x1F)
    t = screen.text(vga)
    assert len(t) == 25 and all(len(r) == 80 for r in t)
    assert t[0].replace("\0", " ").startswith("C:\\>dir ") and t[24].endswith("║░é±ß ")
    assert screen.text_cells(vga)[24, 74] == 0x1F << 8 | 0xBA and screen.text_cells(vga).dtype == np.uint16


def test_a_glance_is_what_a_look_shows_and_the_same_array_until_something_changes(vga):
    glance, rng = screen.Glance(vga), np.random.default_rng(1)
    for turn in range(200):
        what = int(rng.integers(6))
        if what == 0: put(vga, 0x3D4, int(rng.choice([1, 9, 0x0C, 0x0D, 0x12, 0x13, 0x14, 0x17])), int(rng.integers(256)))
        elif what == 1: set_mode(vga.home, str(rng.choice(["text", "text40"])))
        elif what == 2: vga.planes[int(rng.integers(2 << 16))] = int(rng.integers(256))
        elif what == 3: vga.gr[6] ^= 1                                     # graphics, or text again
        elif what == 4: write(vga, int(rng.integers(25)), 7, "a line")
        shown = glance()
        assert np.array_equal(shown, screen.text_cells(vga)) and glance() is shown and not shown.flags.writeable, turn
    write(vga, 1, 1, "x"); set_mode(vga.home, "text")
    before = glance()
    vga.window_write(0x18000, 1, int(before[0, 0] & 255) ^ 1, 0)
    assert glance() is not before


def test_the_low_characters_have_their_pictures(vga):
    for i, n in enumerate((0, 1, 7, 13, 27, 127, 255)): vga.window_write(0x18000 + 2 * i, 1, n, 0)
    assert screen.text(vga)[0][:7] == " ☺•♪←⌂ "


def test_unprogrammed_is_blank():
    _, v = vga_board()
    assert str(screen.mode(v)) == "blank" and screen.text(v) == [] and screen.image(v).shape == (400, 720, 3)
    assert screen.text_cells(v).shape == (0, 0)


def test_geometry_follows_the_crt_controller(vga):
    assert str(screen.mode(vga)) == "text 80x25" and screen.image(vga).shape == (400, 720, 3)
    put(vga, 0x3D4, 9, 0x47)                                               # 8 lines a cell
    assert str(screen.mode(vga)) == "text 80x50" and len(screen.text(vga)) == 50
    set_mode(vga.home, "text40")
    assert str(screen.mode(vga)) == "text 40x25" and screen.image(vga).shape == (400, 720, 3)
    write(vga, 24, 38, "ok", columns=40)
    assert screen.text(vga)[24].endswith("ok") and len(screen.text(vga)[0]) == 40
    put(vga, 0x3C4, 1, 9); assert screen.image(vga).shape == (400, 640, 3)
    for name, text in (("13h", "graphics 320x200"), ("12h", "graphics 640x480"), ("04h", "graphics 320x200"), ("06h", "graphics 640x200"),
                       ("X", "graphics 320x240")):
        set_mode(vga.home, name)
        assert str(screen.mode(vga)) == text and screen.text(vga) == []
        m = screen.mode(vga)
        assert screen.image(vga).shape == (m.height, m.width, 3)
    assert [set_mode(vga.home, n) or screen.mode(vga).colours for n in ("12h", "13h", "04h", "06h")] == [16, 256, 4, 2]


def test_start_address_scrolls_and_offset_widens(vga):
    for r in range(30): write(vga, r, 0, f"row {r}")
    put(vga, 0x3D4, 13, 80 * 3)
    assert screen.text(vga)[0].startswith("row 3") and screen.text(vga)[24].startswith("row 27")
    put(vga, 0x3D4, 13, 0); put(vga, 0x3D4, 0x13, 80)                      # 160 cells from row to row
    assert [r[:6].rstrip() for r in screen.text(vga)[:3]] == ["row 0", "row 2", "row 4"]


def test_line_compare_splits_the_screen(vga):
    for r in range(30): write(vga, r, 0, f"row {r}")
    put(vga, 0x3D4, 13, 80 * 2); put(vga, 0x3D4, 0x18, 319 & 255); put(vga, 0x3D4, 7, 0x1F); put(vga, 0x3D4, 9, 0x0F)
    t = screen.text(vga)
    assert t[19].startswith("row 21") and t[20].startswith("row 0")


def test_nine_dots(vga):                                                   # "line graphics enable": C0h-DFh repeat the eighth dot
    for n in (0x41, 0xC4): glyph(vga, n, A); write(vga, 0, 0, bytes([n]).decode("cp437"), 0x0F)
    assert screen.font(vga).shape == (256, 16, 9)
    assert (screen.font(vga)[0x41, :4, :8] == A).all() and (screen.font(vga)[0xC4, :4, 8] == A[:, 7]).all()
    assert not screen.font(vga)[0x41, :, 8].any()
    i = screen.image(vga)
    assert i[3, 8].tolist() == [60, 121, 239] and i[0, 8].tolist() == [0, 0, 0]        # colour 15 of the fixture, 6 bits to 8
    put(vga, 0x3C4, 1, 1); assert screen.font(vga).shape == (256, 16, 8)


def test_512_characters(vga):                                              # SR3: map B for bit 3 = 0, map A for 1
    glyph(vga, 0x41, A); glyph(vga, 0x41, A[::-1], font=0x4000)
    put(vga, 0x3C4, 3, 0x04)
    f = screen.font(vga)
    assert len(f) == 512 and (f[0x41, :4, :8] == A).all() and (f[256 + 0x41, :4, :8] == A[::-1]).all()
    write(vga, 0, 0, "A", 0x07); write(vga, 0, 1, "A", 0x0F)
    lit = screen.image(vga)[:4, :18].any(axis=2)
    assert (lit[:, :8] == A).all() and (lit[:, 9:17] == A[::-1]).all()


def test_the_cursor(vga):
    put(vga, 0x3D4, 14, 0); put(vga, 0x3D4, 15, 80 * 2 + 5)
    assert screen.cursor(vga) == (2, 5, 13, 14, True)
    write(vga, 2, 5, " ", 0x07)
    i = screen.image(vga)
    assert i[2 * 16 + 13:2 * 16 + 15, 45:54].any(axis=2).all() and not i[2 * 16 + 12].any() and not i[2 * 16 + 13, 54].any()
    assert not screen.image(vga, 1).any()                                  # the other half of its blinking
    put(vga, 0x3D4, 10, 0x2D); assert not screen.image(vga).any() and not screen.cursor(vga).enabled
    put(vga, 0x3D4, 10, 13); put(vga, 0x3D4, 14, 0x20); assert screen.cursor(vga)[:2] == (-1, -1)


def test_blink_or_bright_background(vga):                                  # AR10 bit 3
    glyph(vga, 0x41, A); write(vga, 0, 0, "A", 0x9C); put(vga, 0x3D4, 10, 0x20)
    p = screen.palette16(vga)
    on, off = screen.image(vga), screen.image(vga, 2)
    assert (on[2, 1] == p[12]).all() and (off[2, 1] == p[1]).all() and (on[2, 0] == p[1]).all()
    vga.attr[0x10] &= ~8
    assert (screen.image(vga, 2)[2, 0] == p[9]).all() and (screen.image(vga, 2)[2, 1] == p[12]).all()


def test_palette_goes_through_attribute_controller_and_dac(vga):
    assert screen.palette16(vga)[15].tolist() == [60, 121, 239]
    vga.attr[15] = 0x05; vga.dac[15:18] = bytes((63, 0, 32))
    assert screen.palette16(vga)[15].tolist() == [255, 0, 130]
    vga.attr[0x12] = 7; assert (screen.palette16(vga)[15] == screen.palette16(vga)[7]).all()         # colour plane enable
    vga.attr[0x12], vga.attr[0x14] = 15, 4; vga.dac[3 * 0x45:3 * 0x45 + 3] = bytes((1, 2, 3))
    assert screen.palette16(vga)[15].tolist() == [4, 8, 12]                                           # colour select
    vga.pel_mask = 0x0F; assert screen.palette16(vga)[15].tolist() == [255, 0, 130]


def test_screen_off_and_palette_loading(vga):
    write(vga, 0, 0, "A", 0x77)
    put(vga, 0x3C4, 1, 0x20); assert not screen.image(vga).any()
    put(vga, 0x3C4, 1, 0); assert screen.image(vga).any()
    vga.home.read(0x3DA); vga.home.write(0x3C0, 0); vga.attr[0x11] = 4
    assert (screen.image(vga) == screen.dac_palette(vga)[4]).all()


def test_panning_and_preset_row_scan_move_the_picture(vga):
    for n in range(26): glyph(vga, 0x41 + n, np.random.default_rng(n).integers(0, 2, (16, 8)))
    for r in range(26): write(vga, r, 0, "".join(chr(0x41 + (r + c) % 26) for c in range(80)))
    put(vga, 0x3D4, 10, 0x20)
    still = screen.image(vga)
    vga.attr[0x13] = 2                                                     # 9 dots: 8 is none, 0-7 are 1-8
    assert (screen.image(vga)[:, :-9] == still[:, 3:-6]).all()
    vga.attr[0x13] = 8
    put(vga, 0x3D4, 8, 5); assert (screen.image(vga)[:-5] == still[5:]).all()
    put(vga, 0x3D4, 8, 0x20); assert (screen.image(vga)[:, :-9] == still[:, 9:]).all()               # byte panning


@pytest.mark.parametrize("bpp", [8, 15, 16, 24, 32])
def test_vbe_pictures(vga, bpp):
    vga.framebuffer = np.zeros(vga.vram_bytes, np.uint8)
    for i, v in ((1, 640), (2, 480), (3, bpp), (4, 0x41), (6, 800), (8, 8), (9, 2)): vbe(vga, i, v)
    assert str(screen.mode(vga)) == "graphics 640x480" and vga.pitch() == 800 * (bpp + 7 >> 3)
    pixel, colour = {8: ([255], [3, 255, 0]), 15: ([0x3F, 0x7C], [255, 8, 255]), 16: ([0x3F, 0xF8], [255, 4, 255]),
                     24: ([1, 2, 3], [3, 2, 1]), 32: ([1, 2, 3, 9], [3, 2, 1])}[bpp]
    vga.dac[765:] = bytes((0, 63, 0)) if bpp != 8 else bytes((3, 255, 0))
    if bpp == 8: vbe(vga, 4, 0xE1)                                         # 8-bit DAC, memory kept
    vbe(vga, 6, 800); vbe(vga, 8, 8); vbe(vga, 9, 2)
    at = 3 * vga.pitch() + 9 * len(pixel)
    vga.framebuffer[at:at + len(pixel)] = pixel
    i = screen.image(vga)
    assert i.shape == (480, 640, 3) and i[1, 1].tolist() == colour
    assert not i[0].any() or bpp == 8


def test_indices_and_their_colours_make_the_picture(vga):
    for name in ("13h", "12h", "04h", "X"):
        set_mode(vga.home, name)
        vga.planes[:] = np.random.default_rng(1).integers(0, 256, 1 << 18, np.uint8).tobytes()
        vga.dac[:] = np.random.default_rng(2).integers(0, 64, 768, np.uint8).tobytes()
        index, colours = screen.indexed(vga)
        assert index.dtype == np.uint8 and len(colours) == (256 if name in ("13h", "X") else 16)
        assert (colours[index] == screen.image(vga)).all()
    for i, v in ((1, 64), (2, 32), (3, 32), (4, 0x41)): vbe(vga, i, v)
    assert screen.indexed(vga) is None


def test_png_is_read_by_others(vga):
    image = pytest.importorskip("PIL.Image")
    write(vga, 0, 0, "hello", 0x4E)
    assert (np.asarray(image.open(io.BytesIO(screen.png(vga)))) == screen.image(vga)).all()

"""The messages of frames.py. Oracle: the picture redrawn from the messages by a plain decoder here, compared with the machine's own."""

from __future__ import annotations

import pathlib
import sys
import types
import zlib

import numpy as np
import pytest
from fake_vm import FakeVM, test_font

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "devices"))
from test_vga import vbe, vga_board
from vga_modes import colours, set_mode

from pyv86_nb import screen
from pyv86_nb.notebook.frames import RAW_LIMIT, FrameEncoder, bands, glyphs
from pyv86_nb.screen_view import view_state


class Receiver:
    """What a page keeps; only what messages said."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.pixels: np.ndarray | None = None
        self.bytes = 0

    def take(self, message: tuple[dict, list[bytes]]) -> list[str]:
        content, buffers = message
        self.bytes = sum(map(len, buffers))
        self.content = content
        for name, data in zip(content["has"], buffers, strict=False):
            self.parts[name] = data
        if content["k"] != "text":
            depth = 3 if content["k"] == "rgb" else 1
            shape = (content["h"], content["w"] * depth)
            if self.pixels is None or self.pixels.shape != shape:
                self.pixels = np.zeros(shape, np.uint8)
            for (x, y, w, h, packed), data in zip(content["rects"], buffers[len(content["has"]) :], strict=True):
                data = zlib.decompress(data) if packed else data
                area = np.frombuffer(data, np.uint8).reshape(h, w * depth)
                self.pixels[y : y + h, x * depth : (x + w) * depth] = area
        return content["has"]

    def text_picture(self) -> np.ndarray:
        c = self.content
        cells = np.frombuffer(self.parts["cells"], np.uint16)
        palette = np.frombuffer(self.parts["palette"], np.uint8).reshape(-1, 3)
        bits = np.unpackbits(np.frombuffer(self.parts["font"], np.uint8))
        out = np.zeros((c["rows"] * c["ch"], c["cols"] * c["cw"], 3), np.uint8)
        count = len(bits) // (c["cw"] * c["ch"])
        font = bits[: count * c["cw"] * c["ch"]].reshape(count, c["ch"], c["cw"])
        for i, cell in enumerate(cells):
            attribute = int(cell) >> 8
            glyph = font[(int(cell) & 255) + (256 if count == 512 and attribute & 8 else 0)]
            paper = palette[attribute >> 4 & (7 if c["blink"] else 15)]
            y, x = i // c["cols"] * c["ch"], i % c["cols"] * c["cw"]
            out[y : y + c["ch"], x : x + c["cw"]] = np.where(glyph[..., None] > 0, palette[attribute & 15], paper)
        return out


@pytest.mark.parametrize("rows, columns, height", [(25, 80, 16), (50, 80, 8), (25, 40, 16), (43, 80, 8), (12, 80, 32)])
@pytest.mark.parametrize("width", [8, 9])
def test_text_geometries(rows: int, columns: int, height: int, width: int) -> None:
    vm = FakeVM(rows=rows, columns=columns, height=height)
    vm.cell = (width, height)
    vm.cells[:] = np.random.default_rng(1).integers(0, 65536, vm.cells.shape)
    page = Receiver()
    assert page.take(FrameEncoder().update(vm._view_state())) == ["font", "palette", "cells"]
    np.testing.assert_array_equal(page.text_picture(), vm.picture())


def test_two_fonts() -> None:
    vm = FakeVM()
    vm.font = test_font(16, 512)
    vm.cells[:] = np.random.default_rng(2).integers(0, 65536, vm.cells.shape)
    page = Receiver()
    page.take(FrameEncoder().update(vm._view_state()))
    np.testing.assert_array_equal(page.text_picture(), vm.picture())


def test_only_what_changed_is_sent() -> None:
    vm, encoder, page = FakeVM(), FrameEncoder(), Receiver()
    page.take(encoder.update(vm._view_state()))
    assert encoder.update(vm._view_state()) is None
    vm.write(3, 3, "x")
    assert page.take(encoder.update(vm._view_state())) == ["cells"]
    assert page.bytes == 4000
    vm.cursor[1] += 1
    assert page.take(encoder.update(vm._view_state())) == []
    assert page.content["cursor"][1] == vm.cursor[1]
    vm.palette[1] = 1, 2, 3
    assert page.take(encoder.update(vm._view_state())) == ["palette"]
    vm.font = vm.font.copy()
    vm.font[65] = 1
    vm.font_version += 1
    assert page.take(encoder.update(vm._view_state())) == ["font"]
    np.testing.assert_array_equal(page.text_picture(), vm.picture())
    encoder.forget()
    assert page.take(encoder.update(vm._view_state())) == ["font", "palette", "cells"]


def test_machine_may_reuse_its_arrays() -> None:
    vm, encoder = FakeVM(), FrameEncoder()
    encoder.update(vm._view_state())
    vm.cells[0, 0] ^= 1
    assert encoder.update(vm._view_state()) is not None


@pytest.mark.parametrize("kind", ["indices", "rgb"])
def test_graphics(kind: str) -> None:
    rng = np.random.default_rng(3)
    shape = (200, 320) if kind == "indices" else (200, 320, 3)
    picture = rng.integers(0, 256, shape, np.uint8)
    state = {"mode": "320x200", kind: picture, "palette": rng.integers(0, 256, (256, 3), np.uint8)}
    encoder, page = FrameEncoder(), Receiver()
    page.take(encoder.update(state))
    np.testing.assert_array_equal(page.pixels.reshape(shape), picture)
    assert encoder.update(state) is None
    for _ in range(20):  # little changes all over
        y, x = rng.integers(0, 190), rng.integers(0, 300)
        picture[y : y + 7, x : x + 11] = rng.integers(0, 256, picture[y : y + 7, x : x + 11].shape)
        picture[199, 319] ^= 1
        page.take(encoder.update(state))
        np.testing.assert_array_equal(page.pixels.reshape(shape), picture)
        assert page.bytes < RAW_LIMIT, "a small change is a small message"
    if kind == "indices":
        state["palette"] = state["palette"] ^ 255
        assert page.take(encoder.update(state)) == ["palette"]
        assert not page.content["rects"]


def shown(page: Receiver) -> np.ndarray:
    """The page's picture in colours."""
    c = page.content
    if c["k"] == "rgb":
        return page.pixels.reshape(c["h"], c["w"], 3)
    return np.frombuffer(page.parts["palette"], np.uint8).reshape(-1, 3)[page.pixels]


@pytest.mark.parametrize("depth", [8, 15, 16, 24, 32])
def test_a_large_screen_travels_by_what_has_changed(depth: int) -> None:
    """Oracle: the whole picture, which tests/boots/test_video_modes.py compares with QEMU's."""
    board, vga = vga_board()
    for port, value in colours("a palette"):
        board.write(port, value)
    width, height = 1920, 1200
    vga.framebuffer = np.random.default_rng(4).integers(0, 256, vga.vram_bytes, np.uint8)
    for index, value in ((1, width), (2, height), (3, depth), (4, 0xC1)):  # on, linear, memory as it is
        vbe(vga, index, value)
    machine = types.SimpleNamespace(vga=vga)
    encoder, page = FrameEncoder(), Receiver()
    page.take(encoder.update(view_state(machine)))
    np.testing.assert_array_equal(shown(page), screen.image(vga))
    assert encoder.update(view_state(machine)) is None and encoder.size(view_state(machine)) == (width, height)
    line, step = vga.pitch(), vga.pitch() // width
    for at in (700 * line, 701 * line - step, 0, 1199 * line + 77 * step):  # both ends of a line, and two more dots
        vga.framebuffer[at : at + step] ^= 0x5A
    state = view_state(machine)
    vga.framebuffer[5 * line] ^= 0xFF  # the machine goes on: this is of the next frame
    page.take(encoder.update(state))
    assert sorted(rect[:4] for rect in page.content["rects"]) == [[0, 0, 1, 1], [0, 700, 1, 1], [77, 1199, 1, 1], [1919, 700, 1, 1]]
    assert page.bytes == 4 * (1 if depth == 8 else 3)
    page.take(encoder.update(view_state(machine)))
    np.testing.assert_array_equal(shown(page), screen.image(vga))


@pytest.mark.parametrize("mode", ["13h", "12h", "0Dh", "04h", "06h", "X"])
def test_modes_with_a_palette_travel_as_indices(mode: str) -> None:
    board, vga = vga_board()
    set_mode(board, mode)
    for port, value in colours(mode):
        board.write(port, value)
    vga.planes[:] = np.random.default_rng(5).integers(0, 256, len(vga.planes), np.uint8).tobytes()
    machine = types.SimpleNamespace(vga=vga)
    encoder, page = FrameEncoder(), Receiver()
    page.take(encoder.update(view_state(machine)))
    np.testing.assert_array_equal(shown(page), screen.image(vga))
    for port, value in colours("others"):
        board.write(port, value)
    assert page.take(encoder.update(view_state(machine))) == ["palette"] and not page.content["rects"]
    np.testing.assert_array_equal(shown(page), screen.image(vga))
    board.write(0x3C4, 1)
    board.write(0x3C5, 0x21)  # SR1 bit 5: screen off
    page.take(encoder.update(view_state(machine)))
    assert page.content["k"] == "rgb" and not shown(page).any()


def test_mode_changes() -> None:
    vm, encoder, page = FakeVM(), FrameEncoder(), Receiver()
    page.take(encoder.update(vm._view_state()))
    vm.graphics = {"mode": "8x8", "indices": np.zeros((8, 8), np.uint8), "palette": np.zeros((256, 3), np.uint8)}
    assert page.take(encoder.update(vm._view_state())) == ["palette"]
    assert page.content["rects"] == [[0, 0, 8, 8, 0]], "a black picture too"
    vm.graphics = None
    assert page.take(encoder.update(vm._view_state())) == ["font", "palette", "cells"]
    assert encoder.size(vm._view_state()) == (720, 400)


def test_bands_join_near_rows() -> None:
    rows = np.zeros(100, bool)
    rows[[3, 10, 60, 61]] = True
    assert list(bands(rows)) == [(3, 11), (60, 62)]
    assert list(bands(np.zeros(5, bool))) == []


def test_ninth_column() -> None:
    font = np.zeros((256, 16, 8), np.uint8)
    font[0xC4, 7] = 255  # a horizontal line of box drawing joins its neighbour
    font[0xE0, 7] = 255  # a Greek letter does not
    nine = glyphs(font, 9, 16)
    assert nine[0xC4, 7].tolist() == [1] * 9
    assert nine[0xE0, 7].tolist() == [1] * 8 + [0]

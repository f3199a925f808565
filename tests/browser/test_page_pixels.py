"""What the page shows. Oracle: the pixels of the canvas in the page against the machine's own picture (fake_vm, from the VGA manual)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from fake_vm import FakeVM
from fake_vm import test_font as make_font
from jlab import wait_until

pytestmark = pytest.mark.browser

SETUP = """import json, numpy as np
from fake_vm import FakeVM, test_font
from pyv86_nb.notebook.pc_view import view, mimebundle
vm = FakeVM()
vm.cursor[4] = False
"""
INDEXED = """y, x = np.mgrid[:200, :320]
indices = ((x ^ y) & 255).astype(np.uint8)
palette = np.stack([np.arange(256), np.arange(256)[::-1], (np.arange(256) * 7) % 256], 1).astype(np.uint8)
"""
DIRECT = """y, x = np.mgrid[:600, :800]
rgb = np.stack([x & 255, y & 255, x // 4 & 255], 2).astype(np.uint8)
"""
CANVAS = ".pyv86-box canvas"
# when a dot of the cursor and one of a blinking character change, in the page's own time, looked at in each of its frames
WATCH_TWO_DOTS = f"""() => {{ const c = document.querySelector('{CANVAS}').getContext('2d'), places = [[7 * 9, 4 * 16 + 12], [9, 6 * 16]];
    const lit = () => places.map(([x, y]) => c.getImageData(x, y, 1, 1).data[0] > 0);
    let before = lit(); window.edges = [[], []];
    const look = (t) => {{ const now = lit(); now.forEach((n, i) => n !== before[i] && window.edges[i].push(t)); before = now; requestAnimationFrame(look); }};
    requestAnimationFrame(look); }}"""


def show(page: Any, canvas: Any, expected: np.ndarray, what: str = "the picture") -> None:
    """Wait until the canvas shows exactly `expected`."""

    def same() -> bool:
        pixels = page.pixels(canvas)
        return pixels.shape == expected.shape and np.array_equal(pixels, expected)

    wait_until(same, what=what)


def twin(code: str = "") -> FakeVM:
    """The machine of the kernel, built again here by the same lines."""
    vm = FakeVM()
    vm.cursor[4] = False
    exec(code, {"vm": vm, "np": np, "test_font": make_font, "FakeVM": FakeVM})
    return vm


def test_text_modes(notebook) -> None:
    changes = [
        "vm.write(5, 10, 'Hello from the guest', 0x2E)",
        "vm.cells[:] = np.random.default_rng(1).integers(0, 0x8000, vm.cells.shape)",
        "vm.palette = vm.palette[::-1].copy()",
        "vm.blink = False; vm.cells[3] |= 0x8000",
        "vm.font = test_font(16, 512); vm.font_version += 1",
        "vm.cell = (8, 16)",
        "vm.__dict__.update({**FakeVM('b', rows=50, height=8).__dict__, 'cursor': [0, 0, 6, 7, False]})",
        "vm.cells = np.random.default_rng(2).integers(0, 0x8000, (25, 40)).astype(np.uint16)",
        "vm.font = test_font(32); vm.font_version += 1; vm.cell = (9, 32); vm.cells = vm.cells[:12].copy()",
    ]
    page = notebook([SETUP + "view(vm)", *changes])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    for i, change in enumerate(changes):
        page.run(i + 1)
        show(page, canvas, twin("\n".join(changes[: i + 1])).picture(), change)
        if i in (0, 1, 7):
            page.shot(f"text{i}.png")
    assert not [line for line in page.console if line[0] in ("error", "pageerror")]


def test_graphics_modes(notebook) -> None:
    page = notebook(
        [
            SETUP + "view(vm)",
            INDEXED + "vm.graphics = dict(mode='320x200x8', indices=indices, palette=palette)",
            "vm.graphics['indices'][50:90, 100:200] = 77; vm.graphics['indices'][199, 319] = 1",
            "vm.graphics['palette'] = palette[::-1].copy()",
            DIRECT + "vm.graphics = dict(mode='800x600x24', rgb=rgb)",
            "vm.graphics['rgb'][100:300, 100:300] = (1, 2, 3)",
            "vm.graphics = None",
        ]
    )
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    here: dict[str, Any] = {"np": np}
    exec(INDEXED + DIRECT, here)
    indices, palette, rgb = here["indices"], here["palette"], here["rgb"]
    page.run(1)
    show(page, canvas, palette[indices])
    assert canvas.bounding_box()["width"] == pytest.approx(640), "320x200 is shown as 640x400"
    page.run(2)
    indices[50:90, 100:200] = 77
    indices[199, 319] = 1
    show(page, canvas, palette[indices])
    page.run(3)
    show(page, canvas, palette[::-1][indices])
    page.run(4)
    show(page, canvas, rgb)
    page.run(5)
    rgb[100:300, 100:300] = 1, 2, 3
    show(page, canvas, rgb)
    page.run(6)
    show(page, canvas, twin().picture(), "back in text mode")


def test_cursor_and_blinking(notebook) -> None:
    page = notebook(
        [
            SETUP + "vm.cursor = [4, 7, 12, 14, True]; vm.write(4, 7, 'A', 0x0E); vm.write(6, 1, '\\xdb'"
            ".encode('latin1').decode('cp437'), 0x8C); view(vm)",
            "vm.running = True",
            "vm.running = False",
        ]
    )
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    yellow, red, black = [255, 255, 85], [255, 85, 85], [0, 0, 0]
    lines = [12, 13, 14]

    def cursor() -> list:
        return page.pixels(canvas)[4 * 16 + 12, 7 * 9].tolist()

    wait_until(lambda: cursor() == yellow, what="the cursor")
    cell = page.pixels(canvas)[4 * 16 : 5 * 16, 7 * 9 : 8 * 9]
    assert [int(n) for n in np.flatnonzero((cell == yellow).all(axis=(1, 2)))] == lines
    seen = [cursor() for _ in range(15) if not time.sleep(0.05)]
    assert all(value == yellow for value in seen), "a stopped machine's cursor is lit and still"
    page.page.evaluate(WATCH_TWO_DOTS)
    page.run(1)
    wait_until(lambda: min(map(len, page.page.evaluate("window.edges"))) > 12, what="twelve times dark and lit")
    # the page may stand still now and then: the usual time between two changes is theirs, not the longest
    steps = [np.median(np.diff(times)) for times in page.page.evaluate("window.edges")]
    assert steps[0] == pytest.approx(1000 * 8 / 70.09, rel=0.4), f"the cursor changes every 8 of 70 frames: {steps} ms"
    assert steps[1] == pytest.approx(1000 * 16 / 70.09, rel=0.4), f"characters change every 16: {steps} ms"
    page.run(2)
    wait_until(lambda: cursor() == yellow and page.pixels(canvas)[6 * 16, 9].tolist() == red, what="all lit again")
    assert page.pixels(canvas)[0, 719].tolist() == black


def test_latest_frame_wins(notebook) -> None:
    page = notebook(
        [
            SETUP + "vm.running = True; w = view(vm); w",
            """for i in range(3000):
    vm.write(10, 10, f'{i:6}', 0x0F)
    w.sender._wake.set()
    if i % 50 == 0:
        import time; time.sleep(0.002)
""",
        ]
    )
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    page.run(1)
    show(page, canvas, twin("vm.write(10, 10, '  2999', 0x0F)").picture())


def test_ipycanvas_draws_on_the_same_picture(notebook) -> None:
    page = notebook(
        [SETUP + "w = view(vm); w", "w.screen.canvas.fill_style = 'red'; w.screen.canvas.fill_rect(100, 100, 20, 10)"]
    )
    page.run(0)
    canvas = page.page.locator(CANVAS)
    show(page, canvas, twin().picture())
    page.run(1)
    wait_until(lambda: page.pixels(canvas)[105, 110].tolist() == [255, 0, 0], what="ipycanvas' own drawing")


def test_without_ipycanvas_an_own_canvas(notebook) -> None:
    page = notebook(
        [SETUP + "from pyv86_nb.notebook.pc_view import PcView\nfrom pyv86_nb.notebook.screen_widget import Screen\n"
         "w = PcView(vm, Screen(canvas=None)); w", "w"]
    )  # fmt: skip
    page.run(0)
    page.run(1)
    for i in (0, 1):
        show(page, page.cell(i).locator(CANVAS), twin().picture())


def test_scale(notebook) -> None:
    page = notebook([SETUP + "w = view(vm); w", "w.screen.scale = 2"])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    room = [0.0]

    def width() -> float:
        return canvas.bounding_box()["width"]

    for label, shows in [
        ("1x", lambda w: w == pytest.approx(720)),
        ("fit", lambda w: w > 800),
        ("1x", lambda w: w == pytest.approx(720)),
        ("1.5x", lambda w: w == pytest.approx(min(1080, room[0]), abs=8)),
        ("1x", lambda w: w == pytest.approx(720)),
    ]:
        page.page.locator(".pyv86-toolbar select").last.select_option(label=label)
        wait_until(lambda shows=shows: shows(width()), what=label)
        if label == "fit":
            room[0] = width()
        page.shot(f"scale-{label}.png")
    box = canvas.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(720 / 400, rel=0.01)


def test_two_views_and_two_machines(notebook) -> None:
    page = notebook(
        [
            SETUP + "view(vm)",
            "view(vm)",
            "other = FakeVM('other'); other.cursor[4] = False\nimport ipywidgets\nipywidgets.HBox([view(vm), view(other)])",
            "vm.write(7, 0, 'first'); other.write(7, 0, 'second')",
            "print(json.dumps([[e[2:] for e in v.events if len(e) > 3] for v in (vm, other)]))",
        ],
        viewport=(1900, 1900),
    )
    for i in range(4):
        page.run(i)
    one = twin("vm.write(7, 0, 'first')").picture()
    two = FakeVM("other")
    two.cursor[4] = False
    two.write(7, 0, "second")
    side = page.cell(2).locator(CANVAS)
    for canvas in (page.cell(0).locator(CANVAS), page.cell(1).locator(CANVAS), side.nth(0)):
        show(page, canvas, one)
    show(page, side.nth(1), two.picture())
    page.cell(1).locator(CANVAS).click()
    page.page.keyboard.press("x")
    side.nth(1).click()
    page.page.keyboard.press("y")
    page.shot("two.png")

    def codes() -> list[set[str]]:
        return [{event[1] for event in one} for one in page.value(4)]

    wait_until(lambda: all(codes()), what="a key for each")
    assert codes() == [{"KeyX"}, {"KeyY"}]
    two.write(2, 0, "y", 0x0E)
    show(page, side.nth(1), two.picture(), "the echo")

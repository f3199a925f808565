"""A person before a PC: boot in a JupyterLab page, type on its keyboard, read the text off the canvas's pixels (glyphs.py)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import glyphs
import numpy as np
import pytest
from jlab import PATIENCE, ROOT, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.boot]

CANVAS = ".pyv86-box canvas"
SIDE_BY_SIDE = """from ipywidgets import HBox
from pyv86_nb import VM, demo
from pyv86_nb.notebook.pc_view import view
pcs = []
for _ in range(2):
    vm = VM(bare='real', clock='wall')
    vm.load(0x7C00, demo.program(), entry=0x7C00)
    vm.start()
    pcs.append(vm)
HBox([view(vm) for vm in pcs])"""
FIRST_COMPILE = 120  # s: a computer that has never run the engine compiles it first


def on_screen(page: Any, canvas: Any, font: dict[bytes, str]) -> str:
    return "\n".join(glyphs.read(page.pixels(canvas), font))


def wait_for(page: Any, canvas: Any, font: dict[bytes, str], text: str, timeout: float = PATIENCE) -> str:
    def there() -> str | None:
        seen = on_screen(page, canvas, font)
        return seen if text in seen else None

    try:
        return wait_until(there, timeout, f"{text!r} on the screen")
    except TimeoutError as error:
        raise AssertionError(f"{error}; it shows\n{on_screen(page, canvas, font)}") from None


def settled(picture: Callable[[], np.ndarray]) -> np.ndarray:
    """The picture, once it has been the same for a second."""
    seen = [picture()]

    def still() -> bool:
        time.sleep(0.2)
        now = picture()
        if not np.array_equal(now, seen[0]):
            seen.clear()
        seen.append(now)
        return len(seen) > 5

    wait_until(still, what="a picture that stands still")
    return seen[0]


def power_on(notebook: Any, machine: str, *cells: str) -> tuple[Any, Any]:
    page = notebook([f"import json\nfrom pyv86_nb import VM, demo\n{machine}\nvm.start()\nvm", *cells])
    page.run(0, timeout=FIRST_COMPILE)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    return page, canvas


def first_key(page: Any, canvas: Any, font: dict[bytes, str]) -> None:
    """A first start ever may still be compiling; fast typing would then overrun the keyboard's sixteen bytes, as on a real PC."""
    wait_for(page, canvas, font, "100 Hz")
    canvas.click()
    page.page.keyboard.press("a", delay=30)
    wait_for(page, canvas, font, "9Eh up")


@pytest.mark.parametrize("firmware", ["none", "seabios"])
def test_demonstration_disk(notebook, firmware: str, request: pytest.FixtureRequest) -> None:
    machine = "vm = VM(bare='real', clock='wall'); vm.load(0x7C00, demo.program(), entry=0x7C00)"
    if firmware == "seabios":
        request.getfixturevalue("seabios")
        machine = "vm = VM(fda=demo.disk(), boot='a', clock='wall')"
    page, canvas = power_on(notebook, machine, "vm.pause()")
    font = glyphs.demo_font()
    assert canvas.evaluate("c => c.width > 0")
    first_key(page, canvas, font)
    page.page.keyboard.type("hello from the browser", delay=30)
    wait_for(page, canvas, font, "hello from the browser")
    before = page.pixels(canvas)
    wait_until(lambda: not np.array_equal(before, page.pixels(canvas)), what="the clock and the tick counter go on")
    page.shot(f"demo-{firmware}.png")
    page.run(1)

    def still() -> bool:
        before = page.pixels(canvas)
        time.sleep(0.7)
        return np.array_equal(before, page.pixels(canvas))

    wait_until(still, what="the pause")


def test_freedos(notebook, image, seabios) -> None:
    path = str(image("freedos722.img"))
    page, canvas = power_on(notebook, f"vm = VM(fda={path!r}, boot='a')", "len(vm.trace.irq.array)", "vm.pause()")
    font = glyphs.bios_font()
    wait_for(page, canvas, font, "A:\\>", 120)
    canvas.click()
    page.page.keyboard.type("dir", delay=30)
    wait_for(page, canvas, font, "A:\\>dir")
    page.page.keyboard.press("Enter")
    listing = wait_for(page, canvas, font, "bytes free")
    assert "KERNEL" in listing or "COMMAND" in listing
    page.shot("freedos-dir.png")
    page.page.keyboard.type("ver", delay=30)
    page.page.keyboard.press("Enter")
    wait_for(page, canvas, font, "FreeCom")
    for line, shows in [
        ("memory", "Environment segment"),
        ("echo echo from a batch file > t.bat", "A:\\>echo echo from a batch file > t.bat\n"),
        ("t", "\nfrom a batch file"),
        ("hello", "Hello"),  # HELLO.COM ships on the image
    ]:
        page.page.keyboard.type("cls", delay=30)
        page.page.keyboard.press("Enter")
        wait_until(lambda: on_screen(page, canvas, font).split() == ["A:\\>"], what="an empty screen")
        for c in line:  # as on a keyboard: the page sends codes, and Period is ">" with Shift alone
            page.page.keyboard.press("Shift+Period" if c == ">" else "Space" if c == " " else c, delay=30)
        page.page.keyboard.press("Enter")
        wait_for(page, canvas, font, shows)
    page.page.keyboard.type("ver", delay=30)
    page.page.keyboard.press("Enter")
    wait_for(page, canvas, font, "FreeCom")
    page.page.locator(".pyv86-status").get_by_text("text 80x25").wait_for()
    assert page.run(1).strip(), "a cell while the machine runs"
    page.save()
    page.page.reload(wait_until="domcontentloaded")
    page.wait_ready()
    canvas.wait_for()
    wait_for(page, canvas, font, "FreeCom")
    page.run(2)


def test_two_pcs_side_by_side(notebook) -> None:
    page = notebook([SIDE_BY_SIDE], viewport=(1900, 1000))
    page.run(0, timeout=FIRST_COMPILE)
    both, font = page.page.locator(CANVAS), glyphs.demo_font()
    for i, word in enumerate(["left", "right"]):
        first_key(page, both.nth(i), font)
        page.page.keyboard.type(word, delay=30)
    for i, (word, other) in enumerate([("left", "right"), ("right", "left")]):
        assert other not in wait_for(page, both.nth(i), font, word).split("100 Hz")[-1]
    page.shot("two-pcs.png")


def test_notebook_00_as_its_reader_runs_it(notebook, lab) -> None:
    name = "00_power_on.ipynb"
    shutil.copy(ROOT / "notebooks" / name, lab.root / name)
    cells = [cell for cell in json.loads((lab.root / name).read_text())["cells"] if cell["cell_type"] == "code"]
    page = notebook(name)
    canvas, font = page.page.locator(CANVAS), glyphs.demo_font()
    for i, cell in enumerate(cells):
        said = page.run(i, timeout=FIRST_COMPILE)
        assert "Traceback" not in said, f"{''.join(cell['source'])}\n{said}"
        if "vm.start()" in "".join(cell["source"]):
            canvas.scroll_into_view_if_needed()
            wait_for(page, canvas, font, "hello, world")
            canvas.click()
            page.page.keyboard.type("typed", delay=30)
            wait_for(page, canvas, font, "typed")
            page.shot("notebook-00.png")
    assert canvas.count() == 1


def test_kolibri_by_the_mouse_of_the_page(notebook, image, seabios) -> None:
    """The pointer, a click and the wheel reach a guest through pointer lock, packets and its own driver; the large picture comes back in pieces."""
    start = "; ".join(
        [
            f"vm = VM(fda={str(image('kolibri.img'))!r}, boot='a')",
            "vm.run(until='Press [abcde]', timeout=300)",
            "vm.keyboard.type(chr(10))",
            "vm.run(seconds=6, timeout=300)",
        ]
    )
    page, canvas = power_on(notebook, start, "vm.pause()")
    mouse = page.page.mouse

    def window(picture: np.ndarray) -> np.ndarray:
        return picture[76:478, 252:758]  # where the editor opens: tests/boots/test_kolibri.py shows it

    wait_until(lambda: page.pixels(canvas).shape == (600, 800, 3), what="the desktop's mode")
    desktop = settled(lambda: page.pixels(canvas)[:560])  # below it are a clock and a bar that moves
    page.page.locator(".pyv86-box").dblclick()
    wait_until(lambda: page.page.evaluate("!!document.pointerLockElement"), what="pointer lock")
    mouse.move(900, 700)
    mouse.move(2, 2)  # into the corner, and, once it is there, from there to the icon

    def pointer(rows: slice, columns: slice) -> bool:
        return not np.array_equal(page.pixels(canvas)[rows, columns], desktop[rows, columns])

    wait_until(lambda: pointer(slice(8), slice(8)), what="the pointer in the corner")
    settled(lambda: page.pixels(canvas)[:140, :120])
    mouse.move(35, 97)
    wait_until(lambda: not pointer(slice(8), slice(8)) and pointer(slice(85, 120), slice(25, 55)), what="the pointer on the icon")
    settled(lambda: page.pixels(canvas)[:140, :120])
    mouse.down()
    mouse.up()
    wait_until(lambda: (window(page.pixels(canvas)) == 255).all(axis=2).mean() > 0.6, what="the editor's white paper")
    editor = settled(lambda: page.pixels(canvas)[:560])
    assert (desktop != editor).any(axis=2).mean() > 0.3
    page.page.evaluate("document.exitPointerLock()")
    wait_until(lambda: page.page.evaluate("!document.pointerLockElement"), what="the end of the lock")
    page.page.keyboard.type("typed" + "\n" * 50, delay=15)
    wait_until(lambda: (window(page.pixels(canvas)) != window(editor)).any(), what="what is typed")
    below = settled(lambda: page.pixels(canvas)[:560])
    page.page.evaluate("document.querySelector('.pyv86-box').requestPointerLock()")
    wait_until(lambda: page.page.evaluate("!!document.pointerLockElement"), what="pointer lock")
    for _ in range(15):
        mouse.wheel(0, -100)
        time.sleep(0.05)
    wait_until(lambda: (window(page.pixels(canvas)) != window(below)).any(), what="the lines further up")
    page.page.evaluate("document.exitPointerLock()")
    page.shot("kolibri.png")
    page.run(1)

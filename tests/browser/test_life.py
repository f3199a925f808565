"""Reloads, collapsed outputs, hidden pages, a dead kernel: what a screen costs when nobody looks, and what is there afterwards."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from fake_vm import FakeVM
from jlab import wait_until

pytestmark = pytest.mark.browser

SETUP = """import json
from fake_vm import FakeVM
from pyv86_nb.notebook.pc_view import view
vm = FakeVM()
vm.cursor[4] = False
vm.start()
w = view(vm)
w"""
COUNT = "print(json.dumps([vm.looks, w.screen.messages_sent, w.screen.audience.views()]))"
CANVAS = ".pyv86-box canvas"
SOCKETS = """(() => { window.received = 0; const Real = window.WebSocket;
  window.WebSocket = class extends Real { constructor(...a) { super(...a);
    this.addEventListener('message', e => { window.received += e.data.byteLength || e.data.length || e.data.size; }); } }; })();"""

DEAF = """(() => { const Real = window.WebSocket;
  window.WebSocket = class extends Real { constructor(...a) { super(...a);
    this.addEventListener('message', e => window.deaf && e.stopImmediatePropagation()); } }; })();"""


def last_row(page: Any, canvas: Any) -> np.ndarray:
    return page.pixels(canvas)[24 * 16 :]


def moves(page: Any, canvas: Any) -> bool:
    before = last_row(page, canvas)
    time.sleep(0.3)
    return not np.array_equal(before, last_row(page, canvas))


def received(page: Any, seconds: float) -> int:
    """Bytes that came in over all websockets in so many seconds."""
    before = page.page.evaluate("window.received")
    time.sleep(seconds)
    return page.page.evaluate("window.received") - before


def test_reload_keeps_the_screen(notebook) -> None:
    page = notebook([SETUP, "vm.pause()", "2"])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    wait_until(lambda: moves(page, canvas), what="the counter")
    page.save()
    page.page.reload(wait_until="domcontentloaded")
    page.wait_ready()
    canvas.wait_for()
    wait_until(lambda: moves(page, canvas), what="the counter after a reload")
    twin = FakeVM()
    assert np.array_equal(page.pixels(canvas)[:16], twin.picture()[:16]), "the whole picture, not only what moves"
    page.run(1)
    wait_until(lambda: "paused" in page.page.locator(".pyv86-status").inner_text(), what="the pause")
    wait_until(lambda: not moves(page, canvas), what="the end of movement")
    page.page.keyboard.press("Escape")
    page.page.reload(wait_until="domcontentloaded")
    page.wait_ready()
    canvas.wait_for()
    wait_until(lambda: np.array_equal(page.pixels(canvas)[:16], twin.picture()[:16]), what="a stopped machine's picture")
    wait_until(lambda: "paused" in page.page.locator(".pyv86-status").inner_text(), what="its state")


@pytest.mark.parametrize("how", ["collapsed", "scrolled away", "hidden"])
def test_nobody_looks_nothing_is_sent(notebook, how: str) -> None:
    page = notebook([SETUP, COUNT] + (["\n" * 60] * 3 if how == "scrolled away" else []), script=SOCKETS)
    page.run(0)
    canvas = page.page.locator(CANVAS)
    wait_until(lambda: moves(page, canvas), what="the counter")
    wait_until(lambda: page.value(1)[2] == 1, what="one view")
    wait_until(lambda: received(page, 1.0) > 10 * 4000, what="ten pictures a second")
    hide = {
        "collapsed": "document.querySelector('.jp-OutputCollapser .jp-Collapser-child').click()",
        "scrolled away": "document.querySelectorAll('.jp-CodeCell')[4].scrollIntoView()",
        "hidden": """Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true});
            window.away = true; document.dispatchEvent(new Event('visibilitychange'))""",
    }[how]
    page.page.evaluate(hide)
    wait_until(lambda: received(page, 2.0) < 500, what="silence: a screen nobody sees sends nothing")
    back = {
        "collapsed": "document.querySelector('.jp-OutputCollapser .jp-Collapser-child').click()",
        "scrolled away": "document.querySelectorAll('.jp-CodeCell')[0].scrollIntoView()",
        "hidden": "window.away = false; document.dispatchEvent(new Event('visibilitychange'))",
    }[how]
    page.page.evaluate(back)
    wait_until(lambda: moves(page, canvas), what="the counter again")
    wait_until(lambda: not page.page.locator(".pyv86-silent").count(), what="a kernel that is there")


def test_view_of_a_deleted_cell_is_forgotten(notebook) -> None:
    page = notebook([SETUP, "w", COUNT], viewport=(1400, 2000))  # both in sight
    page.run(0)
    page.run(1)
    page.page.locator(CANVAS).nth(1).wait_for()
    wait_until(lambda: page.value(2)[2] == 2, what="two views")
    page.cell(1).locator(".jp-InputPrompt").click()
    page.page.get_by_text("Edit", exact=True).click()  # "d d" on the keyboard must come within a second
    page.page.get_by_text("Delete Cell", exact=True).click()
    wait_until(lambda: page.value(1)[2] == 1, what="one view")


def test_dead_kernel_greys_the_screen(notebook) -> None:
    page = notebook([SETUP, "import os; os.kill(os.getpid(), 19)"])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    wait_until(lambda: moves(page, canvas), what="the counter")
    page.run(1, wait=False)  # SIGSTOP: the kernel is there and says nothing
    page.page.locator(".pyv86-silent").wait_for()
    wait_until(lambda: "grayscale" in canvas.evaluate("e => getComputedStyle(e).filter"), what="grey")
    page.shot("silent.png")


def test_restarted_kernel_greys_the_screen_and_a_new_run_revives_it(notebook) -> None:
    page = notebook([SETUP])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    wait_until(lambda: moves(page, canvas), what="the counter")
    page.page.get_by_text("Kernel", exact=True).click()
    page.page.get_by_text("Restart Kernel…", exact=True).click()
    page.page.locator(".jp-Dialog .jp-mod-accept").click()
    page.page.locator(".pyv86-silent").wait_for()
    page.shot("restarted.png")
    page.run(0)
    wait_until(lambda: not page.page.locator(".pyv86-silent").count() and moves(page, canvas), what="a new machine")
    assert not [line for line in page.console if line[0] == "pageerror"]


@pytest.mark.parametrize("kernel", ["with subshells", "without"])
def test_screen_appears_while_the_cell_still_runs(notebook, kernel: str, tmp_path) -> None:
    old = "import pyv86_nb.notebook.screen_widget as s, pyv86_nb.notebook.toolbar as t\ns.deliver_during_cells = t.deliver_during_cells = "
    seen = tmp_path / "seen"
    still_runs = f"import os, time\nfor _ in range(600):\n    if not os.path.exists({str(seen)!r}): time.sleep(0.2)"
    setup = (old + "lambda widget: None\n" if kernel == "without" else "") + SETUP
    page = notebook(
        [setup.replace("w = view(vm)\nw", "w = view(vm); w.displayed(); display(w)\n" + still_runs)]
    )
    page.run(0, wait=False)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    wait_until(lambda: moves(page, canvas), what="the counter")
    assert "*" in page.prompt(0), "the cell still runs"
    seen.touch()


def test_paused_machine_is_not_taken_for_a_dead_kernel(notebook) -> None:
    page = notebook([SETUP.replace("vm.start()\n", "")])
    page.run(0)
    page.page.locator(CANVAS).wait_for()
    time.sleep(5)
    wait_until(lambda: not page.page.locator(".pyv86-silent").count(), what="a kernel that is there")


def test_a_page_that_stood_still_does_not_take_its_kernel_for_dead(notebook) -> None:
    """A lid that was closed: when page and kernel go on, the page's timer is due before the kernel has said anything."""
    page = notebook([SETUP], script=DEAF)
    page.run(0)
    wait_until(lambda: moves(page, page.page.locator(CANVAS)), what="the counter")
    said = page.page.evaluate(
        """() => new Promise(done => new MutationObserver((_, watch) => {
                watch.disconnect(); // a sign of the kernel has just come
                window.deaf = true;
                const end = performance.now() + 4500; while (performance.now() < end);
                setTimeout(() => { window.deaf = false; done(document.querySelector('.pyv86-screen').className); }, 100);
            }).observe(document.querySelector('.pyv86-time'), {characterData: true, childList: true, subtree: true}))"""
    )
    assert "pyv86-silent" not in said


def test_closed_machine_leaves_its_last_picture(notebook) -> None:
    page = notebook(
        [
            SETUP,
            "vm.closed = True; vm.running = False\ndef closed(): raise RuntimeError('this VM is closed')\nvm._view_state = closed",
        ]
    )
    page.run(0)
    canvas = page.page.locator(CANVAS)
    wait_until(lambda: moves(page, canvas), what="the counter")
    page.run(1, wait=False)  # the message stands for six seconds
    wait_until(lambda: "this VM is closed" in page.page.locator(".pyv86-message").inner_text(), what="the message")
    wait_until(lambda: "closed" in page.page.locator(".pyv86-status").inner_text(), what="the word in the status line")
    time.sleep(4.5)
    assert not page.page.locator(".pyv86-silent").count(), "not for want of a kernel"
    assert np.array_equal(page.pixels(canvas)[:16], FakeVM().picture()[:16])


def test_closed_view_leaves_the_page(notebook) -> None:
    page = notebook([SETUP, "w.close()", "view(vm)"])
    page.run(0)
    canvas = page.page.locator(CANVAS)
    canvas.wait_for()
    page.run(1)
    wait_until(lambda: page.page.locator(CANVAS).count() == 0, what="the end of the view")
    page.run(2)
    wait_until(lambda: page.page.locator(CANVAS).count() == 1, what="another view")
    assert not [line for line in page.console if line[0] == "pageerror"]


def test_two_pages_of_one_notebook(notebook) -> None:
    one = notebook([SETUP, COUNT, "print(json.dumps([e[2:] for e in vm.events]))"])
    one.run(0)
    first = one.page.locator(CANVAS)
    wait_until(lambda: moves(one, first), what="the counter")
    one.save()
    two = notebook(one.name)
    second = two.page.locator(CANVAS)
    second.wait_for()
    wait_until(lambda: moves(two, second) and moves(one, first), what="the counter on both pages")
    wait_until(lambda: one.value(1)[2] == 2, what="two views")
    second.click()
    two.page.keyboard.press("q")
    wait_until(lambda: ["key_up", "KeyQ"] in one.value(2), what="a key from the second page")
    two.context.close()
    wait_until(lambda: one.value(1)[2] == 1, what="one view")
    wait_until(lambda: moves(one, first), what="the counter for those who stay")

"""The widget without a browser: messages as a page sends them, handed to the handlers; what goes out is recorded."""

from __future__ import annotations

import base64
import threading
import time

import pytest
from fake_vm import FakeVM

from pyv86_nb.notebook import pc_view
from pyv86_nb.notebook.audience import GONE_AFTER, UNKNOWN_FOR, Audience
from pyv86_nb.notebook.sender import Sender, clock_text
from pyv86_nb.notebook.toolbar import speed_options


class Page:
    """A page before a view: sends messages, records what it is sent."""

    def __init__(self, view: pc_view.PcView, name: str = "page") -> None:
        self.screen, self.name, self.views = view.screen, name, 1
        self.sent: list[dict] = []
        self.screen.send = lambda content, buffers=None: self.sent.append(content)

    def says(self, kind: str, buffers: tuple = (), **content: object) -> None:
        self.screen._receive(self.screen, {"t": kind, "c": self.name, "v": self.views, **content}, list(buffers))

    def got(self, kind: str, timeout: float = 60.0) -> dict:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for content in self.sent:
                if content["k"] == kind:
                    return content
            time.sleep(0.01)
        raise AssertionError(f"no {kind!r} among {[c['k'] for c in self.sent]}")


@pytest.fixture
def vm():
    return FakeVM()


@pytest.fixture
def view(vm):
    made = pc_view.view(vm)
    yield made
    made.close()


def test_one_view_for_each_machine(vm, view) -> None:
    assert pc_view.view(vm) is view
    other = pc_view.view(FakeVM("other"))
    assert other is not view
    other.close()


def test_closed_view_is_made_anew(vm) -> None:
    first = pc_view.view(vm)
    first.close()
    second = pc_view.view(vm)
    assert second is not first
    second.close()


def test_ready_is_answered_with_everything(vm, view) -> None:
    page = Page(view)
    page.says("ready")
    assert page.got("text")["has"] == ["font", "palette", "cells"]


def test_input_is_posted(vm, view) -> None:
    page = Page(view)
    page.says("key", d=True, code="KeyA", repeat=False)
    page.says("key", d=False, code="KeyA", repeat=False)
    page.says("release")
    page.says("mouse", e=[3, -4, 1, 2])
    page.says("paste", text="dir\n")
    page.says("insert", name="a.img", buffers=(memoryview(b"\x00" * 512),))
    assert [event[2:] for event in vm.events] == [
        ("key_down", "KeyA"),
        ("key_up", "KeyA"),
        ("release_all",),
        ("mouse", 3, -4, 1, 2),
        ("paste", "dir\n"),
        ("insert", "fda", "a.img", b"\x00" * 512),
    ]


def test_refused_input_is_said(vm, view) -> None:
    def refuse(*event: object) -> None:
        raise ValueError("a floppy image of 3 bytes fits no drive")

    vm._post = refuse
    page = Page(view)
    page.says("insert", name="a.img", buffers=(b"abc",))
    assert page.got("say")["text"] == "a floppy image of 3 bytes fits no drive"


def test_nobody_looks_nothing_is_looked_at(vm, view) -> None:
    page = Page(view)
    page.says("ready")
    page.got("text")
    asleep = threading.Event()
    restart = view.screen.audience.restart
    view.screen.audience.restart = lambda: (restart(), asleep.set())  # before the thread sleeps it forgets what it has asked
    page.views = 0
    page.says("views")
    assert asleep.wait(60)
    before, sent = vm.looks, len(page.sent)
    vm.start()
    time.sleep(0.4)
    assert vm.looks == before
    assert len(page.sent) == sent
    page.views = 1
    page.sent.clear()
    page.says("views")
    assert page.got("text")["has"] == ["cells"], "a page that only looked away has the rest"


def test_quiet_machine_beats(vm, view) -> None:
    page = Page(view)
    page.says("ready")
    page.got("beat")


def test_status_at_most_four_times_a_second(vm, view) -> None:
    view.sender.close()
    view.sender._thread.join()
    sender, changes = Sender(vm, view.screen), []
    view.screen.observe(lambda change: changes.append(change), "status")
    vm.running = True
    for n in range(150):  # one and a half seconds of a clock that is always right
        vm.ticks = n
        sender.look(n / 100)
        sender.tell_status(n / 100)
    assert len(changes) == 6
    assert view.screen.status == {**view.screen.status, "state": "running", "mode": "text 80x25", "speed": "31.4 MIPS"}


def test_buttons(vm, view) -> None:
    page = Page(view)
    bar = view.toolbar
    bar.run.click()
    assert vm.running and bar.run.description == "Pause"
    assert page.sent[-1] == {"k": "focus"}
    bar.run.click()
    assert not vm.running and bar.run.description == "Run"
    bar.reset.click()
    bar.ctrl_alt_del.click()
    assert vm.calls == ["start", "pause", "reset", "press ctrl+alt+delete"]
    bar.screenshot.click()
    assert page.got("download")["name"].endswith(".png")
    bar.scale.value = 2.0
    assert view.screen.scale == 2.0
    bar.speed.value = 25.0
    assert vm.mips == 25
    assert bar.back.disabled
    bar.save.click()
    vm.write(5, 5, "changed")
    kept = bar.saved.copy()
    bar.back.click()
    assert (vm.cells == kept).all()


def test_toolbar_follows_the_machine(vm, view) -> None:
    Page(view).says("ready")
    vm.start()
    vm.mips = 42.5  # a slow host lowers the rate
    end = time.monotonic() + 60
    while (view.toolbar.run.description, view.toolbar.speed.value) != ("Pause", 42.5) and time.monotonic() < end:
        time.sleep(0.02)
    assert view.toolbar.speed.value == 42.5
    assert vm.mips == 42.5
    assert view.toolbar.run.description == "Pause"


def test_rates_are_short_words() -> None:
    options = dict(speed_options(1.394053))
    assert options["1.39 MIPS"] == 1.394053
    assert options["100 MIPS"] == 100


def test_failing_button_is_said(vm, view) -> None:
    def fail() -> None:
        raise RuntimeError("the machine is closed")

    vm.reset = fail
    page = Page(view)
    view.toolbar.reset.click()
    assert page.got("say")["text"] == "the machine is closed"


def test_closed_machine_ends_the_thread(vm, view) -> None:
    page = Page(view)
    page.says("ready")
    page.got("text")

    def closed() -> dict:
        raise RuntimeError("this machine is closed; make a new one")

    vm.closed, vm._view_state = True, closed
    assert "closed" in page.got("say")["text"]
    view.sender._thread.join(60)
    assert not view.sender._thread.is_alive()


def test_a_failed_machine_keeps_its_reason_for_the_next_cell(vm, view) -> None:
    page = Page(view)
    page.says("ready")
    page.got("text")
    vm.failed = True
    end = time.monotonic() + 60
    while view.screen.status["state"] != "failed" and time.monotonic() < end:
        time.sleep(0.02)
    looks = vm.looks
    page.got("beat")
    assert view.screen.status["state"] == "failed"
    assert vm.looks == looks


def test_late_page_gets_fewer_frames(vm, view) -> None:
    sender, audience = view.sender, view.screen.audience
    vm.running = True
    audience.restart()
    audience.ask(1, 100.0)
    assert sender.interval(100.1) == pytest.approx(1 / 30)
    assert sender.interval(102.0) == pytest.approx(1 / 10)
    assert sender.interval(120.0) == pytest.approx(1 / 4)
    audience.answered(1, 120.0)
    assert sender.interval(120.0) == pytest.approx(1 / 30)


def test_audience() -> None:
    audience = Audience()
    assert not audience.watching(0.0)
    audience.displayed(1.0)
    assert audience.watching(2.0), "a page may be there that cannot report while the cell runs"
    assert not audience.watching(2.0 + UNKNOWN_FOR)
    audience.heard("a", 2, 3.0)
    audience.heard("b", 1, 3.0)
    assert audience.views() == 3
    assert audience.ask(1, 3.0)
    assert not audience.ask(2, 3.9), "questions are sparse"
    audience.heard("a", 2, 3.1)
    audience.answered(1, 3.1)
    audience.heard("a", 2, 2.9 + GONE_AFTER)
    assert audience.views() == 3
    audience.heard("a", 2, 3.1 + GONE_AFTER)
    assert audience.views() == 2, "b was asked and is silent while a answers"
    audience.left("a")
    assert audience.views() == 0


def test_a_page_is_not_gone_because_nobody_asked() -> None:
    audience = Audience()
    audience.heard("a", 1, 1.0)
    audience.heard("b", 1, 1.0)
    assert audience.ask(1, 2.0)
    audience.heard("b", 1, 2.1)
    audience.heard("a", 1, 100.0)
    assert audience.views() == 2
    assert audience.ask(2, 101.0)
    audience.restart()
    audience.heard("a", 1, 110.0)
    assert audience.views() == 2, "questions from before a pause are not answered"


def test_a_late_page_is_asked_more_often() -> None:
    audience = Audience()
    audience.heard("a", 1, 0.0)
    assert audience.ask(1, 1.0)
    audience.answered(1, 1.4)
    assert audience.ask(2, 2.1)
    assert not audience.ask(3, 2.2)
    assert audience.ask(4, 2.4)
    audience.answered(4, 2.45)
    assert audience.ask(5, 2.7)
    assert not audience.ask(6, 3.6)


def test_silence_of_all_pages_is_a_busy_kernel() -> None:
    audience = Audience()
    audience.heard("a", 1, 0.0)
    audience.ask(1, 1.0)
    assert audience.watching(100.0)


def test_mimebundle(vm) -> None:
    data, metadata = pc_view.mimebundle(vm)
    assert set(data) == {pc_view.WIDGET, "image/png", "text/plain"}
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG")
    assert metadata["image/png"] == {"width": 720, "height": 400}
    assert data["text/plain"] == "<FakeVM fake>"
    assert set(pc_view.mimebundle(vm, exclude={pc_view.WIDGET})[0]) == {"image/png", "text/plain"}
    assert set(pc_view.mimebundle(vm, include={"text/plain"})[0]) == {"text/plain"}
    pc_view.view(vm).close()


@pytest.mark.parametrize("seconds, text", [(0, "0:00.0"), (59.99, "0:59.9"), (61.25, "1:01.2"), (3723.9, "1:02:03")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_refresh_costs_little(vm) -> None:
    """Kernel time of one text refresh, without the front end's socket: far below the 1 ms that bench/notebook.py measures whole."""
    view = pc_view.view(vm)
    view.sender.close()
    view.sender._thread.join(2)
    sender = Sender(vm, view.screen)
    sender.look(0.0)
    began = time.thread_time()
    for i in range(300):
        vm.cells[3, 3] = i
        sender.look(i / 30)
    assert (time.thread_time() - began) / 300 < 1e-3
    view.close()

"""The kernel's half of the serial terminal, without a page: what is sent to whom.   Oracle: the rules that terminal.py states."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from pyv86_nb.notebook import terminal as T


@pytest.fixture
def made(monkeypatch):
    """A terminal whose thread does not run, its port, and what it sends."""
    monkeypatch.setattr(T.Terminal, "_loop", lambda self: None)
    monkeypatch.setattr(T, "PATIENCE", 1e9)                                # this process may stand still for longer than a page is waited for
    written = bytearray()
    port = SimpleNamespace(name="COM1", number=0, state="running", line=SimpleNamespace(data=bytearray()), write=written.extend, written=written)
    widget, sent = T.Terminal(port), []
    monkeypatch.setattr(widget, "send", lambda content, buffers=(): sent.append((content, b"".join(buffers))))
    yield widget, port, sent
    widget.close()


def says(widget: Any, view: str, kind: str, **content: Any) -> None:
    widget._receive(widget, {"t": kind, "c": view, **content}, [])


def test_a_new_view_gets_all_and_then_what_comes(made) -> None:
    widget, port, sent = made
    port.line.data += b"before\r\n"
    says(widget, "a", "ready")
    widget.look(0)
    (fresh, text), (live, more) = sent
    assert fresh["fresh"] and fresh["only"] == "a" and fresh["from"] == fresh["to"] == 0 and text == b""
    assert (live["from"], live["to"], more, live["leader"]) == (0, 8, b"before\r\n", "a")
    says(widget, "b", "ready")
    port.line.data += b"after"
    sent.clear()
    widget.look(0)
    assert [(c["fresh"], c["only"], c["from"], c["to"], t) for c, t in sent] == [(True, "b", 0, 8, b"before\r\n"), (False, "", 8, 13, b"after")]
    sent.clear()
    widget.look(0)
    assert sent == []


def test_a_flood_sends_its_end_only_and_waits_for_the_page(made) -> None:
    widget, port, sent = made
    says(widget, "a", "ready")
    widget.look(time.monotonic())
    line = b"x" * 98 + b"\r\n"
    port.line.data += line * 100_000
    sent.clear()
    for _ in range(50): widget.look(time.monotonic())
    (content, text), rest = sent[0], sent[1:]
    assert content["fresh"] and content["to"] == 10_000_000 and T.REPLAY - 100 < len(text) <= T.REPLAY and text.startswith(b"x")
    assert f"{content['from']:,} earlier bytes" in content["note"] and not rest
    port.line.data += line * 5000
    sent.clear()
    for _ in range(50): widget.look(time.monotonic())
    assert sum(len(t) for _, t in sent) <= T.WINDOW + T.PIECE or sent == []          # nothing acknowledged
    says(widget, "a", "ack", at=10_000_000)
    for _ in range(50): widget.look(time.monotonic())
    assert T.WINDOW <= sum(len(t) for _, t in sent) <= T.WINDOW + T.PIECE
    says(widget, "a", "ack", at=10_500_000)
    for _ in range(50): widget.look(time.monotonic())
    assert sent[-1][0]["to"] == 10_500_000 and b"".join(t for _, t in sent) == line * 5000


def test_another_history_replaces_what_was_shown(made) -> None:
    widget, port, sent = made
    says(widget, "a", "ready")
    port.line.data += b"one"
    widget.look(0)
    sent.clear()
    port.line.data = bytearray(b"the snapshot's")
    widget.look(0)
    assert [(c["fresh"], c["only"], t) for c, t in sent] == [(True, "", b"the snapshot's")]


def test_one_view_answers_questions(made) -> None:
    widget, _, sent = made
    for view in ("a", "b"): says(widget, view, "ready")
    assert widget._leader == "a"
    says(widget, "b", "focus")
    assert sent[-1][0] == {"k": "leader", "leader": "b"}
    says(widget, "b", "gone")
    assert widget._leader == "a"


def test_what_is_typed_goes_to_the_line_and_a_refusal_is_said(made) -> None:
    widget, port, sent = made
    says(widget, "a", "data", text="\x03\u20ac")
    widget._receive(widget, {"t": "bytes", "c": "a"}, [memoryview(b"\x1b[M\xff")])
    assert port.written == b"\x03\xe2\x82\xac\x1b[M\xff"

    def refuse(data: bytes) -> None:
        raise RuntimeError("this VM is closed; make a new one with VM(...)")

    port.write = refuse
    says(widget, "a", "data", text="x")
    assert sent[-1][0] == {"k": "say", "text": "COM1: this VM is closed; make a new one with VM(...)"}


def test_where_widgets_do_not_run_the_text_stands_with_its_colours() -> None:
    said = b"\x1b[2J\x1b[Hone\r\n\x1b]0;title\x07\x1b[1;34mbin\x1b[m\x1b[6n\r\n 10%\r 99%\r\n\x1b(Bend \xff\r\n"
    assert T.static_text(said) == "one\n\x1b[1;34mbin\x1b[m\n 99%\nend \ufffd"          # ECMA-48: SGR stays, movement and strings go
    assert T.static_text(b"") == ""


def test_a_machine_shows_its_line() -> None:
    from pyv86_nb import VM

    with VM(bare="real", tier="python") as vm:
        vm.serial[0].line.came(b"hello\r\n", 0)
        data = vm.serial[0]._repr_mimebundle_()
        assert data["text/plain"] == "hello" and T.WIDGET in data and vm.clock == "wall"
        assert vm.serial[0]._repr_mimebundle_(include={"text/plain"}) == {"text/plain": "hello"}
        assert vm.serial[0].terminal(columns=100, rows=30) is T.terminal(vm.serial[0])
        with pytest.raises(ValueError, match="give a number of rows from 2 to 200"): vm.serial[0].terminal(rows=0)
    assert vm.serial[0]._repr_mimebundle_() == {"text/plain": "<COM1: 7 bytes from the guest>"}

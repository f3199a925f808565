"""A terminal in a notebook cell for a serial line: `vm.serial[0]` as the last line of a cell.

xterm.js interprets the output in the page (colours, cursor movement, scrollback, selection); see xterm/README.md for why.  Python's half
looks at the line up to 30 times a second and sends what has come in one message, keys and pasted text go to the line as they are, and
the line hands them to the UART as its receiver has room.

The output is a stream with positions.  What a page has interpreted it acknowledges; no more than WINDOW is ever on its way, so a guest that
prints megabytes stays ahead of the page, not the page behind the guest: when more than REPLAY waits, all but its end is left out.
A view that is new, or was reloaded, gets the same REPLAY bytes.  `vm.serial[0].text` has everything.
"""
from __future__ import annotations

import pathlib
import re
import threading
import time
from typing import Any

import anywidget
import traitlets

from .one_widget import OneWidget
from .screen_widget import deliver_during_cells

HERE = pathlib.Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
REPLAY = 512 << 10                                       # bytes: about the scrollback
PIECE = 64 << 10                                         # the longest message
WINDOW = 256 << 10                                       # not acknowledged by the quickest view
FRAME, IDLE, EAGER, EAGER_FOR = 1 / 30, 1 / 10, 1 / 120, 0.2         # s between looks: running, standing still, after a key
PATIENCE = 1.0                                           # s without an acknowledgement after which a piece is sent all the same
SCROLLBACK = 5000
STATIC_LINES = 200
HINT = "click to type, Ctrl+Shift+C copies, Ctrl+Shift+V pastes"
KEEP_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~])", re.S)          # ECMA-48: CSI, strings, others


def script() -> str:
    """xterm.js and terminal.js as one module: a widget's script cannot import its neighbours."""
    library = (HERE / "xterm" / "xterm.mjs").read_text(encoding="utf-8")
    named, n = re.subn(r"export\s*\{\s*([\w$]+)\s+as\s+Terminal\s*\};?", r"const Terminal=\1;", library)
    if n != 1:
        raise RuntimeError("xterm/xterm.mjs does not export Terminal; it is not the file that terminal.js was written for")
    return f"{named}\n{(HERE / 'terminal.js').read_text(encoding='utf-8')}"


class Terminal(anywidget.AnyWidget):
    """The terminal of one serial port.  Shown several times, every view shows the same line and takes input."""

    _esm = script()
    _css = (HERE / "xterm" / "xterm.css").read_text(encoding="utf-8") + (HERE / "terminal.css").read_text(encoding="utf-8")

    columns = traitlets.Int(80).tag(sync=True)
    rows = traitlets.Int(24).tag(sync=True)
    scrollback = traitlets.Int(SCROLLBACK).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(self, port: Any, **traits: Any) -> None:
        super().__init__(title=f"{port.name}: {HINT}", **traits)
        self.port = port
        self.messages_sent = 0
        self._lock = threading.Lock()
        self._views: dict[str, int] = {}                 # view -> position up to which it has interpreted
        self._new: list[str] = []                        # views that have nothing yet
        self._leader = ""                                # the view that answers the guest's questions
        self._stream = port.line.data
        self._sent = 0
        self._heard = self._eager_until = float("-inf")
        self._wake = threading.Event()
        self.on_msg(self._receive)
        deliver_during_cells(self)
        threading.Thread(target=self._loop, name=f"pyv86_nb terminal {port.name}", daemon=True).start()

    def close(self) -> None:
        """Remove the terminal from all pages; the line is not touched."""
        super().close()
        self._wake.set()

    # FROM THE PAGE

    def _receive(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        kind, view = content.get("t"), str(content.get("c"))
        with self._lock:
            self._heard = time.monotonic()
            if kind == "ready":
                self._views[view] = 0
                self._new += [view] * (view not in self._new)
                self._leader = self._leader or view
            elif kind == "gone":
                self._views.pop(view, None)
                if self._leader == view:
                    self._leader = next(iter(self._views), "")
            elif kind == "ack":
                self._views[view] = int(content["at"])
            elif kind == "focus":
                self._leader = view
        if kind == "focus":
            self.send({"k": "leader", "leader": view})
        elif kind in ("data", "bytes"):
            self._eager_until = time.monotonic() + EAGER_FOR
            try:
                self.port.write(str(content["text"]).encode() if kind == "data" else bytes(buffers[0]))
            except Exception as error:                   # no cell could show a traceback
                self.send({"k": "say", "text": f"{self.port.name}: {error}"})
        self._wake.set()

    # TO THE PAGE

    def look(self, now: float) -> None:
        """Send what has come since the last look, as far as the views keep up."""
        with self._lock:
            new, self._new = self._new, []
            views, heard = list(self._views.values()), self._heard
        data = self.port.line.data
        end = len(data)
        if data is not self._stream or self._sent > end:           # another machine's history: a snapshot was put back
            self._stream, self._sent, new = data, end, [""]
        elif end - self._sent > REPLAY:
            self._sent, new = end, [""]
        for view in new:                                 # "": all of them
            self._tell(data, *self._tail(data, self._sent), fresh=True, only=view)
        if self._sent < end and views and (self._sent - max(views) < WINDOW or now - heard > PATIENCE):
            at, self._sent = self._sent, min(self._sent + PIECE, end)
            if now - heard > PATIENCE:
                self._heard = now
            self._tell(data, at, self._sent)

    def _tail(self, data: bytearray, end: int) -> tuple[int, int]:
        """The last REPLAY bytes before `end`, from the beginning of a line."""
        start = max(end - REPLAY, 0)
        line = data.find(b"\n", start, end) + 1 if start else 0
        return (line or start), end

    def _tell(self, data: bytearray, start: int, end: int, fresh: bool = False, only: str = "") -> None:
        note = f"\x1b[2m[{start:,} earlier bytes: vm.serial[{self.port.number}].text]\x1b[m\r\n" if fresh and start else ""
        self.messages_sent += 1
        self.send({"k": "text", "from": start, "to": end, "fresh": fresh, "only": only, "note": note, "leader": self._leader},
                  [bytes(data[start:end])])

    def _loop(self) -> None:
        while self.comm is not None:
            now = time.monotonic()
            if self._views:
                self.look(now)
                pause = EAGER if now < self._eager_until else FRAME if self.port.state == "running" else IDLE
                self._wake.wait(max(pause - (time.monotonic() - now), 0.001))
            else:
                self._wake.wait()
            self._wake.clear()


terminal = OneWidget(Terminal, lambda widget: widget.port)  # the terminal of a serial line


def static_text(data: bytes, lines: int = STATIC_LINES) -> str:
    """The end of the output for places where widgets do not run: colours, which Jupyter and nbconvert understand, but no movement."""
    def keep(match: re.Match[bytes]) -> bytes:
        return match[0] if KEEP_COLOURS.fullmatch(match[0]) else b""

    text = ESCAPE.sub(keep, data[-REPLAY:]).decode("utf-8", "replace").replace("\r\n", "\n")
    shown = [line.rsplit("\r", 1)[-1] for line in text.split("\n")[-lines:]]          # what a carriage return wrote over
    return "\n".join(shown).rstrip("\n")


def mimebundle(port: Any, include: set[str] | None = None, exclude: set[str] | None = None) -> dict[str, Any]:
    """What IPython's display protocol asks of `port._repr_mimebundle_`."""
    def wanted(mime: str) -> bool:
        return (not include or mime in include) and (not exclude or mime not in exclude)

    data: dict[str, Any] = {}
    if wanted(WIDGET):
        bundle = terminal(port)._repr_mimebundle_()
        data.update((bundle[0] if isinstance(bundle, tuple) else bundle) or {})
    data["text/plain"] = static_text(bytes(port.line.data)) or repr(port)
    return {mime: value for mime, value in data.items() if wanted(mime)}

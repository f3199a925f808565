"""The screen as a widget: an ipycanvas canvas, painted and listened to by a small anywidget.

Python's half of `pc_view.js`: messages with frames go out through `send_frame`, input comes in and is handed to one function.
Nothing here knows the machine.

Why not `Canvas.put_image_data`: it compresses a PNG or JPEG for each frame (28 ms of kernel time for a text screen), and the page
keeps every one of them for ever.  The canvas has a `_CanvasManager` of its own, because ipycanvas' shared one mixes up canvases
drawn by several threads and stops for good when the page is reloaded while something draws.  That class is not documented: ipycanvas
0.14 is pinned, and without it (or with `Screen(canvas=None)`) the page makes a <canvas> of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import anywidget
import traitlets
from ipycanvas import Canvas
from ipywidgets import Widget, widget_serialization

from .audience import Audience
from .frames import Message

HERE = pathlib.Path(__file__).parent
# one module for the page, because a widget's script cannot import its neighbours
SCRIPTS = ("paint.js", "input.js", "pc_view.js")
DEFAULT_SIZE = (720, 400)


def own_canvas() -> Canvas | None:
    """An ipycanvas canvas with a manager of its own; None if this ipycanvas cannot do that."""
    try:
        from ipycanvas.canvas import _CanvasManager
    except ImportError:
        return None
    return Canvas(width=DEFAULT_SIZE[0], height=DEFAULT_SIZE[1], _canvas_manager=_CanvasManager())


def deliver_during_cells(widget: Widget) -> None:
    """Let messages for `widget` arrive while a cell is running.

    JupyterLab sends them to a subshell; ipykernel 7.4 sends them back to the shell that last wrote to the widget, where
    they wait for the cell.  The name is private to ipykernel, so kernels without it are left as they are.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


class Screen(anywidget.AnyWidget):
    """A picture of the guest's screen and the keyboard and mouse of whoever sits before it.

    on_input(kind, *values) is called on any thread, for each of ("key_down", code) with repeats, ("key_up", code),
    ("release_all",), ("mouse", dx, dy, wheel, buttons: 1 left, 2 right, 4 middle), ("paste", text) and ("insert", name, bytes).
    on_audience(full) is called when somebody begins or ceases to look; `full`: a page that has nothing yet.
    """

    _esm = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    _css = (HERE / "pc_view.css").read_text(encoding="utf-8")

    canvas = traitlets.Instance(Canvas, allow_none=True).tag(sync=True, **widget_serialization)
    token = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Float(1.0, help="1 CSS pixel per dot times this; 0 fills the width of the output").tag(sync=True)
    mouse_capture = traitlets.Bool(True, help="whether a double click captures the mouse").tag(sync=True)
    status = traitlets.Dict(help="state, mode, speed, time: texts; running: bool").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        traits.setdefault("canvas", own_canvas())
        super().__init__(token=secrets.token_hex(8), **traits)
        self.audience = Audience()
        self.on_input: Callable[..., None] = lambda kind, *values: None
        self.on_audience: Callable[[bool], None] = lambda full: None
        self.messages_sent = 0
        self._numbers = itertools.count(1)
        self.on_msg(self._receive)
        deliver_during_cells(self)

    def send_frame(self, message: Message, now: float) -> None:
        """Send what `FrameEncoder.update` returned."""
        content, buffers = message
        number = next(self._numbers)
        self.messages_sent += 1
        self.send({**content, "n": number, "ack": self.audience.ask(number, now)}, buffers)

    def beat(self, now: float) -> None:
        """A sign of life for pages that have heard nothing for a while."""
        number = next(self._numbers)
        self.audience.ask(number, now)
        self.send({"k": "beat", "n": number})

    def say(self, text: str) -> None:
        """Show one sentence over the picture for a few seconds."""
        self.send({"k": "say", "text": text})

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Whatever is raised inside is said over the picture: there is no cell that could show a traceback."""
        try:
            yield
        except Exception as error:  # a refused disk, a closed machine, a bug: the person at the screen must know
            self.say(str(error) or type(error).__name__)

    def take_focus(self) -> None:
        """Give the keyboard to the screen whose toolbar was just used."""
        self.send({"k": "focus"})

    def download(self, name: str, data: bytes, mime: str) -> None:
        """Let the browser save `data` as a file."""
        self.send({"k": "download", "name": name, "type": mime}, [data])

    def set_size(self, width: int, height: int) -> None:
        """Size of the picture in dots, for ipycanvas' users and for pages loaded from now on."""
        if self.canvas is not None and (self.canvas.width, self.canvas.height) != (width, height):
            with self.canvas.hold_sync():
                self.canvas.width, self.canvas.height = width, height

    def _receive(self, _: Widget, content: dict[str, Any], buffers: list[Any]) -> None:
        now = time.monotonic()
        page, kind = str(content.get("c")), content.get("t")
        watched = self.audience.watching(now)
        if content.get("gone"):
            self.audience.left(page)
        else:
            self.audience.heard(page, int(content.get("v", 0)), now)
        if kind == "ready" or self.audience.watching(now) != watched:
            self.audience.restart()
            self.on_audience(kind == "ready")
        if kind == "ack":
            self.audience.answered(int(content["n"]), now)
        elif kind == "key":
            self.on_input("key_down" if content["d"] else "key_up", str(content["code"]))
        elif kind == "release":
            self.on_input("release_all")
        elif kind == "mouse":
            self.on_input("mouse", *(int(v) for v in content["e"]))
        elif kind == "paste":
            self.on_input("paste", str(content["text"]))
        elif kind == "insert":
            self.on_input("insert", str(content["name"]), bytes(buffers[0]))

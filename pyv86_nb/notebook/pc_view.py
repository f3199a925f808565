"""A PC in a notebook cell: toolbar, screen, status line.

`view(vm)` is the widget, `mimebundle(vm)` what a cell shows for a machine as its last line: the widget, with a PNG and a line of text for
places where widgets do not run (nbconvert, GitHub, a diff).

The machine is known by its public names and these hooks:

    vm._view_state()          the video state (frames.py), cheap and without side effects; any thread
    vm._post(event, *values)  enqueue input, from any thread: ("key_down", code) ("key_up", code) ("release_all",)
                              ("mouse", dx, dy, wheel, buttons) ("paste", text) ("insert", "fda", name, data)
    vm.start() vm.pause() vm.reset() vm.running vm.state ("closed" at the end) vm.mips vm.measured_mips vm.time
    vm.screen.png() vm.keyboard.press("ctrl+alt+delete"); optional: vm.snapshot() vm.restore(state)
"""

from __future__ import annotations

import base64
import struct
import time
from typing import Any

from ipywidgets import VBox

from .one_widget import OneWidget
from .screen_widget import Screen
from .sender import Sender
from .toolbar import Toolbar

WIDGET = "application/vnd.jupyter.widget-view+json"
DRIVE_FOR_DROPS = "fda"


class PcView(VBox):
    """The widget of one machine. Shown several times, every copy shows the same machine and takes input."""

    def __init__(self, vm: Any, screen: Screen | None = None) -> None:
        self.screen = screen or Screen()
        self.toolbar = Toolbar(vm, self.screen)
        self.sender = Sender(vm, self.screen, self.toolbar.refresh)
        self.vm = vm
        self.screen.on_input = self._input
        super().__init__([self.toolbar.box, self.screen])
        self.add_class("pyv86-pc")
        self.sender.start()

    def displayed(self) -> None:
        """A cell is about to show this view."""
        self.screen.audience.displayed(time.monotonic())
        self.sender.audience_changed(False)

    def close(self) -> None:
        """Remove the widget from all pages; the machine is not touched."""
        self.sender.close()
        for widget in (*self.toolbar.box.children, self.toolbar.box, self.screen):
            widget.close()
        super().close()

    def _input(self, kind: str, *values: Any) -> None:
        with self.screen.explaining():
            if kind == "insert":
                name, data = values
                self.vm._post("insert", DRIVE_FOR_DROPS, name, data)
                self.screen.say(f"{name} is in drive A:")
            else:
                self.vm._post(kind, *values)
        self.sender.expect_echo()


view = OneWidget(PcView, lambda widget: widget.vm)  # the widget of a machine


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height from a PNG's header (PNG specification, 11.2.1 IHDR)."""
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def mimebundle(
    vm: Any, include: set[str] | None = None, exclude: set[str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What IPython's display protocol asks of `vm._repr_mimebundle_`: data and metadata by MIME type."""

    def wanted(mime: str) -> bool:
        return (not include or mime in include) and (not exclude or mime not in exclude)

    data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    if wanted(WIDGET):
        widget = view(vm)
        widget.displayed()
        data.update(widget._repr_mimebundle_())
    if wanted("image/png"):
        png = vm.screen.png()
        data["image/png"] = base64.b64encode(png).decode("ascii")
        metadata["image/png"] = dict(zip(("width", "height"), png_size(png), strict=True))
    data["text/plain"] = repr(vm)
    return {mime: value for mime, value in data.items() if wanted(mime)}, metadata

"""The row of buttons above the screen, from ordinary ipywidgets.

Buttons call the machine's public names; what goes wrong is said in one sentence over the picture.  After a button that concerns
the guest the keyboard goes back to the screen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, Button, Dropdown, HBox

from .screen_widget import Screen, deliver_during_cells

SCALES = {"1x": 1.0, "1.5x": 1.5, "2x": 2.0, "fit": 0.0}
SPEEDS = (1, 5, 10, 25, 50, 100, 200, 400)  # million guest ticks a second; 1 is about an 8 MHz AT


def speed_options(current: float) -> list[tuple[str, float]]:
    """Menu entries, with the machine's present rate among them."""
    rates = sorted({float(rate) for rate in SPEEDS} | {float(current)})
    return [(f"{rate:.3g} MIPS", rate) for rate in rates]


def gap() -> HTML:
    """A thin line between groups of buttons."""
    line = HTML()
    line.add_class("pyv86-gap")
    return line


class Toolbar:
    """`box` is the widget; `refresh()` follows what the machine does without us."""

    def __init__(self, vm: Any, screen: Screen) -> None:
        self.vm, self.screen = vm, screen
        self.saved: Any = None  # the state of "save state"
        self._following = False
        self.run = self._button("play", "Start the machine", self._run, description="Run", classes=("pyv86-run",))
        self.reset = self._button("refresh", "Reset: as the button on the case", lambda: self.vm.reset())
        self.ctrl_alt_del = self._button(
            "",
            "Send Ctrl+Alt+Delete to the guest",
            lambda: self.vm.keyboard.press("ctrl+alt+delete"),
            description="Ctrl-Alt-Del",
        )
        self.screenshot = self._button("camera", "Download a screenshot (PNG)", self._screenshot, focus=False)
        self.save = self._button("bookmark-o", "Remember the machine's state", self._save)
        self.back = self._button("history", "Go back to the remembered state", self._restore)
        self.back.disabled = True
        self.scale = Dropdown(options=list(SCALES.items()), value=screen.scale, tooltip="Size of the screen")
        self.scale.observe(lambda change: setattr(self.screen, "scale", change["new"]), "value")
        rate = float(vm.mips)
        self.speed = Dropdown(
            options=speed_options(rate), value=rate, tooltip="Guest rate, million instructions a guest second"
        )
        self.speed.observe(self._set_speed, "value")
        push = HTML()
        push.add_class("pyv86-push")
        state = [gap(), self.save, self.back] if hasattr(vm, "snapshot") and hasattr(vm, "restore") else []
        self.box = HBox(
            [self.run, self.reset, self.ctrl_alt_del, gap(), self.screenshot, *state, push, self.speed, self.scale]
        )
        self.box.add_class("pyv86-toolbar")
        for widget in self.box.children:
            deliver_during_cells(widget)
        self.refresh(vm)

    def _button(
        self,
        icon: str,
        tooltip: str,
        action: Callable[[], object],
        *,
        description: str = "",
        classes: tuple[str, ...] = (),
        focus: bool = True,
    ) -> Button:
        button = Button(icon=icon, description=description, tooltip=tooltip)
        for name in classes:
            button.add_class(name)

        def clicked(_: Button) -> None:
            with self.screen.explaining():
                action()
            self.refresh(self.vm)
            if focus:
                self.screen.take_focus()

        button.on_click(clicked)
        return button

    def refresh(self, vm: Any) -> None:
        """Show what the machine does now; cheap, and no message if nothing has changed."""
        running = bool(vm.running)
        icon = "pause" if running else "play"
        if self.run.icon != icon:
            with self.run.hold_sync():
                self.run.icon = icon
                self.run.description = "Pause" if running else "Run"
                self.run.tooltip = "Pause the machine" if running else "Start the machine"
        if vm.state in ("failed", "closed"):
            return
        rate = float(vm.mips)
        if rate != self.speed.value:
            self._following = True
            try:
                with self.speed.hold_sync():
                    self.speed.options = speed_options(rate)
                    self.speed.value = rate
            finally:
                self._following = False

    def _run(self) -> None:
        if self.vm.running:
            self.vm.pause()
        else:
            self.vm.start()

    def _set_speed(self, change: dict[str, Any]) -> None:
        if self._following or change["new"] is None:
            return
        with self.screen.explaining():
            self.vm.mips = change["new"]

    def _screenshot(self) -> None:
        name = time.strftime("pyv86-%Y%m%d-%H%M%S.png")
        self.screen.download(name, self.vm.screen.png(), "image/png")

    def _save(self) -> None:
        self.saved = self.vm.snapshot()
        self.back.disabled = False
        self.screen.say("State remembered.")

    def _restore(self) -> None:
        if self.saved is not None:
            self.vm.restore(self.saved)

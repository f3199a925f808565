"""The thread that shows a machine: looks at its video state at most 30 times a second and sends what has changed.

Paced by time alone: an answer to each frame would double the kernel's work and cut the rate by a third.  A page that falls behind gets fewer
frames, the latest always; with nobody looking the thread sleeps.  After input it looks more often for a moment, so that the echo of a key
does not wait for the next thirtieth of a second.

The machine is known only by `_view_state()`, `running`, `state`, `mips`, `measured_mips` and `time`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .frames import FrameEncoder, field
from .screen_widget import Screen

FRAME = 1 / 30  # s between looks while the machine runs
EAGER = 1 / 120  # ... for a moment after input
EAGER_FOR = 0.1
IDLE = 1 / 10  # ... while it is stopped: a cell may still write to video memory or step
STATUS_EVERY = 0.25  # s, the status line's shortest interval
BEAT_EVERY = 1.0  # s, the longest silence while somebody looks; the page despairs after 3
UNKNOWN_EVERY = 0.5  # s between full frames for a page that cannot report yet
SLOW = ((10.0, 1 / 4), (1.0, 1 / 10))  # (acknowledgement late by s, interval)


def clock_text(seconds: float) -> str:
    """Guest time as m:ss.t or h:mm:ss."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    if minutes < 60:
        return f"{int(minutes)}:{int(rest * 10) / 10:04.1f}"
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{int(rest):02}"


class Sender:
    """Brings `screen` up to date with `vm` until closed. `after_look(vm)` is called after each look, for the toolbar."""

    def __init__(self, vm: Any, screen: Screen, after_look: Callable[[Any], None] = lambda vm: None) -> None:
        self.vm, self.screen, self.after_look = vm, screen, after_look
        self.encoder = FrameEncoder()
        self._full = False
        self._wake = threading.Event()
        self._closed = self._echo = False
        self._last_sent = self._last_status = self._last_full = self._eager_until = float("-inf")
        self._mode = ""
        self._complaint = ""
        screen.on_audience = self.audience_changed
        self._thread = threading.Thread(target=self._loop, name="pyv86_nb screen", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; the last picture stays."""
        self._closed = True
        self._wake.set()

    def audience_changed(self, full: bool) -> None:
        """Somebody looks now, or nobody does; `full`: a page without any picture."""
        self._full = self._full or full
        self._wake.set()

    def expect_echo(self) -> None:
        """Input has gone to the machine: look soon, but not before the guest can have seen it; a look stops the machine for a moment."""
        self._eager_until = time.monotonic() + EAGER_FOR
        self._echo = True
        self._wake.set()

    def look(self, now: float) -> None:
        """Send the difference since the last look, if there is one."""
        unknown = not self.screen.audience.known
        if self._full or (unknown and now - self._last_full >= UNKNOWN_EVERY):
            self._full = False
            self._last_full = now
            self.encoder.forget()
        state = self.vm._view_state()
        self._mode = str(field(state, "mode"))
        message = self.encoder.update(state)
        if message is not None:
            self.screen.set_size(*self.encoder.size(state))
            self.screen.send_frame(message, now)
            self._last_sent = now

    def tell_status(self, now: float) -> None:
        """The status line, at most every STATUS_EVERY seconds; a sign of life when all is quiet."""
        if now - self._last_status >= STATUS_EVERY:
            vm = self.vm
            running = bool(vm.running)
            speed = float(vm.measured_mips or 0.0) if running else 0.0
            status = {
                "state": str(vm.state),
                "running": running,
                "mode": self._mode,
                "speed": "" if not running else f"{speed:.1f} MIPS" if speed < 99.95 else f"{speed:.0f} MIPS",
                "time": clock_text(float(vm.time)),
            }
            if status != self.screen.status:
                self.screen.status = status
                self._last_status = now
        if now - self._last_sent >= BEAT_EVERY:
            self.screen.beat(now)
            self._last_sent = now

    def interval(self, now: float) -> float:
        """Seconds until the next look."""
        lag = self.screen.audience.lag(now)
        for late, slow in SLOW:
            if lag > late:
                return slow
        if now < self._eager_until:
            return EAGER
        return FRAME if self.vm.running else IDLE

    def _loop(self) -> None:
        while not self._closed and self.screen.comm is not None:
            now = time.monotonic()
            if not self.screen.audience.watching(now):
                self.screen.audience.restart()
                self._wake.wait(None if self.screen.audience.known else 1.0)
                self._wake.clear()
                continue
            pause = IDLE
            try:
                if (
                    self.vm.state == "failed"
                ):  # the next cell or button that asks gets the reason; looking must not take it away
                    self._stand_still(now, "failed")
                    self.after_look(self.vm)
                else:
                    self.look(now)
                    self.tell_status(now)
                    self.after_look(self.vm)
                    pause = self.interval(now) - (time.monotonic() - now)
                self._complaint = ""
            except Exception as error:  # a picture that cannot be had must not end the thread that shows the next
                if self._complain(error, now) == "closed":
                    self.after_look(self.vm)
                    return
            self._wake.wait(max(pause, 0.001))
            if self._echo:
                self._echo = False
                time.sleep(EAGER)
            self._wake.clear()

    def _complain(self, error: Exception, now: float) -> str:
        """Say what went wrong, once; the machine's state, so that a closed one ends the thread."""
        text = str(error) or type(error).__name__
        state = str(self.vm.state)
        self._stand_still(now, state)
        if text != self._complaint:
            self._complaint = text
            self.screen.say(text)
        return state

    def _stand_still(self, now: float, state: str) -> None:
        """The last picture stays, with another word below it."""
        self.screen.status = {**self.screen.status, "running": False, "state": state, "speed": ""}
        if now - self._last_sent >= BEAT_EVERY:
            self.screen.beat(now)
            self._last_sent = now

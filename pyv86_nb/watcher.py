"""What the guest has written since a moment: on the text screen and on COM1.

`vm.run(until="A:\\>")` must not be satisfied by a prompt that stood there before.  So each cell of the text screen carries the tick
at which it was last seen to change, and each byte of COM1 the tick at which it came; a text counts when it stands there now and at
least one of its characters was written after the moment asked about.

- A scroll is recognised (rows that are found again further up keep their ticks), so an old prompt that moves up stays old.  While the
  screen is being written, only a text counts that no row had in the same columns; two looks that see the same settle the rest.
- Several characters that vanish from one row between two looks mean that the row was cleared: all of it counts as written, so a prompt
  printed again at its old place after CLS is a new one.  A single one is a backspace and does not.
- Blanks match blanks that were never written ("login: "), and a text may run on from the end of a row to the next.
- A text that has satisfied a call is used up, with everything before it in reading order; what follows it can satisfy the next.

The screen is looked at often after a call and a key and while it changes, then when the VGA says that something was written (runner.py): a
text that appears and vanishes within half a millisecond of guest time may not be seen there, nor a prompt that leaves the screen exactly as
it was before.  On COM1 nothing is missed.
"""
from __future__ import annotations

import bisect
from collections.abc import Callable

import numpy as np

USED = -1                                                # a tick before every moment


class Screen:
    """Cells of the text screen with the tick of their last change."""

    def __init__(self, cells: Callable[[], np.ndarray]) -> None:
        self.cells = cells                               # uint16 (rows, columns), characters in the low byte; (0, 0) in graphics modes
        self.chars = self.sample = np.zeros((0, 0), np.uint8)            # as it last stood still; as last seen
        self.ticks = self.sample_ticks = np.zeros((0, 0), np.int64)
        self.changed = 0                                 # tick of the last change anywhere
        self.torn = False                                # `chars` was taken while the screen moved, perhaps in the middle of a scroll
        self.last: np.ndarray | None = None              # what `cells` answered last
        self.missed: tuple[bytes, int] | None = None     # the text and the tick of a search that found nothing on this sample

    @property
    def still(self) -> bool:
        """Whether two looks one after the other saw the same."""
        return self.sample is self.chars

    def look(self, now: int) -> None:
        cells = self.cells()
        if cells.size == 0 or cells is self.last and self.still:
            return
        self.last, self.missed = cells, None
        seen = (cells & 0xFF).astype(np.uint8)
        seen[seen == 0] = 0x20
        if seen.shape != self.chars.shape:
            self.chars = self.sample = np.full(seen.shape, 0x20, np.uint8)
            self.ticks = self.sample_ticks = np.full(seen.shape, USED, np.int64)
        moving = not np.array_equal(seen, self.sample)
        if moving:
            self.changed = now
        elif self.still:
            return
        came = origins(self.chars, seen) if self.torn else np.arange(len(seen)) + scrolled(self.chars, seen)
        from_old = came < len(seen)
        before, ticks = np.full_like(self.chars, 0x20), np.full_like(self.ticks, now)
        before[from_old], ticks[from_old] = self.chars[came[from_old]], self.ticks[came[from_old]]
        different = before != seen
        if moving:                                       # perhaps in the middle of a scroll: what stands where it stood is not new
            different &= self.chars != seen
            ticks[~different] = np.minimum(ticks, self.ticks)[~different]
        else:
            different |= ((different & (seen == 0x20)).sum(axis=1) > 1)[:, None]
        ticks[different] = now if moving else self.changed
        self.sample, self.sample_ticks = seen, ticks
        if not moving:
            self.chars, self.ticks, self.torn = seen, ticks, False

    def find(self, text: bytes, since: int, use: bool) -> bool:
        if self.missed == (text, since):
            return False
        flat, ticks = self.sample.tobytes(), self.sample_ticks.reshape(-1)
        solid = np.frombuffer(text, np.uint8) != 0x20
        at = flat.find(text)
        while at >= 0:
            if (ticks[at:at + len(text)][solid] > since).any() and (self.still or not self.stood(text, at)):
                if use:
                    self.use(at + len(text))
                return True
            at = flat.find(text, at + 1)
        self.missed = text, since
        return False

    def stood(self, text: bytes, at: int) -> bool:
        """Whether some row had the text in the same columns when the screen last stood still: then it may be on its way up."""
        before, n = self.chars.tobytes(), self.chars.shape[1]
        return any(before.startswith(text, i) for i in range(at % n, len(before), n))

    def use(self, end: int) -> None:
        """Everything before this cell has been answered for."""
        self.missed = None
        self.torn = self.torn or not self.still
        self.chars, self.ticks = self.sample, self.sample_ticks
        self.ticks.reshape(-1)[:end] = USED


def scrolled(old: np.ndarray, new: np.ndarray) -> int:
    """By how many rows the screen moved up: the smallest shift under which the most rows that are not blank are found again."""
    rows = len(old)
    filled = (old != 0x20).any(axis=1)
    best, shift = int((filled & (old == new).all(axis=1)).sum()), 0
    for s in range(1, rows):
        kept = filled[s:]
        if int(kept.sum()) <= best:
            break
        n = int((kept & (old[s:] == new[:rows - s]).all(axis=1)).sum())
        if n > best:
            best, shift = n, s
    return shift


def origins(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The row of a torn screen that each row has come from: the nearest one like it, in its place or below; itself where there is none."""
    alike = (new[:, None, :] == old[None, :, :]).all(axis=2) & (old != 0x20).any(axis=1)[None, :]
    alike &= np.arange(len(old))[None, :] >= np.arange(len(new))[:, None]
    return np.where(alike.any(axis=1), alike.argmax(axis=1), np.arange(len(new)))


class Line:
    """Bytes of a serial line with the tick of each arrival."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.starts: list[tuple[int, int]] = []          # (tick, index of the first byte that came then)
        self.used = 0
        self.missed: tuple[bytes, int, int] | None = None    # the text and the tick of a search that found nothing, and how far it went

    def came(self, data: bytes, now: int) -> None:
        if data:
            self.starts.append((now, len(self.data)))
            self.data += data

    @property
    def changed(self) -> int:
        return self.starts[-1][0] if self.starts else 0

    def find(self, text: bytes, since: int, use: bool) -> bool:
        searched = 0
        if self.missed is not None and self.missed[:2] == (text, since):
            searched = self.missed[2]
            if searched == len(self.data):
                return False
        k = bisect.bisect_right(self.starts, (since, len(self.data)))
        first = self.starts[k][1] if k < len(self.starts) else len(self.data)
        at = self.data.find(text, max(first - len(text) + 1, self.used, searched - len(text) + 1, 0))      # its last character at least is newer
        if at < 0:
            self.missed = text, since, len(self.data)
        elif use:
            self.used = at + len(text)
        return at >= 0


class Watcher:
    """Both together, and the moments: the call, the last input, the last text used up."""

    QUIET = 0.5                                          # guest seconds of silence after which what was written is the answer

    def __init__(self, cells: Callable[[], np.ndarray], com1: Line) -> None:
        self.screen, self.com1 = Screen(cells), com1
        self.input = USED                                # tick of the last input; power-on is one, before every tick
        self.call, self.met = 0, USED                    # the moment the last call counted from; the tick at which it was satisfied

    def look(self, now: int) -> None:
        self.screen.look(now)

    @property
    def still(self) -> bool:
        return self.screen.still

    def restored(self, now: int) -> None:
        """The machine is at another moment: all that stands on the screen is old."""
        self.screen = Screen(self.screen.cells)
        for _ in range(2):
            self.screen.look(now)
        self.screen.ticks[:] = USED
        self.com1.used = len(self.com1.data)
        self.input, self.met = now, USED

    def had_input(self, now: int) -> None:
        self.look(now)
        self.input, self.met = now, USED

    def moment(self, now: int, ips: int, waiting: bool = False, typing: bool = False) -> int:
        """The tick from which a `run(until=text)` that begins now counts.

        waiting: an input has been made that is applied with this call.  typing: the last one has not reached the guest wholly.
        """
        self.look(now)
        written = max(self.screen.changed, self.com1.changed)
        if now == self.met and not waiting:              # straight after a satisfied call: what followed its text is not read yet
            return self.call
        if waiting:
            self.call = now
            return now
        answered = not typing and written > self.input and now - written > self.QUIET * ips
        self.call = now if answered or self.input == USED else min(now, self.input)
        return self.call

    def found(self, text: str, since: int, now: int, use: bool = True) -> bool:
        """Whether `text` stands on the screen or came from COM1, written after tick `since`."""
        raw = text.encode("cp437", "replace")
        if self.com1.find(text.encode("utf-8"), since, use) or self.screen.find(raw, since, use):
            if use:
                self.met = now
            return True
        return False

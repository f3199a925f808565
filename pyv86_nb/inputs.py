"""What reaches the machine from outside: queued by anybody, applied between two slices at a known tick, logged.

    post("key_down", "KeyA")     any thread, returns at once; an int tick is chosen when it is applied
    log                          [(tick, sequence, event)]: with the machine's first state, the whole run

Typed text is paced in guest time: a key every `KEY` guest seconds, and only when the keyboard has room for its codes, so the same text
typed at the same tick reaches the guest at the same ticks, whatever the host does.  The codes are logged as they are given, not the text.

Keys of a person go to the keyboard as they come.  When the host was busy for a moment they come all at once, more than the keyboard's sixteen
bytes hold: then they wait for room as typed text does, before it.  A guest that has read nothing for `DEAF` loses keys as on a real PC.
"""
from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

Event = tuple[Any, ...]
EDGE, RETRY = 0.006, 0.002                               # guest seconds from one key movement to the next; until the keyboard is asked again
DEAF = 250                                               # times that it was asked in vain, half a second, before a person's keys wait no longer
PERSON = ("key_down", "key_up", "release_all")           # what the page posts
NEVER = 1 << 62


class Inputs:
    """The queue, the typist and the log of one machine."""

    def __init__(self, apply: Callable[[Event], None], room: Callable[[], bool]) -> None:
        self.apply, self.room = apply, room
        self.waiting: deque[Event] = deque()             # append and popleft are atomic: any thread may post
        self.typing: deque[Event] = deque()              # key movements not yet made
        self.next_edge = NEVER
        self.ahead = 0                                   # so many at the front of `typing` are a person's, who comes before what is pasted
        self.refused = 0                                 # times in succession that the keyboard had no room
        self.moved = False                               # something has been applied since the runner last asked
        self.log: list[tuple[int, int, Event]] = []
        self.sequence = itertools.count()

    def post(self, event: Event) -> None:
        self.waiting.append(event)

    def type(self, movements: list[Event], now: int, place: int | None = None) -> None:
        """Queue key movements ("key_down" and "key_up" events) to be made one after another; the last, or from `place` in the queue."""
        if not self.typing:
            self.next_edge = max(now, 0 if self.next_edge == NEVER else self.next_edge)
        for n, movement in enumerate(movements, len(self.typing) if place is None else place): self.typing.insert(n, movement)

    @property
    def due(self) -> int:
        """The tick at which the typist wants to be asked; slices end there."""
        return self.next_edge if self.typing else NEVER

    def drain(self, now: int, ips: int) -> int:
        """Apply what waits, and a key movement if one is due; how many events were applied that somebody posted."""
        n = self.drain_posted(now)
        if self.typing and now >= self.next_edge:
            if self.room():
                self.refused = 0
                self.type_next(now)
                self.next_edge = now + max(int(EDGE * ips), 1)
            else:
                self.refused += 1
                while self.ahead and self.refused >= DEAF: self.type_next(now)
                self.next_edge = now + max(int(RETRY * ips), 1)
        return n

    def type_next(self, now: int) -> None:
        event = self.typing.popleft()
        self.ahead = max(self.ahead - 1, 0)
        self.note(now, event)
        self.apply(event)

    def drain_posted(self, now: int) -> int:
        n = 0
        while self.waiting:
            event = self.waiting.popleft()
            n += 1
            if event[0] in PERSON and self.too_quick():
                self.type([event], now, self.ahead)
                self.ahead += 1
                continue
            if event[0] not in ("paste", "movements"):   # logged key by key
                self.note(now, event)
            self.apply(event)
        return n

    def too_quick(self) -> bool:
        """Whether a person's key has to wait: for room, or for those before it."""
        if self.room():
            self.refused = 0
            return self.ahead > 0
        return self.refused < DEAF

    def note(self, now: int, event: Event) -> None:
        self.moved = True
        self.log.append((now, next(self.sequence), event))

"""What reaches the machine from outside: queued by anybody, applied between two slices at a known tick, logged.

    post("key_down", "KeyA")     any thread, returns at once; an int tick is chosen when it is applied
    log                          [(tick, sequence, event)]: with the machine's first state, the whole run

Typed text is paced in guest time: a key every `KEY` guest seconds, and only when the keyboard has room for its codes, so the same text
typed at the same tick reaches the guest at the same ticks, whatever the host does.  The codes are logged as they are given, not the text.
"""
from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

Event = tuple[Any, ...]
EDGE, RETRY = 0.006, 0.002                               # guest seconds from one key movement to the next; until the keyboard is asked again
NEVER = 1 << 62


class Inputs:
    """The queue, the typist and the log of one machine."""

    def __init__(self, apply: Callable[[Event], None], room: Callable[[], bool]) -> None:
        self.apply, self.room = apply, room
        self.waiting: deque[Event] = deque()             # append and popleft are atomic: any thread may post
        self.typing: deque[Event] = deque()              # key movements not yet made
        self.next_edge = NEVER
        self.moved = False                               # something has been applied since the runner last asked
        self.log: list[tuple[int, int, Event]] = []
        self.sequence = itertools.count()

    def post(self, event: Event) -> None:
        self.waiting.append(event)

    def type(self, movements: list[Event], now: int) -> None:
        """Queue key movements ("key_down" and "key_up" events) to be made one after another."""
        if not self.typing:
            self.next_edge = max(now, 0 if self.next_edge == NEVER else self.next_edge)
        self.typing.extend(movements)

    @property
    def due(self) -> int:
        """The tick at which the typist wants to be asked; slices end there."""
        return self.next_edge if self.typing else NEVER

    def drain(self, now: int, ips: int) -> int:
        """Apply what waits, and a key movement if one is due; how many events were applied that somebody posted."""
        n = self.drain_posted(now)
        if self.typing and now >= self.next_edge:
            if self.room():
                event = self.typing.popleft()
                self.note(now, event)
                self.apply(event)
                self.next_edge = now + max(int(EDGE * ips), 1)
            else:
                self.next_edge = now + max(int(RETRY * ips), 1)
        return n

    def drain_posted(self, now: int) -> int:
        n = 0
        while self.waiting:
            event = self.waiting.popleft()
            if event[0] not in ("paste", "movements"):   # logged key by key
                self.note(now, event)
            self.apply(event)
            n += 1
        return n

    def note(self, now: int, event: Event) -> None:
        self.moved = True
        self.log.append((now, next(self.sequence), event))

"""Who is looking: the browser pages that show a screen, and how well they keep up.

Every message from a page names the page (`c`, a random string) and says how many of its views can be seen at this moment
(`v`; none while the output is collapsed, scrolled away, or the tab is hidden).  When nobody looks nothing is sent; when a page is late
with its acknowledgements fewer frames are.  Times are seconds of a monotonic clock handed in by the caller.
"""

from __future__ import annotations

import threading
from collections import deque

ACK_EVERY = 0.25  # s: at most so often a frame asks to be acknowledged; each answer costs the kernel a message ...
ACK_SELDOM = 1.0  # ... and lights its busy sign for a moment, so a page that answers within PROMPT is asked this seldom
PROMPT = 0.1
GONE_AFTER = 5.0  # s without an answer, while another page answers, after which a page is taken for closed
UNKNOWN_FOR = 30.0  # s after being displayed during which a page that cannot report yet is assumed to be there


class Audience:
    """Pages, their visible views, and the age of the oldest unanswered question. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, tuple[int, float]] = {}
        self._asked: deque[tuple[int, float]] = deque()
        self._questions: deque[float] = deque(maxlen=64)  # when the last of them were asked, answered by somebody or not
        self._shown_at = float("-inf")
        self._next_ack = float("-inf")
        self._prompt = True

    def displayed(self, now: float) -> None:
        """A cell has just shown the screen. While it still runs, the page's reports may not reach the kernel."""
        with self._lock:
            self._shown_at = now

    def heard(self, page: str, views: int, now: float) -> None:
        """A message from `page`, which has `views` visible views."""
        with self._lock:
            self._pages[page] = (views, now)
            for other, (_, when) in list(self._pages.items()):
                if any(when <= asked < now - GONE_AFTER for asked in self._questions):
                    del self._pages[other]

    def left(self, page: str) -> None:
        """The page was closed or reloaded."""
        with self._lock:
            self._pages.pop(page, None)

    @property
    def known(self) -> bool:
        """Whether any page has reported yet."""
        return bool(self._pages)

    def views(self) -> int:
        """Visible views on all pages."""
        with self._lock:
            return sum(views for views, _ in self._pages.values())

    def watching(self, now: float) -> bool:
        """Whether anything should be sent."""
        with self._lock:
            if self._pages:
                return any(views for views, _ in self._pages.values())
            return now - self._shown_at < UNKNOWN_FOR

    def ask(self, number: int, now: float) -> bool:
        """Whether message `number` should ask for an acknowledgement."""
        with self._lock:
            if now < self._next_ack:
                return False
            self._next_ack = now + (ACK_SELDOM if self._prompt else ACK_EVERY)
            self._asked.append((number, now))
            self._questions.append(now)
            if len(self._asked) > 64:
                del self._asked[1]  # the oldest says how late the page is
            return True

    def answered(self, number: int, now: float) -> None:
        """A page has painted message `number`."""
        with self._lock:
            while self._asked and self._asked[0][0] <= number:
                _, when = self._asked.popleft()
                self._prompt = now - when < PROMPT

    def lag(self, now: float) -> float:
        """Age in seconds of the oldest question without an answer."""
        with self._lock:
            return now - self._asked[0][1] if self._asked else 0.0

    def restart(self) -> None:
        """Questions asked before a pause or a reload will not be answered."""
        with self._lock:
            self._asked.clear()
            self._questions.clear()
            self._next_ack = float("-inf")

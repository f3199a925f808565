"""One widget for each thing shown: several cells that show the same machine or line share it, and all of them are live."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

W = TypeVar("W")


class OneWidget(Generic[W]):
    """A widget by what it shows, made by `make` at the first call and again once it has been closed.

    shown: what a widget of this kind shows, for an `id` may come again when its object is gone.
    """

    def __init__(self, make: Callable[[Any], W], shown: Callable[[W], Any]) -> None:
        self._make, self._shown, self._lock = make, shown, threading.Lock()
        self._made: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def __call__(self, thing: Any) -> W:
        with self._lock:
            known = self._made.get(id(thing))
            if known is None or self._shown(known) is not thing or known.comm is None:
                known = self._made[id(thing)] = self._make(thing)
            return known

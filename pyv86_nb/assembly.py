"""A machine put together: memory, board and processor, and what the PC's rooms ask of them.

This is the only file of the VM that knows how the board names its chips.
"""
from __future__ import annotations

import datetime
import random
from typing import Any

import numpy as np

from . import screen as video
from .board import timers
from .options import Options
from .trace import EVENTS, IRQ

ROOM = 8                                                 # places in the keyboard's buffer that typed text leaves free


class Machine:
    """Memory, board, processor.  Everything here is called between two slices, by one thread at a time."""

    def __init__(self, memory: Any, board: Any, processor: Any, tick_zero: int = 0) -> None:
        self.memory, self.board, self.processor = memory, board, processor
        self.chips = board.chips
        self.vga = self.chips.get("vga")
        self.lines: list[Any] = []                       # watcher.Line of each serial port
        self.outgoing = [bytearray() for _ in range(4)]
        self.shift = 0                                   # ticks that changes of the rate have taken from the board's count

"""The board as jitted code sees it: the doors of the bus, filled with the addresses of the chips' own methods, compiled.

There is no second copy: the very function that Python calls is compiled for the chip's record.  A method that is not a
kernel has address 0, and the engine goes to Python for it.
"""
import numpy as np

from ..engine import unit
from ..engine.bus import Bus

BETWEEN = {"read": 0, "write": 1, "pin": 2, "deadline": 0, "memory read": 2, "memory write": 3, "level": 0}


def hot(board):
    """The Bus of a board that is powered on.  It shares the board's arrays: Python and jitted code see one state."""
    record = lambda chip: board.words.ctypes.data + 8 * chip.origin
    levels = {number: (o.entry.level, o.chip) for number, (o, _) in board.sampled.items()}
    entries = [(f, chip, kind) for f, chip, kind in board.doors] + [(f, chip, "level") for f, chip in levels.values()]
    kernels = {_name(f, chip, kind): (f, type(chip).dtype, BETWEEN[kind])
               for f, chip, kind in entries if getattr(f, "kernel", False)}
    at = unit.addresses(kernels)
    address = lambda f, chip, kind: at.get(_name(f, chip, kind), 0) if f else 0

    doors, samples = np.zeros((len(board.doors), 5), np.int64), np.zeros((1 + len(levels), 4), np.int64)
    for i, (number, (f, chip)) in enumerate(levels.items(), 1):
        pin = board.sampled[number][1]
        samples[i] = address(f, chip, "level"), record(chip), pin.word, pin.n
    sample = {number: i for i, number in enumerate(levels, 1)}
    for i, (f, chip, kind) in enumerate(board.doors):
        if f: doors[i] = (address(f, chip, kind), record(chip), chip.number, sample.get(chip.number, 0),
                          board.watched_chips.get(chip.number, 0))
    door = lambda chip, window, kind: board._door.get((chip, window, kind), 0)
    mmio = [(door(chip, window, "read"), door(chip, window, "write"), base) for base, chip, window in board.regions]
    return Bus(board.words, board.ports, doors, np.array(mmio, np.int64).reshape(-1, 3), board.dues, board.pin_table,
               board.pin_rows, board.source_table, samples, board.irq)


def _name(f, chip, kind):
    return f"{type(chip).__module__}.{type(chip).__qualname__}.{f.__qualname__}.{kind}".replace(" ", "_")

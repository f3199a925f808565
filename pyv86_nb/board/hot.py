"""The board as jitted code sees it: the doors of the bus, filled with the addresses of the chips' own methods, compiled.

There is no second copy: the very function that Python calls is compiled for the chip's record.  A method that is not a
kernel has address 0, and the engine goes to Python for it.
"""
from ..devices.virtio_blk import VirtioBlk
from ..engine import unit

OPTIONAL = (VirtioBlk,)                                  # compiled for all boards: who plugs one in does not wait for the compiler
BETWEEN = {"read": 0, "write": 1, "pin": 2, "deadline": 0, "memory read": 2, "memory write": 3, "level": 0, "sheet": 2}


def hot(board):
    """Let jitted code into the chips of a board that is powered on; answers its Bus.  Both readers share all state."""
    bus = board.bus
    record = lambda chip: board.words.ctypes.data + 8 * chip.origin
    levels = {number: (o.entry.level, o.chip) for number, (o, _) in board.sampled.items()}
    entries = board.doors[1:] + [(f, chip, "level") for f, chip in levels.values()]
    entries += [e for chip in OPTIONAL for e in kernels_of(chip)]
    hot_ones = {_name(*e): (e[0], _kind(e[1]).dtype, BETWEEN[e[2]]) for e in entries if hasattr(e[0], "kernel")}
    hot_ones |= {_name(f, chip, "sheet"): (f, dtype, BETWEEN["sheet"])
                 for chip in (*board.family(), *OPTIONAL) for f, dtype in chip.SHEETS.values()}
    at = unit.addresses(hot_ones)
    for chip in board.family():
        for n, sheet in chip.sheets.items(): sheet.compiled(at[_name(chip.SHEETS[n][0], chip, "sheet")])
    sample = {number: i for i, number in enumerate(levels, 1)}
    for number, (f, chip) in levels.items():
        pin = board.sampled[number][1]
        bus.samples[sample[number]] = at[_name(f, chip, "level")], record(chip), pin.word, pin.n
    for i, (f, chip, kind) in enumerate(board.doors[1:], 1):
        bus.doors[i] = (at.get(_name(f, chip, kind), 0), record(chip), chip.number, sample.get(chip.number, 0),
                        board.watched.get(chip.number, 0))
    return bus


def kernels_of(chip):
    """The compiled methods of a kind of chip: of its ports and memory windows, (method, chip, kind)."""
    return [(f, chip, key[2]) for key, (f, _) in chip.ports.items()] + [(f, chip, f"memory {key[1]}") for key, (f, _) in chip.windows.items()]


def _kind(chip): return chip if isinstance(chip, type) else type(chip)


def _name(f, chip, kind):
    return f"{_kind(chip).__module__}.{_kind(chip).__qualname__}.{f.__qualname__}.{kind}".replace(" ", "_")

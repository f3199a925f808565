"""Random traffic on a board, once through Python and once through jitted code: the same answers, the same bytes of state."""
import random

import numpy as np

from pyv86_nb.board.hot import hot
from pyv86_nb.engine import bus as B
from pyv86_nb.engine import irq_trace
from pyv86_nb.engine.cache import compiled

ADVANCE, READ, WRITE, HAND, INTA_IF, MEMORY_READ, MEMORY_WRITE = range(7)        # a row: (what, a, b, size)


@compiled
def play(bus, rows, answers, intr):
    """A stand-in for the engine: it does what the rows say, at full speed, and never sees Python."""
    for i in range(len(rows)):
        what, a, b, size = rows[i, 0], rows[i, 1], rows[i, 2], rows[i, 3]
        if what == ADVANCE: answers[i] = B.advance_to(bus, B.word(bus, B.NOW) + a)
        elif what == READ: answers[i] = B.port_read(bus, a, size)
        elif what == WRITE: answers[i] = B.port_write(bus, a, size, b)
        elif what == MEMORY_READ: answers[i] = B.mmio_read(bus, 0, a, size)
        elif what == MEMORY_WRITE: answers[i] = B.mmio_write(bus, 0, a, size, b)
        elif what == HAND:
            B.set_word(bus, a, b)
            B.settle(bus, B.ALL)
        elif B.word(bus, intr): answers[i] = B.acknowledge(bus)


def play_slowly(board, rows):
    """The same, said in Python."""
    answers = np.zeros(len(rows), np.int64)
    for i, (what, a, b, size) in enumerate(rows.tolist()):
        if what == ADVANCE: board.advance(a)
        elif what == READ: answers[i] = board.read(a, size)
        elif what == WRITE: board.write(a, b, size)
        elif what == MEMORY_READ: answers[i] = board.memory_read(0, a, size)
        elif what == MEMORY_WRITE: board.memory_write(0, a, size, b)
        elif what == HAND:
            board.words[a] = b
            board.settle()
        elif board.chips["cpu"].INTR: answers[i] = board.acknowledge()
    return answers


def same(slow, fast, rows, bus=None):
    """Play rows both ways; the answers."""
    answers, intr = np.zeros(len(rows), np.int64), 0
    if "cpu" in fast.chips: intr = fast.chips["cpu"].pins.INTR.word
    play((bus or hot(fast)).address, rows, answers, intr)
    expected = play_slowly(slow, rows)
    different = np.flatnonzero(answers != expected)
    assert not len(different), [(i, *rows[i], answers[i], expected[i]) for i in different[:3]]
    assert slow.diff(slow.array, fast.array) == []
    a, b = irq_trace.rows(slow.bus), irq_trace.rows(fast.bus)
    assert a.tobytes() == b.tobytes()
    return answers


def agree(make, reads, writes, seed, rounds=12, n=150, acts=(), waits=(0, 1, 30, 1000, 100_000, 1_000_000)):
    """make() -> a board; reads: ports; writes: {port: callable(random) -> value};
    acts: callables(board, random) between rounds."""
    r = random.Random(seed)
    slow, fast = make(), make()
    bus, heard = hot(fast), 0
    for _ in range(rounds):
        rows = []
        for _ in range(n):
            k = r.random()
            if k < .3: rows.append((ADVANCE, r.choice(waits), 0, 0))
            elif k < .6: rows.append((READ, r.choice(reads), 0, 1))
            else:
                p = r.choice(list(writes))
                rows.append((WRITE, p, writes[p](r), 1))
        rows = np.array(rows, np.int64)
        answers = same(slow, fast, rows, bus)
        heard += np.count_nonzero((rows[:, 0] == READ) & (answers != 0) & (answers != 255))
        act = r.random()
        for f in acts:
            for b in (slow, fast): f(b, random.Random(act))
        assert slow.diff(slow.array, fast.array) == []
    assert heard > 20, "the traffic has shown nothing"


def all_hot(board):
    """Names of the ports, pins, deadlines and memory windows that only Python can do."""
    doors = hot(board).doors
    return [f"{kind} {chip.name}.{f.__name__}" for i, (f, chip, kind) in enumerate(board.doors) if f and not doors[i, 0]]

"""Random traffic on a small board, once through Python and once through compiled code: the answers and every byte of state must be equal."""
import random

import numpy as np

from pyv86_nb.board import hot


def agree(make, reads, writes, seed, rounds=12, n=150, acts=(), waits=(0, 1, 30, 1000, 100_000, 1_000_000)):
    """make() -> a board; reads: ports; writes: {port: callable(random) -> value}; acts: callables(board, random) between rounds."""
    r = random.Random(seed)
    slow, fast = make(), make()
    h = hot.hot(fast)
    heard = 0
    for _ in range(rounds):
        rows = []
        for _ in range(n):
            k = r.random()
            if k < .3: rows.append((hot.ADVANCE, r.choice(waits), 0))
            elif k < .6: rows.append((hot.READ, r.choice(reads), 0))
            else:
                p = r.choice(list(writes))
                rows.append((hot.WRITE, p, writes[p](r)))
        rows = np.array(rows, np.int64)
        answers = np.zeros(len(rows), np.int64)
        hot.play(h, rows, answers, 2)
        for i, (what, a, v) in enumerate(rows.tolist()):
            if what == hot.ADVANCE: slow.advance(a); expected = 0
            elif what == hot.READ: expected = slow.read(a); heard += expected not in (0, 255)
            else: slow.write(a, v); expected = 0
            assert answers[i] == expected, (i, what, hex(a), v, answers[i], expected)
        assert slow.diff(slow.array, fast.array) == []
        act = r.random()
        for f in acts:
            for b in (slow, fast): f(b, random.Random(act))
        assert slow.diff(slow.array, fast.array) == []
    assert heard > 20, "the traffic has shown nothing"


def all_hot(board):
    """Names of the ports, pins and deadlines that only Python can do."""
    h = hot.hot(board)
    left = [f"read {p:X}" for p in board.readers if h.read[p, 0] == 0] + [f"write {p:X}" for p in board.writers if h.write[p, 0] == 0]
    left += [f"pin {c.name}.{e.name}" for w, (c, e) in board.inputs.items() if h.pin[w, 0] == 0]
    return left + [f"deadline {c.name}.{e.name}" for i, (c, e) in enumerate(board.dues) if h.due[i, 0] == 0]

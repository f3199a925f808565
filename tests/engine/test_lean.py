"""numba made quicker (engine/lean.py) makes what numba makes.   Oracle: Python, which runs the same functions."""
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from pyv86_nb.engine import lean, unit

RECORD = np.dtype([("a", "i8"), ("table", "i8", (8,))])
M = (1 << 64) - 1
kernel = numba.extending.register_jitable


class Stopped(Exception):
    pass


@kernel
def mixed(r, x, y):
    """Operators with constants and without, an array, an assignment in one branch only."""
    t = x
    for i in range(8):
        r.table[i] = (t << 3 ^ t >> 5) + i * y
        if r.table[i] & 1:
            t = -t // 3 if y % 7 > 2 else min(t, y) | 0x55
        t ^= r.table[(i + y) & 7]
    return t ** 2 + (x if x < y else 0)


@kernel
def picky(r, x):
    if x % 3 == 0:
        raise Stopped
    return r.a - x


@kernel
def through(r, x): return picky(r, x) + 1


def caught(r, x, y, now):
    r.a = now
    try:
        return through(r, x) + mixed(r, x, y)
    except Exception:
        return -r.a


def alone(x): return ~x & 0xFF


FUNCTIONS = {"caught": (caught, RECORD, 2), "alone": (alone, None, 1)}


def main():
    at, keep = unit._load(unit.build(FUNCTIONS), FUNCTIONS)
    record = np.zeros(1, RECORD)
    for line in sys.stdin:
        x, y, now = map(int, line.split())
        record[:] = 0
        print(unit.SIGNATURE(at["caught"])(record.ctypes.data, x, y, 0, now), *record["table"][0].tolist(), unit.SIGNATURE(at["alone"])(x, 0, 0, 0, 0))


@pytest.mark.parametrize("quick", [False, True])
def test_compiled_functions_do_what_python_does(quick):
    numbers = [(x, y, x - y) for x in (-5, 0, 1, 2, 3, 100, 12345) for y in (-9, 0, 1, 6, 77)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | ({"PYV86_LEAN": "1"} if quick else {})
    if not quick:
        environment.pop("PYV86_LEAN", None)
    out = subprocess.run([sys.executable, __file__], input="\n".join(" ".join(map(str, n)) for n in numbers), env=environment, text=True,
                         stdout=subprocess.PIPE, check=True, timeout=300).stdout
    for (x, y, now), line in zip(numbers, out.splitlines(), strict=True):
        record = np.rec.array(np.zeros(1, RECORD))[0]
        with np.errstate(over="ignore"):
            answer = caught(record, np.int64(x), np.int64(y), now)
        assert [int(v) for v in line.split()] == [int(answer), *record.table.tolist(), alone(x)], (x, y, now)


def test_numba_is_as_it_was_afterwards():
    owners = [(owner, name) for owner, name, _ in lean.changes()]
    before = [vars(owner)[name] for owner, name in owners]
    with pytest.raises(ZeroDivisionError), lean.lean():
        assert all(vars(owner)[name] is not old for (owner, name), old in zip(owners, before, strict=True))
        raise ZeroDivisionError
    assert [vars(owner)[name] for owner, name in owners] == before


if __name__ == "__main__":
    main()

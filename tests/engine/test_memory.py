"""What a bus master moves in many pieces is what it would move byte by byte.  Oracle: a dictionary of bytes, address by address."""
import random

import pytest

from pyv86_nb.engine import state as S
from pyv86_nb.engine.memory import PAGE, PhysicalMemory

RAM = 64 * PAGE


def made():
    """RAM, a ROM at 20h pages (reads a frame, writes vanish), a hole behind the RAM, one page seen twice."""
    m = PhysicalMemory(RAM)
    m.map(0, RAM, 0, 0)
    m.map(32 * PAGE, PAGE, 60 * PAGE, None)
    m.map(100 * PAGE, PAGE, 5 * PAGE, 5 * PAGE)
    return m


def frame(page, writing):
    """The byte in RAM at which a page begins, or None."""
    if page == 32: return None if writing else 60 * PAGE
    return {100: 5 * PAGE}.get(page, page * PAGE if page < 64 else None)


def spread(data, buffers):
    for b in buffers:
        b[:] = data[:len(b)]
        data = data[len(b):]
    assert not data, "there is room for all of it"


def regions(rng):
    """Whole pages, or anything; now and then where nobody is."""
    if rng.randrange(2): return [(rng.randrange(0, 104 if rng.randrange(4) == 0 else 32) * PAGE, rng.randrange(1, 4) * PAGE) for _ in range(rng.randrange(1, 9))]
    return [(rng.randrange(0, 104 * PAGE), rng.randrange(1, 9000)) for _ in range(rng.randrange(1, 5))]


@pytest.mark.parametrize("seed", range(80))
def test_pieces_go_where_bytes_would(seed):
    rng, m = random.Random(seed), made()
    told = set()
    m.written = lambda address, n: told.update(range(address // PAGE, (address + n - 1) // PAGE + 1))
    ram = bytearray(rng.randbytes(RAM))
    m.ram[:] = list(ram)
    m.flags[[3, 7, 31]] |= S.CODE
    where, touched = regions(rng), set()
    data = rng.randbytes(sum(n for _, n in where))
    if seed % 2: m.scatter(where, data)
    else: m.receive(where, lambda buffers: spread(data, buffers))
    for (address, n), at in zip(where, (sum(n for _, n in where[:i]) for i in range(len(where))), strict=True):
        for k in range(n):
            page, within = divmod(address + k, PAGE)
            f = frame(page, True)
            if f is None: continue
            ram[f + within] = data[at + k]
            touched.add(page)
    assert bytes(m.ram) == bytes(ram)
    assert all(m.flags[p] & S.DIRTY for p in touched) and touched & {3, 7, 31} <= told      # whoever translated code from there hears of it
    back = bytearray()
    for address, n in where:
        for k in range(n):
            page, within = divmod(address + k, PAGE)
            f = frame(page, False)
            back.append(0xFF if f is None else ram[f + within])
    assert m.gather(where) == bytes(back)

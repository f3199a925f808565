"""Where regions of guest memory lie in the host's: compiled, for bus masters are given a page here and a page there.

    regions      rows of (physical address, bytes), as a driver lists them
    stretches    rows of (host address, bytes), as far as frames follow each other; row 0 is for what there is to say of all
"""
from . import state as S
from .cache import compiled
from .raw import peek, poke
from .tables import at, put

PAGE, PAGES = 4096, 1 << 20
NOBODY = -1 << 40                                        # a host address: reads give FFh, writes vanish
HOLES, CODE = 1, 2                                       # what there was among them
HOST, READ_FRAME, WRITE_FRAME, FLAGS = range(4)          # addresses of the tables of a PhysicalMemory


@compiled
def stretches(tables, regions, n, writing, out):
    """Fill `out` from its row 1 on; what is written is noted as such.  Answers how many those are, or -1 when there is no room for them.
    Row 0 is the number of rows that `out` has, then how many bytes all are, and what was among them."""
    k, follows, seen, total, most = 0, NOBODY - 1, 0, 0, at(out, 0) - 1
    frames = at(tables, WRITE_FRAME if writing else READ_FRAME)
    for i in range(n):
        address, left = at(regions, 2 * i), at(regions, 2 * i + 1)
        total += max(left, 0)
        while left > 0:
            page, within = address >> 12 & (PAGES - 1), address & (PAGE - 1)
            size, frame = min(left, PAGE - within), peek(frames + 4 * page, 4)
            if writing:
                now = peek(at(tables, FLAGS) + page, 1) | S.DIRTY
                poke(at(tables, FLAGS) + page, 1, now)
                if now & S.CODE: seen |= CODE
            where = at(tables, HOST) + (frame - 1) * PAGE + within
            if frame == 0:
                where = NOBODY
                seen |= HOLES
            if where == follows: put(out, 2 * k + 1, at(out, 2 * k + 1) + size)
            else:
                if k == most: return -1
                k += 1
                put(out, 2 * k, where)
                put(out, 2 * k + 1, size)
            follows = where + size
            address, left = address + size, left - size
    put(out, 0, total)
    put(out, 1, seen)
    return k

"""Where regions of guest memory lie in the host's: compiled, for bus masters are given a page here and a page there.

    regions      rows of (physical address, bytes), as a driver lists them
    stretches    rows of (offset in the host buffer, bytes), as far as frames follow each other
"""
from . import state as S
from .cache import compiled
from .raw import peek, poke
from .tables import at, put

PAGE, PAGES = 4096, 1 << 20
NOBODY = -1 << 40                                        # an offset: reads give FFh, writes vanish
HOLES, CODE = 1, 2                                       # what there was among them


def rows(n, size):
    """At most so many stretches come of n regions of `size` bytes in all: each touches its whole pages and two more; and the row before them."""
    return 2 * n + (size >> 12) + 1


@compiled
def stretches(regions, n, frames, flags, out):
    """Fill `out` from its row 1 on; row 0 is how many those are, and what was among them.  With `flags`, not 0, pages are noted as written."""
    k, follows, seen = 0, NOBODY - 1, 0
    for i in range(n):
        address, left = at(regions, 2 * i), at(regions, 2 * i + 1)
        while left > 0:
            page, within = address >> 12 & (PAGES - 1), address & (PAGE - 1)
            size, frame = min(left, PAGE - within), peek(frames + 4 * page, 4)
            if flags:
                now = peek(flags + page, 1) | S.DIRTY
                poke(flags + page, 1, now)
                if now & S.CODE: seen |= CODE
            where = (frame - 1) * PAGE + within
            if frame == 0:
                where = NOBODY
                seen |= HOLES
            if where == follows: put(out, 2 * k + 1, at(out, 2 * k + 1) + size)
            else:
                k += 1
                put(out, 2 * k, where)
                put(out, 2 * k + 1, size)
            follows = where + size
            address, left = address + size, left - size
    put(out, 0, k)
    put(out, 1, seen)
    return k

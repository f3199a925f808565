"""Which instructions of a block leave flags, and in which form: most are written again before anybody could see them."""
from numba.extending import register_jitable as kernel

from . import decode as D
from .forms import CARRY_ONLY, PUT_OFF


@kernel
def live_flags(t, n, mode):
    """Mark, last to first, which instructions must leave flags: 1 because another reads them, CARRY_ONLY if no more than that is read,
    PUT_OFF because something may fault and show them, which happens rarely enough.  In `read` and `shown`, bit 0 is the carry, bit 1 the others."""
    read, shown = 0, 3
    for i in range(n - 1, -1, -1):
        d = t.d[i]
        r = t.rows[d[D.ROW]]
        w = 0 if r[D.STRING] and d[D.REP] else r[D.WRITES]
        d[D.FL] = 0
        counted = w == D.BY_COUNT or w == D.ROTATED
        if counted and d[D.SK] == D.IMMEDIATE and d[D.IMM] & 31 == 0:
            w = 0                                       # a shift by 0
        elif w == D.BY_COUNT and d[D.SK] == D.IMMEDIATE:
            w = 1                                       # writes all of them, and passes none through
        if w:
            mine = 2 if r[D.KEEPCF] else 3
            if read & mine == 1 and shown & 2 == 0:
                d[D.FL] = CARRY_ONLY
            else:
                d[D.FL] = 1 if read & mine else PUT_OFF if shown & mine else 0
            if w == 1:
                read &= ~mine
                shown &= ~mine
            elif d[D.FL]:
                read = 3                                # what it does not write stays
            if r[D.KEEPCF] and d[D.FL]:
                read |= 1
            if r[D.USES] == 1 and not r[D.KEEPCF]:
                read |= 1
            elif r[D.USES] == 3 and not (counted and w == 1):
                read = 3
        else:
            read |= r[D.USES]
        if (d[D.MEM] and r[D.NO_ACCESS] == 0) or r[D.FAULTS] or r[D.KERNEL] or r[D.UNIT] & ~mode:
            shown = 3

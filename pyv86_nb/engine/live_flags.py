"""Which instructions of a block leave flags, and in which form: most are written again before anybody could see them."""
from numba.extending import register_jitable as kernel

from . import decode as D
from .forms import CARRY_ONLY, PUT_OFF, SHORT

CARRY, RESULT, CARRIES = 1, 2, 4                         # what there is to read: the three words of isa/flags.py
EVERY = CARRY | RESULT | CARRIES


@kernel
def asked_by(cc):
    """The words that a condition is made of: F.condition."""
    k = cc >> 1
    if k == 1:
        return CARRY
    if k == 2 or k == 4 or k == 5:                      # SF and PF have a bit of CF's word, which is 0 but after POPF
        return RESULT
    return CARRY | RESULT if k == 3 else EVERY


@kernel
def live_flags(t, n, mode):
    """Mark, last to first, which instructions must leave flags:

        1            because another reads them
        SHORT        it reads no more than carry and result, which are left; the rest is put off
        PUT_OFF      something may fault and show them, which happens rarely enough
        CARRY_ONLY   no more than that is read, and nothing shows the others
    """
    read, shown = 0, EVERY
    for i in range(n - 1, -1, -1):
        d = t.d[i]
        r = t.rows[d[D.ROW]]
        w = 0 if r[D.STRING] and d[D.REP] else r[D.WRITES]
        d[D.FL] = 0
        counted = w == D.BY_COUNT or w == D.ROTATED
        if counted and d[D.SK] == D.IMMEDIATE:
            d[D.IMM] &= 31                              # handlers rely on it
            if d[D.IMM] == 0:
                w = 0                                   # a shift by 0
            elif w == D.BY_COUNT:
                w = 1                                   # writes all of them, and passes none through
        if w:
            mine = EVERY & ~CARRY if r[D.KEEPCF] else EVERY
            if read & mine == CARRY and shown & ~CARRY == 0:
                d[D.FL] = CARRY_ONLY
            elif read & mine:
                d[D.FL] = 1 if read & CARRIES else SHORT
            else:
                d[D.FL] = PUT_OFF if shown & mine else 0
            if w == 1:
                read &= ~mine
                shown &= ~mine
            elif d[D.FL]:
                read = EVERY                            # what it does not write stays
            if r[D.KEEPCF] and d[D.FL]:
                read |= CARRY
            if r[D.USES] == 1 and not r[D.KEEPCF]:
                read |= CARRY
            elif r[D.USES] == 3 and not (counted and w == 1):
                read = EVERY
        elif r[D.USES] == 3:
            read |= asked_by(d[D.CC]) if r[D.HAS_CC] else EVERY
        else:
            read |= r[D.USES]
        if (d[D.MEM] and r[D.NO_ACCESS] == 0) or r[D.FAULTS] or r[D.KERNEL] or r[D.UNIT] & ~mode:
            shown = EVERY

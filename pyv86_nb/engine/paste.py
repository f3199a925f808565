"""Pasting: handlers are copied to where they run, their holes filled and their temporaries renamed.   stencils.py, register_fields.py"""
from numba.extending import register_jitable as kernel

from .forms import SPECIAL_NAMES
from .raw import num, peek, poke
from .records import EXITS, HOLES
from .stencils import BYTE, BYTE_A, BYTE_B, CONSTANT, CONT, EXIT0, HERE, HOLE0, TAKEN, TLB_BASE

FIRST_EXIT = SPECIAL_NAMES.index(next(iter(EXITS)))
E_LINK, E_GONE = list(EXITS).index("exit_link"), list(EXITS).index("exit_gone")
IMM, RA, RB, BASE, WINDOW, LAST = (HOLE0 + i for i in range(len(HOLES)))


@kernel
def paste(t, sid, rec, at, names):
    """Copy handler sid to arena offset `at`, its holes filled from record rec and its temporaries renamed.  Answers the end."""
    n, source = t.size[sid], t.start[sid]
    for k in range(n):
        poke(t.arena + at + k, 1, t.bytes[source + k])
    if names:
        for k in range(t.first_field[sid], t.first_field[sid + 1]):
            f = t.fields[k]
            flip = names >> 4 * f[4] & 15
            low, high = t.arena + at + f[0], t.arena + at + f[2]
            poke(low, 1, peek(low, 1) ^ (flip & 7) << f[1])
            poke(high, 1, peek(high, 1) ^ (flip >> 3) << f[3])
    r = t.records[rec]
    for h in range(t.first[sid], t.first[sid + 1]):
        hole = t.holes[h]
        o, symbol, v = at + hole[0], hole[1], num(hole[2])
        if BYTE <= symbol <= BYTE_B:
            poke(t.arena + o, 1, v + (r.imm if symbol == BYTE else r.last if symbol == BYTE_A else r.window) & 255)
            continue
        if symbol == IMM:
            v += r.imm
        elif symbol == RA:
            v += r.ra
        elif symbol == RB:
            v += r.rb
        elif symbol == BASE:
            v += r.base
        elif symbol == WINDOW:
            v += r.window
        elif symbol == LAST:
            v += r.last
        elif symbol == TLB_BASE:
            v += t.tlb_base
        elif symbol == CONT:
            v += at + n - o
        elif symbol == CONSTANT:
            v += t.constants - o
        else:
            if symbol == TAKEN:
                r.link = o
            v += stub(t, rec, E_LINK if symbol == TAKEN else symbol - EXIT0) - o
        poke(t.arena + o, 4, v)
    return at + n


@kernel
def stub(t, rec, exit):
    """A small piece far away that tells the exit which record left."""
    at, sid = t.cold, t.special[FIRST_EXIT + exit]
    n, source = t.size[sid], t.start[sid]
    for k in range(n):
        poke(t.arena + at + k, 1, t.bytes[source + k])
    for h in range(t.first[sid], t.first[sid + 1]):
        hole = t.holes[h]
        o = at + hole[0]
        v = hole[2] + (rec if hole[1] == HERE else t.exits[exit] - o)
        poke(t.arena + o, 4, v)
    t.cold = at + n
    return at


@kernel
def jump_at(t, at, to):
    poke(t.arena + at, 1, 0xE9)
    poke(t.arena + at + 1, 4, to - (at + 5))

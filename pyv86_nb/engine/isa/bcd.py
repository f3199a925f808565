"""Decimal adjustment.   SDM vol. 2: DAA DAS AAA AAS AAM AAD.

Each takes AL (or AX) and the flags it reads, and returns what it writes.  Flags the manual leaves undefined follow the
result, as for an 8-bit operation.
"""
from .words import cut, pick, semantic


@semantic
def daa(al, cf, af):
    """(AL, CF, AF)."""
    low = pick((al & 15) > 9, 1, af)
    high = pick(al > 0x99, 1, cf)
    return cut(al + low * 6 + high * 0x60, 8), high, low


@semantic
def das(al, cf, af):
    """(AL, CF, AF).  A borrow out of AL - 6 sets CF too."""
    low = pick((al & 15) > 9, 1, af)
    high = pick(al > 0x99, 1, cf)
    borrow = pick(al < low * 6, 1, 0)
    return cut(al - low * 6 - high * 0x60, 8), high | borrow, low


@semantic
def aaa(ax, af):
    """(AX, CF = AF)."""
    adjust = pick((ax & 15) > 9, 1, af)
    return cut(ax + adjust * 0x106, 16) & 0xFF0F, adjust


@semantic
def aas(ax, af):
    adjust = pick((ax & 15) > 9, 1, af)
    return cut(ax - adjust * 0x106, 16) & 0xFF0F, adjust

"""Shifts, rotates and single bits.   SDM vol. 2: SHL SHR SAR ROL ROR RCL RCR SHLD SHRD BT BTS BTR BTC BSWAP.

Meanings as in alu.py.  The count is masked to five bits; OF, which the manual defines for counts of 1 only, is always
computed as for the last single shift.  Whether flags are written at all (not when the count is 0) is the row's business.
"""
from .words import cut, highest_bit, pick, semantic, sx, top


@semantic
def shl(a, b, cf, w):
    n = b & 31
    r = cut(a << n, w)
    c = ((a << n) >> w) & 1
    return r, c, (top(r, w) ^ c) << (w - 1)


@semantic
def shr(a, b, cf, w):
    n = b & 31
    c = (a << 1 >> n) & 1
    return a >> n, c, (top(a << 1 >> n, w)) << (w - 1)


@semantic
def sar(a, b, cf, w):
    n = b & 31
    c = (sx(a, w) << 1 >> n) & 1
    return cut(sx(a, w) >> n, w), c, 0


@semantic
def rol(a, b, cf, w):
    n = b & (w - 1)
    r = cut((a << n) | (a >> (w - n)), w)
    return r, r & 1, (top(r, w) ^ (r & 1)) << (w - 1)


@semantic
def ror(a, b, cf, w):
    n = b & (w - 1)
    r = cut((a >> n) | (a << (w - n)), w)
    return r, top(r, w), (top(r, w) ^ top(r, w - 1)) << (w - 1)


@semantic
def _count_through_carry(b, w):
    """The count modulo w + 1, without a division."""
    n = b & 31
    if w == 8:
        n = pick(n >= 18, n - 18, n)
        n = pick(n >= 9, n - 9, n)
    elif w == 16:
        n = pick(n >= 17, n - 17, n)
    return n


@semantic
def rcl(a, b, cf, w):
    n = _count_through_carry(b, w)
    x = a | cf << w
    x = (x << n) | (x >> (w + 1 - n))
    r, c = cut(x, w), (x >> w) & 1
    return r, c, (top(r, w) ^ c) << (w - 1)


@semantic
def rcr(a, b, cf, w):
    n = _count_through_carry(b, w)
    x = a | cf << w
    x = (x >> n) | (x << (w + 1 - n))
    r, c = cut(x, w), (x >> w) & 1
    return r, c, (top(r, w) ^ top(r, w - 1)) << (w - 1)


@semantic
def shld(a, b, n, w):
    """(result, CF, carries) of DEST shifted left, bits of SRC coming in.  16-bit counts above 16, undefined in the manual,
    go on with the bits of DEST, as processors do."""
    if w == 16:
        x = a << 32 | b << 16 | a
        r, c = cut(x >> (32 - n), 16), (x >> (48 - n)) & 1
    else:
        r, c = cut(a << n | b >> (32 - n), 32), (a >> (32 - n)) & 1
    return r, c, (top(r, w) ^ top(a, w)) << (w - 1)


@semantic
def shrd(a, b, n, w):
    x = a | b << 16 | a << 32 if w == 16 else a | b << 32
    r = cut(x >> n, w)
    return r, (a << 1 >> n if w == 32 else x << 1 >> n) & 1, (top(r, w) ^ top(a, w)) << (w - 1)


@semantic
def bt(a, b, cf, w):
    return a, (a >> (b & (w - 1))) & 1, 0


@semantic
def bts(a, b, cf, w):
    return a | (1 << (b & (w - 1))), (a >> (b & (w - 1))) & 1, 0


@semantic
def btr(a, b, cf, w):
    return a & ~(1 << (b & (w - 1))), (a >> (b & (w - 1))) & 1, 0


@semantic
def btc(a, b, cf, w):
    return a ^ (1 << (b & (w - 1))), (a >> (b & (w - 1))) & 1, 0


@semantic
def bswap(a, b, cf, w):
    """Of a 16-bit register the result is undefined; like processors since the 486 this gives 0."""
    r = (a >> 24) | ((a >> 8) & 0xFF00) | ((a & 0xFF00) << 8) | ((a & 0xFF) << 24)
    return (0 if w == 16 else r), cf, 0


@semantic
def byte_swap(a, b, cf, w):
    """MOVBE: the source with its bytes in the other order."""
    r = (b >> 24) | ((b >> 8) & 0xFF00) | ((b & 0xFF00) << 8) | ((b & 0xFF) << 24)
    return r >> (32 - w), cf, 0


@semantic
def lzcnt(a, b, cf, w):
    """CF tells of a source of 0, ZF of a count of 0 (OF, SF, PF, AF, undefined, are those of the count)."""
    r = pick(b == 0, w, w - 1 - highest_bit(b))
    return r, pick(b == 0, 1, 0), 0

"""AES, carry-less multiplication and CRC32C.   FIPS 197; SDM vol. 2, AESENC, PCLMULQDQ, CRC32.

Byte r + 4c of a wide word is row r, column c of the state.  Handlers are the host's instructions, or the plain reader's where it has
none; `crc32` is traced there.
"""
from .lanes import Wide

POLYNOMIAL, CASTAGNOLI = 0x11B, 0x82F63B78              # of GF(2**8); of CRC32C, its bits reversed
ROWS = [r + 4 * ((c + r) % 4) for c in range(4) for r in range(4)]        # ShiftRows: what comes to each place
BACK = [r + 4 * ((c - r) % 4) for c in range(4) for r in range(4)]


def multiply(a, b):
    """In GF(2**8)."""
    r = 0
    while b:
        r ^= a if b & 1 else 0
        a, b = (a << 1) ^ (POLYNOMIAL if a & 0x80 else 0), b >> 1
    return r


def substitute():
    """S-box: the inverse, and an affine map.   FIPS 197, 5.1.1"""
    box, powers = [], [1]
    while len(powers) < 255:
        powers.append(multiply(powers[-1], 3))           # all but 0 are powers of 3
    for x in range(256):
        y = powers[-powers.index(x)] if x else 0
        box.append(0x63 ^ y ^ rotated(y, 1) ^ rotated(y, 2) ^ rotated(y, 3) ^ rotated(y, 4))
    return box


def rotated(x, n): return (x << n | x >> 8 - n) & 255


BOX = substitute()
BOX_BACK = [BOX.index(x) for x in range(256)]


def bytes_of(x, f): return Wide.join([f(v) for v in x.lanes(8)], 8)


def mix(x, factors):
    """MixColumns: each column times a circulant matrix."""
    def column(v): return [multiply(v[0], factors[-r % 4]) ^ multiply(v[1], factors[(1 - r) % 4]) ^ multiply(v[2], factors[(2 - r) % 4])
                           ^ multiply(v[3], factors[(3 - r) % 4]) for r in range(4)]
    v = x.lanes(8)
    return Wide.join([y for c in range(0, 16, 4) for y in column(v[c:c + 4])], 8)


def encrypt_last(a, b, i): return bytes_of(a.choose(8, ROWS), BOX.__getitem__) ^ b
def decrypt_last(a, b, i): return bytes_of(a.choose(8, BACK), BOX_BACK.__getitem__) ^ b
def encrypt(a, b, i): return mix(bytes_of(a.choose(8, ROWS), BOX.__getitem__), (2, 3, 1, 1)) ^ b
def decrypt(a, b, i): return unmix(None, bytes_of(a.choose(8, BACK), BOX_BACK.__getitem__), i) ^ b
def unmix(a, b, i): return mix(b, (14, 11, 13, 9))


def key_assist(a, b, i):
    """AESKEYGENASSIST with a round constant of 0."""
    words = [bytes_of(Wide(32, b.word(32, k)), BOX.__getitem__).v for k in (1, 3)]
    return Wide.join([y for x in words for y in (x, x >> 8 | x << 24)], 32)


def round_constant(r, i): return r.each(32, lambda x, k: x ^ i * (k & 1), r.numbers(32))


def carry_less(a, b, i):
    """PCLMULQDQ of the low halves."""
    x, y, r = a.word(64), b.word(64), 0
    for k in range(64):
        r ^= x << k if y >> k & 1 else 0
    return Wide(128, r)


def halves(a, b, i):
    """The halves that the immediate chooses, as the low ones."""
    return a.put(64, 0, a.word(64, i & 1)), b.put(64, 0, b.word(64, i >> 4 & 1))


def crc32(a, b, w):
    """w bits more."""
    a = a ^ b
    for _ in range(w):
        a = a >> 1 ^ (a & 1) * CASTAGNOLI
    return a

"""Wide words: the 64 or 128 bits of an MMX or XMM register, known.   SDM vol. 1, 4.6, 9.2 and 10.2.

A lane is a word as everywhere, a bit pattern cut to its width w, and lane 0 is the lowest.  A meaning says what happens to one
lane; `each` does it to all of them, here in a loop.  engine/lanes_llvm.py has the same methods for bits that are not known yet, where
a lane of the text is a vector of LLVM's and all of them are done at once.
"""


class Wide:
    __slots__ = ("bits", "v")

    def __init__(self, bits, v):
        self.bits, self.v = bits, v & (1 << bits) - 1

    def lanes(self, w):
        return [self.v >> i & (1 << w) - 1 for i in range(0, self.bits, w)]

    @staticmethod
    def join(lanes, w):
        return Wide(w * len(lanes), sum((x & (1 << w) - 1) << i * w for i, x in enumerate(lanes)))

    def each(self, w, f, *others, to=0):
        """f of each lane (and of those of the others), cut to `to` bits, which is w if nothing is said."""
        return self.join([f(*x) for x in zip(self.lanes(w), *(o.lanes(w) for o in others), strict=True)], to or w)

    def pack(self, w, f, other):
        """f of each lane, then of each lane of the other, cut to half the width."""
        return self.join([f(x) for x in self.lanes(w) + other.lanes(w)], w // 2)

    def choose(self, w, order, other=None):
        """Lanes by number; those of the other come after ours."""
        lanes = self.lanes(w) + (other.lanes(w) if other is not None else [])
        return self.join([lanes[i] for i in order], w)

    def permute(self, control):
        """Each byte of the control says which of our bytes goes there; 0 where its bit 7 is set."""
        mine, n = self.lanes(8), self.bits // 8
        return self.join([0 if c & 0x80 else mine[c & n - 1] for c in control.lanes(8)], 8)

    def signs(self, w):
        """A word of the top bits of the lanes."""
        return sum((x >> w - 1) << i for i, x in enumerate(self.lanes(w)))

    def word(self, w, i=0):
        return self.v >> w * i & (1 << w) - 1

    def put(self, w, i, v):
        """With another lane number i."""
        lanes = self.lanes(w)
        lanes[i] = v
        return self.join(lanes, w)

    def low(self, bits): return Wide(bits, self.v)
    def extended(self, bits): return Wide(bits, self.v)
    def numbers(self, w): return self.join(list(range(self.bits // w)), w)
    def known(self, v): return Wide(self.bits, v)
    def from_word(self, bits, v): return Wide(bits, v)
    def __and__(self, o): return Wide(self.bits, self.v & o.v)
    def __or__(self, o): return Wide(self.bits, self.v | o.v)
    def __xor__(self, o): return Wide(self.bits, self.v ^ o.v)
    def __invert__(self): return Wide(self.bits, ~self.v)

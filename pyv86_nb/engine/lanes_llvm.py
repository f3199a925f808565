"""Wide words that are not known yet: what isa/lanes.py does, written as LLVM vectors.

`each` hands the text one Lanes for all lanes, in elements of twice the width, as words have room above theirs; LLVM narrows
that again, down to PADDSB for a sum that is clamped.
"""
import llvmlite.binding as llvm

from .val import Val

IS_X86 = llvm.get_process_triple().startswith("x86_64")
FEATURES = llvm.get_host_cpu_features() if IS_X86 else {}
DECLARATIONS = "declare <16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8>, <16 x i8>)\n" if IS_X86 else ""


def has(feature):
    """Whether the host is an x86-64 processor with it."""
    return bool(FEATURES.get(feature))


def type_of(bits):
    return "<2 x i64>" if bits == 128 else f"i{bits}"


class Lanes(Val):
    """n words at once."""
    __slots__ = ("n", "w")

    def __init__(self, text, ir, n, w, bit=None):
        super().__init__(text, ir, bit)
        self.n, self.w = n, w

    @property
    def type(self): return f"<{self.n} x i{self.w}>"

    def constant(self, x):
        """A word for all lanes."""
        if isinstance(x, Lanes):
            return x.text
        if isinstance(x, Val):
            one = self.ir.narrow(self.w, x)
            first = self.ir.name(f"insertelement {self.type} poison, i{self.w} {one}, i64 0")
            return self.ir.name(f"shufflevector {self.type} {first}, {self.type} poison, <{self.n} x i32> zeroinitializer")
        return f"splat (i{self.w} {x & (1 << self.w) - 1})"

    def _new(self, line, bit=None): return Lanes(self.ir.name(line), self.ir, self.n, self.w, bit)
    def _bin(self, op, a, b): return self._new(f"{op} {self.type} {self.constant(a)}, {self.constant(b)}")

    def _cmp(self, p, o):
        bit = self.ir.name(f"icmp {p} {self.type} {self}, {self.constant(o)}")
        return self._new(f"zext <{self.n} x i1> {bit} to {self.type}", bit)

    def pick(self, a, b):
        bit = self.bit or self.ir.name(f"icmp ne {self.type} {self}, zeroinitializer")
        return self._new(f"select <{self.n} x i1> {bit}, {self.type} {self.constant(a)}, {self.type} {self.constant(b)}")

    # repeated, so that Python asks us when a word stands on the left
    def __radd__(self, o): return self._bin("add", o, self)
    def __rsub__(self, o): return self._bin("sub", o, self)
    def __rmul__(self, o): return self._bin("mul", o, self)
    def __rand__(self, o): return self._bin("and", o, self)
    def __ror__(self, o): return self._bin("or", o, self)
    def __rxor__(self, o): return self._bin("xor", o, self)
    def __rlshift__(self, o): return self._bin("shl", o, self)
    def __rrshift__(self, o): return self._bin("ashr", o, self)
    def udivmod(self, d): raise TypeError("lanes are not divided")


class WideVal:
    __slots__ = ("bits", "text", "ir")

    def __init__(self, bits, text, ir):
        self.bits, self.text, self.ir = bits, text, ir

    def vector(self, w):
        """As LLVM's vector of lanes; and its type."""
        kind = f"<{self.bits // w} x i{w}>"
        if kind == type_of(self.bits):
            return self.text, kind
        return self.ir.name(f"bitcast {type_of(self.bits)} {self.text} to {kind}"), kind

    def of(self, w, vector, n):
        """A wide word of n lanes."""
        bits, kind = n * w, f"<{n} x i{w}>"
        if kind == type_of(bits):
            return WideVal(bits, vector, self.ir)
        return WideVal(bits, self.ir.name(f"bitcast {kind} {vector} to {type_of(bits)}"), self.ir)

    def _lanes(self, w, inner):
        text, kind = self.vector(w)
        n = self.bits // w
        return Lanes(text if inner == w else self.ir.name(f"zext {kind} {text} to <{n} x i{inner}>"), self.ir, n, inner)

    def _cut(self, lanes, to):
        text = lanes.text if lanes.w == to else self.ir.name(f"trunc {lanes.type} {lanes.text} to <{lanes.n} x i{to}>")
        return self.of(to, text, lanes.n)

    def each(self, w, f, *others, to=0):
        inner = min(64, max(2 * w, to))
        return self._cut(f(*(x._lanes(w, inner) for x in (self, *others))), to or w)

    def pack(self, w, f, other):
        """Nothing but clamping happens here, for which the width of the lanes is enough."""
        n = 2 * self.bits // w
        return self._cut(f(Lanes(self._shuffle(w, range(n), other), self.ir, n, w)), w // 2)

    def _shuffle(self, w, order, other):
        a, kind = self.vector(w)
        b = other.vector(w)[0] if other is not None else "poison"
        mask = ", ".join(f"i32 {i}" for i in order)
        return self.ir.name(f"shufflevector {kind} {a}, {kind} {b}, <{len(order)} x i32> <{mask}>")

    def choose(self, w, order, other=None):
        return self.of(w, self._shuffle(w, order, other), len(order))

    def permute(self, control):
        if self.bits == 64:
            mine = control & control.known(0x8787878787878787)
            return self.extended(128).permute(mine.extended(128)).low(64)
        a, c = self.vector(8)[0], control.vector(8)[0]
        if has("ssse3"):
            return self.of(8, self.ir.name(f"call <16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8> {a}, <16 x i8> {c})"), 16)
        out = self.known(0)
        for i in range(16):
            byte = control.word(8, i)
            out = out.put(8, i, (byte >> 7 == 0).pick(self.word(8, byte & 15), 0))
        return out

    def signs(self, w):
        text, kind = self.vector(w)
        n = self.bits // w
        bits = self.ir.name(f"icmp slt {kind} {text}, zeroinitializer")
        return self.ir.wide(n, self.ir.name(f"bitcast <{n} x i1> {bits} to i{n}"))

    def word(self, w, i=0):
        text, kind = self.vector(w)
        return self.ir.wide(w, self.ir.name(f"extractelement {kind} {text}, i64 {i}"))

    def put(self, w, i, v):
        text, kind = self.vector(w)
        one = self.ir.narrow(w, v)
        return self.of(w, self.ir.name(f"insertelement {kind} {text}, i{w} {one}, i64 {i}"), self.bits // w)

    def from_word(self, bits, v):
        return WideVal(bits, self.ir.narrow(bits, v), self.ir) if bits <= 64 else self.from_word(64, v).extended(128)

    def low(self, bits):
        if bits == self.bits:
            return self
        w = min(bits, 64)
        return self.from_word(bits, self.word(w)) if bits <= 64 else self

    def extended(self, bits):
        if bits == self.bits:
            return self
        if bits <= 64:
            return WideVal(bits, self.ir.name(f"zext i{self.bits} {self.text} to i{bits}"), self.ir)
        low = self.extended(64)
        return WideVal(128, self.ir.name(f"insertelement <2 x i64> zeroinitializer, i64 {low.text}, i64 0"), self.ir)

    def known(self, v):
        if self.bits <= 64:
            return WideVal(self.bits, str(v & (1 << self.bits) - 1), self.ir)
        return WideVal(128, f"<i64 {v & (1 << 64) - 1}, i64 {v >> 64 & (1 << 64) - 1}>", self.ir)

    def numbers(self, w): return self.known(sum(i << i * w for i in range(self.bits // w)))
    def _bin(self, op, o): return WideVal(self.bits, self.ir.name(f"{op} {type_of(self.bits)} {self.text}, {o.text}"), self.ir)
    def __and__(self, o): return self._bin("and", o)
    def __or__(self, o): return self._bin("or", o)
    def __xor__(self, o): return self._bin("xor", o)
    def __invert__(self): return self ^ self.known(-1)

"""An integer that is not known yet: arithmetic on it writes LLVM.  All of them are i64, as the words are."""
from contextlib import contextmanager


class Val:
    __slots__ = ("text", "ir", "bit")

    def __init__(self, text, ir, bit=None):
        self.text, self.ir, self.bit = text, ir, bit

    def _bin(self, op, a, b): return self.ir.val(f"{op} i64 {a}, {b}")
    def __add__(self, o): return self._bin("add", self, o)
    def __radd__(self, o): return self._bin("add", o, self)
    def __sub__(self, o): return self._bin("sub", self, o)
    def __rsub__(self, o): return self._bin("sub", o, self)
    def __neg__(self): return self._bin("sub", 0, self)
    def __mul__(self, o): return self._bin("mul", self, o)
    __rmul__ = __mul__
    def __and__(self, o): return self._bin("and", self, o)
    __rand__ = __and__
    def __or__(self, o): return self._bin("or", self, o)
    __ror__ = __or__
    def __xor__(self, o): return self._bin("xor", self, o)
    __rxor__ = __xor__
    def __lshift__(self, o): return self._bin("shl", self, o)
    def __rlshift__(self, o): return self._bin("shl", o, self)
    def __rshift__(self, o): return self._bin("ashr", self, o)
    def __rrshift__(self, o): return self._bin("ashr", o, self)
    def __invert__(self): return self._bin("xor", self, -1)
    def udivmod(self, d): return self._bin("udiv", self, d), self._bin("urem", self, d)

    def _cmp(self, p, o):
        c = self.ir.name(f"icmp {p} i64 {self}, {o}")
        return Val(str(self.ir.val(f"zext i1 {c} to i64")), self.ir, c)

    def __eq__(self, o): return self._cmp("eq", o)
    def __ne__(self, o): return self._cmp("ne", o)
    def __lt__(self, o): return self._cmp("slt", o)
    def __le__(self, o): return self._cmp("sle", o)
    def __gt__(self, o): return self._cmp("sgt", o)
    def __ge__(self, o): return self._cmp("sge", o)

    # 64-bit patterns: isa/wide.py
    def lsr(self, x, n): return self._bin("lshr", x, n)
    def ult(self, a, b):
        c = self.ir.name(f"icmp ult i64 {a}, {b}")
        return Val(str(self.ir.val(f"zext i1 {c} to i64")), self.ir, c)

    def umulh(self, a, b):
        wide = [self.ir.name(f"zext i64 {x} to i128") for x in (a, b)]
        product = self.ir.name(f"mul i128 {wide[0]}, {wide[1]}")
        product = self.ir.name(f"lshr i128 {product}, 64")
        return self.ir.val(f"trunc i128 {product} to i64")

    def clz(self): return self.ir.val(f"call i64 @llvm.ctlz.i64(i64 {self}, i1 false)")

    def truth(self): return self.bit or self.ir.name(f"icmp ne i64 {self}, 0")
    def pick(self, a, b): return self.ir.val(f"select i1 {self.truth()}, i64 {a}, i64 {b}")
    def __bool__(self): raise TypeError("semantics may not branch on guest data: use pick()")
    def __str__(self): return self.text
    __hash__ = None


class Bounded(Val):
    """A number up to `most`, a power of two less one: whoever cuts it to that has it already."""
    __slots__ = ("most",)

    def __init__(self, text, ir, most):
        super().__init__(text, ir)
        self.most = most

    def __and__(self, o): return self if isinstance(o, int) and o & self.most == self.most else super().__and__(o)
    __hash__ = None


class Text:
    """LLVM text of one function body."""

    def __init__(self): self.lines, self.later, self.n = [], [], 0

    @contextmanager
    def cold(self, label):
        """What is written inside goes to the end, where LLVM turns "if not c: jump out" into one conditional jump."""
        self.lines, self.later = self.later, self.lines
        self.label(label)
        yield
        self.lines, self.later = self.later, self.lines

    def put(self, line): self.lines.append("  " + line)
    def label(self, name): self.lines.append(name + ":")

    def name(self, line):
        self.n += 1
        self.put(f"%x{self.n} = {line}")
        return f"%x{self.n}"

    def val(self, line): return Val(self.name(line), self)
    def wide(self, bits, x): return self.val(f"zext i{bits} {x} to i64") if bits < 64 else Val(x, self)
    def narrow(self, bits, v): return self.name(f"trunc i64 {v} to i{bits}") if bits < 64 else str(v)
    def load(self, bits, p): return self.wide(bits, self.name(f"load i{bits}, ptr {p}, align 1"))
    def store(self, bits, v, p): self.put(f"store i{bits} {self.narrow(bits, v)}, ptr {p}, align 1")
    def at(self, p, off): return self.name(f"getelementptr i8, ptr {p}, i64 {off}")

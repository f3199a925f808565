"""The kernels of chips, from Python text to LLVM: a small language read by a small compiler.

A kernel works on int64 and on one chip's record; nothing else.  numba takes 90 ms for each of them, this 3 ms, because there
is nothing to infer: a value is an int, a record, an array of a record, or known now.

    statements    = (also to tuples, fields, array elements), augmented =, if, while, for _ in range() or in a tuple,
                  break, continue, return (nothing, an int, a tuple of ints, a record, an array), pass, a call,
                  raise, try with one plain except: an exception is only a way out, it says nothing
    expressions   + - * // % << >> & | ^ ~, comparisons (chained; `in` a tuple), and or not (their values, as Python's),
                  a if b else c, names, record.field, record.array[i], constant_tuple[i], kernel(...),
                  min max abs int bool len

What is known now (constants of modules, closures, arithmetic on them) is computed now, and an `if` on it takes one side.
As in numba: ints wrap at 64 bits, // and % round down and by zero give zero.  Indices are not checked and not negative:
whatever they come from must be cut to fit, as hardware does.  Anything else is refused with its file and line.
"""
from __future__ import annotations

import ast
import builtins
import functools
import linecache
import math
import operator
from collections.abc import Hashable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from .isa.words import pick, udivmod
from .raw import call, copy, enter, io, num, peek, poke
from .tables import at, at16, put

ARITHMETIC = {ast.Add: ("add", operator.add), ast.Sub: ("sub", operator.sub), ast.Mult: ("mul", operator.mul),
              ast.LShift: ("shl", operator.lshift), ast.RShift: ("ashr", operator.rshift), ast.BitAnd: ("and", operator.and_),
              ast.BitOr: ("or", operator.or_), ast.BitXor: ("xor", operator.xor), ast.FloorDiv: ("sdiv", operator.floordiv),
              ast.Mod: ("srem", operator.mod)}
COMPARE = {ast.Eq: ("eq", operator.eq), ast.NotEq: ("ne", operator.ne), ast.Lt: ("slt", operator.lt), ast.LtE: ("sle", operator.le),
           ast.Gt: ("sgt", operator.gt), ast.GtE: ("sge", operator.ge)}
SIZES = {"i1": "i8", "u1": "i8", "i2": "i16", "u2": "i16", "i4": "i32", "u4": "i32", "i8": "i64"}


class Value:
    """An int not known yet: the name of an LLVM value."""
    kind = None
    def __init__(self, name): self.name = name


class Record:
    """A record at an address."""
    def __init__(self, dtype, address): self.kind, self.dtype, self.address = dtype, dtype, address


class Array:
    """Elements of a record, in rows and columns from an address."""
    def __init__(self, dtype, shape, address):
        self.kind, self.dtype, self.shape, self.address = (dtype, shape), dtype, shape, address


def thing(kind, address):
    """What is at an address: kind is a dtype, or (dtype, shape) of an array."""
    return Array(*kind, address) if isinstance(kind, tuple) else Record(kind, address)


class Refused(TypeError):
    """A kernel says something that kernels cannot."""


def build(functions: dict[str, tuple[Any, np.dtype, int]]) -> bytes:
    """The object file of functions {name: (python function, dtype of its record, ints between the record and `now`)}.

    Each is i64 name(i64 record, i64 a, i64 b, i64 c, i64 now).  Raises Refused.
    """
    host = machine()
    module = llvm.parse_assembly(text(functions))
    builder = llvm.create_pass_builder(host, llvm.create_pipeline_tuning_options(2))
    builder.getModulePassManager().run(module, builder)
    return host.emit_object(module)


def machine():
    """LLVM's idea of this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True)


def text(functions):
    """The LLVM text of the same."""
    unit = Unit()
    for name, (f, dtype, between) in functions.items():
        inner, says = unit.function(f, (dtype, *[None] * (between + 1)))
        args = ["%record", "%a", "%b", "%c"][:1 + between] + ["%now"]
        call = f'call {says.shape} @"{inner}"({", ".join("i64 " + a for a in args)})'
        value = f"extractvalue {says.shape} %v, 1" if says.raises else "add i64 %v, 0"
        unit.done.append(f'define i64 @"{name}"(i64 %record, i64 %a, i64 %b, i64 %c, i64 %now) {{\n'
                         f'  %v = {call}\n  %w = {value}\n  ret i64 %w\n}}')
    return "\n".join(unit.done)


@functools.cache
def _functions(path):
    """{first line: its node} of a file's functions."""
    tree = ast.parse("".join(linecache.getlines(path)), path)
    return {min([n.lineno, *(d.lineno for d in n.decorator_list)]): n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


class Says(NamedTuple):
    """What a function gives back: whether it raised, if it may; then an int or an address (1), or so many ints."""
    words: int = 1
    kind: Any = None                                     # of what is at the address
    raises: bool = False

    @property
    def shape(self):
        n = self.words + self.raises
        return "i64" if n == 1 else "{" + ", ".join(["i64"] * n) + "}"


class Unit:
    """All functions of an object file, each once for the kinds of its arguments."""
    def __init__(self): self.done, self.known, self.tuples = [], {}, {}

    def declare(self, line):
        if line not in self.done: self.done.append(line)

    def function(self, f, kinds):
        """(name, Says) of a function for arguments of these kinds: None an int, else as for `thing`."""
        f = getattr(f, "py_func", f)                     # numba's wrapper around it
        key = f, tuple(kinds)
        if key not in self.known:
            self.known[key] = None                       # so that a recursion is noticed
            name, says = f"k{len(self.known)}.{f.__name__}", Says()
            while True:                                  # again, until what it says is what was expected
                body = Body(self, f, kinds, name, says)
                llvm_text = body.emit()
                if body.found == says: break
                says = body.found
            self.done.append(llvm_text)
            self.known[key] = name, says
        if self.known[key] is None: raise Refused(f"{f.__name__} calls itself")
        return self.known[key]


class Body:
    """One function on its way to text."""

    def __init__(self, unit, f, kinds, name, says):
        self.unit, self.f, self.name, self.says, self.found = unit, f, name, says, Says()
        code = f.__code__
        self.path, self.node = code.co_filename, _functions(code.co_filename).get(code.co_firstlineno)
        if self.node is None: raise Refused(f"{f.__qualname__}: its source is not in {self.path}")
        self.cells = dict(zip(code.co_freevars, (c.cell_contents for c in f.__closure__ or ()), strict=True))
        self.lines, self.slots, self.count, self.loops, self.handlers, self.returned = [], [], 0, [], [], False
        names = [a.arg for a in self.node.args.args]
        if len(names) != len(kinds): raise self.refuse(self.node, f"{f.__name__} takes {len(names)} arguments, not {len(kinds)}")
        self.kinds, self.local = kinds, {}
        self.assigned = {n.id for n in ast.walk(self.node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for i, (n, kind) in enumerate(zip(names, kinds, strict=True)):
            if kind is None: self.store_local(n, Value(f"%a{i}"))
            else: self.local[n] = thing(kind, f"%a{i}")

    def emit(self):
        if not self.block(self.node.body): self.give([])
        args = ", ".join(f"i64 %a{i}" for i in range(len(self.kinds)))
        head = f'define internal {self.says.shape} @"{self.name}"({args}) {{'
        return "\n".join([head, "entry:", *self.slots, *self.lines, "}"])

    def give(self, words, raised=0):
        """Return: words are operands, zeros if there are too few."""
        words = [*[str(raised)] * self.says.raises, *words]
        shape = self.says.shape
        if shape == "i64": return self.out(f"ret i64 {words[0] if words else 0}")
        whole = "zeroinitializer"
        for i, w in enumerate(words): whole = self.new(f"insertvalue {shape} {whole}, i64 {w}, {i}").name
        self.out(f"ret {shape} {whole}")

    def refuse(self, node, why):
        return Refused(f"{self.path}:{node.lineno}: in the kernel {self.f.__name__}, {why}")

    # text
    def out(self, line): self.lines.append("  " + line)

    def new(self, expression):
        self.count += 1
        self.out(f"%t{self.count} = {expression}")
        return Value(f"%t{self.count}")

    def fresh(self, what):
        self.count += 1
        return f"{what}{self.count}"

    def begin(self, label):
        self.lines.append(f"{label}:")

    def go(self, label):
        self.out(f"br label %{label}")
        return True

    def branch(self, test, yes, no): self.out(f"br i1 {self.truth(test)}, label %{yes}, label %{no}")

    def slot(self):
        """A word of the frame."""
        name = self.fresh("%s")
        self.slots += [f"  {name} = alloca i64", f"  store i64 0, ptr {name}"]
        return name

    # values
    def int(self, v, node=None):
        """An operand."""
        if isinstance(v, Value): return v.name
        if isinstance(v, (int, np.integer)): return str((int(v) + (1 << 63)) % (1 << 64) - (1 << 63))
        raise self.refuse(node or self.node, f"{what(v)} is not an int")

    def truth(self, v):
        if not isinstance(v, Value): return "true" if v else "false"
        return self.new(f"icmp ne i64 {v.name}, 0").name

    def bit(self, v): return self.new(f"zext i1 {v.name} to i64")

    def pointer(self, address): return self.new(f"inttoptr i64 {address} to ptr").name

    def load(self, dtype, address, node):
        if dtype.str[1:] not in SIZES: raise self.refuse(node, f"{dtype} is not an int64")
        size = SIZES[dtype.str[1:]]
        v = self.new(f"load {size}, ptr {self.pointer(address)}")
        return v if size == "i64" else self.new(f"{'sext' if dtype.kind == 'i' else 'zext'} {size} {v.name} to i64")

    def store(self, dtype, address, v, node):
        size, v = SIZES[dtype.str[1:]], self.int(v, node)
        if size != "i64": v = self.new(f"trunc i64 {v} to {size}").name
        self.out(f"store {size} {v}, ptr {self.pointer(address)}")

    def at(self, address, offset): return self.new(f"add i64 {address}, {offset}").name if offset else address

    def store_local(self, name, v):
        """Names of ints are words of the frame; so is the address of what else has a name, which keeps its kind."""
        old = self.local.get(name)
        if isinstance(v, (Record, Array)):
            if old is None: old = self.local[name] = thing(v.kind, self.slot())
            if isinstance(old, str) or old.kind != v.kind or not old.address.startswith("%s"):
                raise self.refuse(self.node, f"{name} is two things")
            self.out(f"store i64 {v.address}, ptr {old.address}")
        else:
            if isinstance(old, (Record, Array)): raise self.refuse(self.node, f"{name} is two things")
            if old is None: old = self.local[name] = self.slot()
            self.out(f"store i64 {self.int(v)}, ptr {old}")

    # STATEMENTS: true if what follows is not reached

    def block(self, statements):
        for s in statements:
            f = getattr(self, "do_" + type(s).__name__, None)
            if f is None: raise self.refuse(s, f"there is no {type(s).__name__.lower()}")
            if f(s): return True
        return False

    def do_Pass(self, s): pass

    def do_Expr(self, s):
        if not isinstance(s.value, ast.Constant): self.value(s.value)

    def do_Assign(self, s):
        first = s.targets[0]
        if isinstance(s.value, ast.Tuple) and all(isinstance(t, ast.Tuple) and len(t.elts) == len(s.value.elts) for t in s.targets):
            values = [self.value(e) for e in s.value.elts]           # all before the first is stored
        elif isinstance(first, ast.Tuple): values = self.unpacked(s.value, len(first.elts))
        else: values = self.value(s.value)
        for t in s.targets: self.assign(t, values)

    def unpacked(self, node, n):
        v = self.value(node, tuples=True)
        if not isinstance(v, list) or len(v) != n: raise self.refuse(node, f"{n} values are wanted")
        return v

    def do_AnnAssign(self, s): self.assign(s.target, self.value(s.value))

    def do_AugAssign(self, s):
        place = self.place(s.target)
        self.put(place, self.arithmetic(s, type(s.op), self.get(place, s), self.value(s.value)), s)

    def assign(self, target, v):
        if isinstance(target, ast.Tuple):
            for t, x in zip(target.elts, v, strict=True): self.assign(t, x)
        else: self.put(self.place(target), v, target)

    def place(self, t):
        """Where a target is, its parts evaluated once."""
        if isinstance(t, ast.Name): return t.id
        if isinstance(t, ast.Attribute): return self.field(t)
        if isinstance(t, ast.Subscript): return self.element(t)
        raise self.refuse(t, "that is no place for a value")

    def get(self, place, node):
        if isinstance(place, str): return self.name_value(place, node)
        return self.load(*place, node)

    def put(self, place, v, node):
        if isinstance(place, str): self.store_local(place, v)
        elif isinstance(place, tuple): self.store(*place, v, node)
        else: raise self.refuse(node, "only ints can be stored in a record")

    def do_If(self, s):
        test = self.value(s.test)
        if not isinstance(test, Value): return self.block(s.body if test else s.orelse)
        yes, no, end = self.fresh("yes"), self.fresh("no"), self.fresh("end")
        self.branch(test, yes, no)
        reached = False
        for label, body in ((yes, s.body), (no, s.orelse)):
            self.begin(label)
            if not self.block(body): reached = self.go(end)
        if reached: self.begin(end)
        return not reached

    def do_While(self, s):
        if s.orelse: raise self.refuse(s, "a loop has no else")
        head, body, end = self.fresh("while"), self.fresh("body"), self.fresh("end")
        self.go(head)
        self.begin(head)
        self.branch(self.value(s.test), body, end)
        self.begin(body)
        self.loop(s.body, head, end)
        self.begin(end)

    def do_For(self, s):
        call = s.iter
        if s.orelse: raise self.refuse(s, "a loop has no else")
        if not isinstance(call, ast.Call): return self.each(s, self.value(call, tuples=True))
        if self.value(call.func) is not range: raise self.refuse(s, "a loop is over range() or a tuple")
        limits = [self.value(a) for a in call.args]
        start, stop, step = {1: (0, *limits, 1), 2: (*limits, 1), 3: tuple(limits)}[len(limits)]
        if not isinstance(step, int): raise self.refuse(s, "the step of a range is a constant")
        i, head, body, on, end = self.slot(), *(self.fresh(n) for n in ("for", "body", "on", "end"))
        stop = self.int(stop, s)
        self.out(f"store i64 {self.int(start, s)}, ptr {i}")
        self.go(head)
        self.begin(head)
        now = self.new(f"load i64, ptr {i}")
        self.branch(self.bit(self.new(f"icmp {'slt' if step > 0 else 'sgt'} i64 {now.name}, {stop}")), body, end)
        self.begin(body)
        self.assign(s.target, now)
        self.loop(s.body, on, end)
        self.begin(on)
        self.out(f"store i64 {self.new(f'add i64 {now.name}, {step}').name}, ptr {i}")
        self.go(head)
        self.begin(end)

    def each(self, s, values):
        """A loop over a tuple: its body for each of them."""
        if not isinstance(values, (tuple, list)): raise self.refuse(s, "a loop is over range() or a tuple")
        end = self.fresh("end")
        for v in values:
            on = self.fresh("on")
            self.assign(s.target, v)
            self.loop(s.body, on, end)
            self.begin(on)
        self.go(end)
        self.begin(end)

    def loop(self, body, again, end):
        self.loops.append((again, end))
        if not self.block(body): self.go(again)
        self.loops.pop()

    def do_Break(self, s): return self.go(self.loops[-1][1])
    def do_Continue(self, s): return self.go(self.loops[-1][0])

    def do_Return(self, s):
        v = self.value(s.value, tuples=True) if s.value else 0
        words = v if isinstance(v, list) else [v]
        kind = v.kind if isinstance(v, (Record, Array)) else None
        if self.returned and (len(words), kind) != self.found[:2]:
            raise self.refuse(s, "one return answers something else than another")
        self.returned, self.found = True, self.found._replace(words=len(words), kind=kind)
        if (len(words), kind) != self.says[:2]: self.out("unreachable")      # the first time: only to see what it is
        else: self.give([v.address] if kind else [self.int(w, s) for w in words])
        return True

    def do_Raise(self, s):
        self.throw()
        return True

    def throw(self):
        """To the handler of this function, or of who has called it."""
        if self.handlers: return self.go(self.handlers[-1])
        self.found = self.found._replace(raises=True)
        self.give([], raised=1) if self.says.raises else self.out("unreachable")

    def do_Try(self, s):
        if len(s.handlers) != 1 or s.handlers[0].name or s.orelse or s.finalbody: raise self.refuse(s, "a try has one plain except")
        caught, end, reached = self.fresh("caught"), self.fresh("end"), False
        self.handlers.append(caught)
        if not self.block(s.body): reached = self.go(end)
        self.handlers.pop()
        self.begin(caught)
        if not self.block(s.handlers[0].body): reached = self.go(end)
        if reached: self.begin(end)
        return not reached

    # EXPRESSIONS

    def value(self, e, tuples=False):
        """A Value, a Record, an Array, something known now; with tuples, also a list of ints."""
        if isinstance(e, ast.Tuple) and tuples: return [self.value(x, tuples=True) for x in e.elts]
        f = getattr(self, "of_" + type(e).__name__, None)
        if f is None: raise self.refuse(e, f"there is no {type(e).__name__.lower()}")
        v = f(e)
        if isinstance(v, list) and not tuples: raise self.refuse(e, f"one value is wanted, not {len(v)}")
        return v

    def of_Constant(self, e): return e.value
    def of_Tuple(self, e): return tuple(self.known(x) for x in e.elts)
    def of_Name(self, e): return self.name_value(e.id, e)

    def known(self, e):
        v = self.value(e)
        if isinstance(v, (Value, Record, Array)): raise self.refuse(e, "a tuple here is of constants")
        return v

    def name_value(self, name, node):
        v = self.local.get(name)
        if isinstance(v, str): return self.new(f"load i64, ptr {v}")
        if v is not None: return thing(v.kind, self.new(f"load i64, ptr {v.address}").name) if v.address.startswith("%s") else v
        if name in self.assigned: raise self.refuse(node, f"{name} has no value yet")
        for scope in (self.cells, self.f.__globals__, vars(builtins)):
            if name in scope: return scope[name]
        raise self.refuse(node, f"there is no {name}")

    def of_Attribute(self, e):
        base = self.value(e.value)
        if not isinstance(base, (Record, Array, Value)): return getattr(base, e.attr)
        place = self.field(e, base)
        return self.load(*place, e) if isinstance(place, tuple) else place

    def field(self, e, base=None):
        """(dtype, address) of an int field; a Record or Array of another."""
        base = base or self.value(e.value)
        if not isinstance(base, Record): raise self.refuse(e, f"{what(base)} has no fields")
        if e.attr not in (base.dtype.fields or ()): raise self.refuse(e, f"the record has no field {e.attr}")
        dtype, offset = base.dtype.fields[e.attr][:2]
        address = self.at(base.address, offset)
        if dtype.subdtype: return Array(*dtype.subdtype, address)
        return Record(dtype, address) if dtype.fields else (dtype, address)

    def of_Subscript(self, e):
        base = self.value(e.value)
        if isinstance(base, Array):
            place = self.element(e, base)
            return self.load(*place, e) if isinstance(place, tuple) else place
        i = self.value(e.slice)
        if not isinstance(i, Value): return base[i]
        if isinstance(base, (Record, Value)): raise self.refuse(e, f"{what(base)} has no elements")
        return self.new(f"load i64, ptr {self.new(f'getelementptr i64, ptr {self.table(base, e)}, i64 {i.name}').name}")

    def element(self, e, base=None):
        """(dtype, address) of an int; an Array or Record of another."""
        base = base or self.value(e.value)
        if not isinstance(base, Array): raise self.refuse(e, f"{what(base)} has no elements that can be written")
        address, shape = base.address, base.shape
        for x in e.slice.elts if isinstance(e.slice, ast.Tuple) else [e.slice]:
            step = base.dtype.itemsize * math.prod(shape[1:])
            offset = self.arithmetic(e, ast.Mult, self.value(x), step)
            address, shape = self.new(f"add i64 {address}, {self.int(offset, e)}").name, shape[1:]
        if shape: return Array(base.dtype, shape, address)
        return Record(base.dtype, address) if base.dtype.fields else (base.dtype, address)

    def table(self, values, node):
        """A constant sequence, as a table of the unit."""
        try: key = tuple(map(int, values))
        except (TypeError, ValueError): raise self.refuse(node, f"{what(values)} is not a sequence of ints") from None
        if key not in self.unit.tuples:
            name = self.unit.tuples[key] = f"@table{len(self.unit.tuples)}"
            self.unit.done.append(f"{name} = internal constant [{len(key)} x i64] [{', '.join(f'i64 {v}' for v in key)}]")
        return self.unit.tuples[key]

    def of_BinOp(self, e): return self.arithmetic(e, type(e.op), self.value(e.left), self.value(e.right))

    def arithmetic(self, node, op, a, b):
        if op not in ARITHMETIC: raise self.refuse(node, f"there is no {op.__name__}")
        name, now = ARITHMETIC[op]
        if not isinstance(a, (Value, Record, Array)) and not isinstance(b, (Value, Record, Array)): return now(a, b)
        if name in ("sdiv", "srem"): return self.divide(name, a, b, node)
        return self.new(f"{name} i64 {self.int(a, node)}, {self.int(b, node)}")

    def divide(self, op, a, b, node):
        """Rounding down; by zero gives zero, where the processor would trap."""
        x, y = self.int(a, node), self.int(b, node)
        by = y
        if isinstance(b, Value): by = self.new(f"select i1 {self.new(f'icmp eq i64 {y}, 0').name}, i64 1, i64 {y}").name
        rest = self.new(f"srem i64 {x}, {by}").name
        signs = self.new(f"icmp slt i64 {self.new(f'xor i64 {rest}, {by}').name}, 0").name
        low = self.new(f"and i1 {signs}, {self.new(f'icmp ne i64 {rest}, 0').name}").name
        if op == "sdiv": v = self.new(f"sub i64 {self.new(f'sdiv i64 {x}, {by}').name}, {self.new(f'zext i1 {low} to i64').name}")
        else: v = self.new(f"add i64 {rest}, {self.new(f'select i1 {low}, i64 {by}, i64 0').name}")
        return self.new(f"select i1 {self.new(f'icmp eq i64 {y}, 0').name}, i64 0, i64 {v.name}") if isinstance(b, Value) else v

    def of_UnaryOp(self, e):
        v, op = self.value(e.operand), type(e.op)
        if not isinstance(v, Value): return {ast.USub: operator.neg, ast.Invert: operator.invert, ast.Not: operator.not_}[op](v)
        if op is ast.USub: return self.new(f"sub i64 0, {v.name}")
        if op is ast.Invert: return self.new(f"xor i64 {v.name}, -1")
        if op is ast.Not: return self.bit(self.new(f"icmp eq i64 {v.name}, 0"))
        raise self.refuse(e, f"there is no {op.__name__}")

    def of_Compare(self, e):
        if len(e.ops) == 1: return self.compare(e, e.ops[0], self.value(e.left), e.comparators[0])
        middle = [self.value(x) for x in (e.left, *e.comparators)]           # all of them: a kernel's ints cannot fail
        whole = True
        for a, op, b in zip(middle, e.ops, middle[1:], strict=False):
            whole = self.arithmetic(e, ast.BitAnd, whole, self.compare(e, op, a, b))
        return whole

    def compare(self, e, op, a, b):
        if isinstance(op, (ast.In, ast.NotIn)):
            found = False
            for x in b.elts if isinstance(b, ast.Tuple) else self.value(b):
                found = self.arithmetic(e, ast.BitOr, found, self.compare(e, ast.Eq(), a, self.value(x) if isinstance(x, ast.AST) else x))
            return found if isinstance(op, ast.In) else self.arithmetic(e, ast.BitXor, found, 1)
        if type(op) not in COMPARE: raise self.refuse(e, f"there is no {type(op).__name__}")
        b, (name, now) = self.value(b) if isinstance(b, ast.AST) else b, COMPARE[type(op)]
        if not isinstance(a, Value) and not isinstance(b, Value): return now(a, b)
        return self.bit(self.new(f"icmp {name} i64 {self.int(a, e)}, {self.int(b, e)}"))

    def of_BoolOp(self, e):
        """The value that decides, as Python's; the rest is not evaluated."""
        stop_at = isinstance(e.op, ast.Or)
        slot, end = None, self.fresh("end")
        for i, x in enumerate(e.values):
            v = self.value(x)
            last = i == len(e.values) - 1
            if not isinstance(v, Value) and slot is None:
                if bool(v) == stop_at or last: return v
                continue
            slot = slot or self.slot()
            self.out(f"store i64 {self.int(v, e)}, ptr {slot}")
            if not isinstance(v, Value) and bool(v) == stop_at or last: break
            on = self.fresh("on")
            self.branch(v, *((end, on) if stop_at else (on, end)))
            self.begin(on)
        self.go(end)
        self.begin(end)
        return self.new(f"load i64, ptr {slot}")

    def of_IfExp(self, e):
        test = self.value(e.test)
        if not isinstance(test, Value): return self.value(e.body if test else e.orelse, tuples=True)
        yes, no, end, slots, kinds = self.fresh("yes"), self.fresh("no"), self.fresh("end"), [], set()
        self.branch(test, yes, no)
        for label, x in ((yes, e.body), (no, e.orelse)):
            self.begin(label)
            v = self.value(x, tuples=True)
            words = v if isinstance(v, list) else [v]
            kinds.add((len(words), getattr(v, "kind", None)))
            slots = slots or [self.slot() for _ in words]
            for slot, w in zip(slots, words, strict=False):
                self.out(f"store i64 {w.address if isinstance(w, (Record, Array)) else self.int(w, e)}, ptr {slot}")
            self.go(end)
        self.begin(end)
        if len(kinds) > 1: raise self.refuse(e, "the two sides are not of a kind")
        (n, kind), words = kinds.pop(), [self.new(f"load i64, ptr {slot}") for slot in slots]
        if kind: return thing(kind, words[0].name)
        return words if n > 1 else words[0]

    def of_Call(self, e):
        f = self.value(e.func)
        if e.keywords: raise self.refuse(e, "arguments are given by place")
        args = [self.value(a) for a in e.args]
        if f in (int, bool, num) and len(args) == 1: return self.compare(e, ast.NotEq(), args[0], 0) if f is bool else args[0]
        if f is len and isinstance(args[0], Array): return args[0].shape[0]
        if f in (min, max, abs, len) and not any(isinstance(a, Value) for a in args): return f(*args)
        if f is abs: args = [args[0], self.arithmetic(e, ast.Sub, 0, args[0])]
        if f in (min, max, abs):
            name = "smin" if f is min else "smax"
            return functools.reduce(lambda a, b: self.least(name, a, b, e), args)
        if getattr(f, "record", None): return Record(f.record, self.int(args[0], e))
        if isinstance(f, Hashable) and f in VERBS: return VERBS[f](self, e, *args)
        return self.call(e, f, args)

    def call(self, e, f, args):
        """Another kernel."""
        if not callable(f) or not hasattr(getattr(f, "py_func", f), "__code__"): raise self.refuse(e, f"{what(f)} is not a kernel")
        name, says = self.unit.function(f, [getattr(a, "kind", None) for a in args])
        given = ", ".join(f"i64 {a.address if isinstance(a, (Record, Array)) else self.int(a, e)}" for a in args)
        whole = self.new(f'call {says.shape} @"{name}"({given})')
        if says.shape == "i64": words = [whole]
        else: words = [self.new(f"extractvalue {says.shape} {whole.name}, {i}") for i in range(says.words + says.raises)]
        if says.raises:
            bad, good = self.fresh("bad"), self.fresh("good")
            self.branch(words.pop(0), bad, good)
            self.begin(bad)
            self.throw()
            self.begin(good)
        if says.kind: return thing(says.kind, words[0].name)
        return words if len(words) > 1 else words[0]

    def least(self, name, a, b, node):
        a, b = self.int(a, node), self.int(b, node)
        test = self.new(f"icmp {'slt' if name == 'smin' else 'sgt'} i64 {a}, {b}").name
        return self.new(f"select i1 {test}, i64 {a}, i64 {b}")


# VERBS: what raw.py, tables.py and isa/words.py say in Python, in LLVM

def peek_any(address, size):
    if size == 1: return peek(address, 1)
    if size == 2: return peek(address, 2)
    return peek(address, 4) if size == 4 else peek(address, 8)


def poke_any(address, size, value):
    if size == 1: poke(address, 1, value)
    elif size == 2: poke(address, 2, value)
    elif size == 4: poke(address, 4, value)
    else: poke(address, 8, value)


def through_door(cpu, what, address, size, value): return call(cpu.io, cpu.io_data, what, address, size, value)


def word(size): return np.dtype(f"u{size}" if size < 8 else "i8")


def _peek(b, e, address, size):
    if isinstance(size, Value): return b.call(e, peek_any, [address, size])
    return b.load(word(size), b.int(address, e), e)


def _poke(b, e, address, size, value):
    if isinstance(size, Value): return b.call(e, poke_any, [address, size, value])
    b.store(word(size), b.int(address, e), value, e)
    return 0


def _copy(b, e, to, source, n):
    b.unit.declare("declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)")
    to, source = b.pointer(b.int(to, e)), b.pointer(b.int(source, e))
    b.out(f"call void @llvm.memmove.p0.p0.i64(ptr {to}, ptr {source}, i64 {b.int(n, e)}, i1 false)")
    return 0


def _call(b, e, f, *args):
    return b.new(f"call i64 {b.pointer(b.int(f, e))}({', '.join('i64 ' + b.int(a, e) for a in args)})")


def _enter(b, e, f, *args):
    given = ", ".join("ptr " + b.pointer(b.int(a, e)) for a in args)
    return b.new(f"call i64 {b.pointer(b.int(f, e))}({given})")


def _pick(b, e, c, yes, no):
    if not isinstance(c, Value): return yes if c else no
    return b.new(f"select i1 {b.truth(c)}, i64 {b.int(yes, e)}, i64 {b.int(no, e)}")


def _udivmod(b, e, n, d):
    n, d = b.int(n, e), b.int(d, e)
    return [b.new(f"udiv i64 {n}, {d}"), b.new(f"urem i64 {n}, {d}")]


def _table(size):
    def place(b, e, table, i):
        return b.new(f"add i64 {b.int(table, e)}, {b.int(b.arithmetic(e, ast.Mult, i, size), e)}").name
    return place


def _at(size):
    place = _table(size)
    return lambda b, e, table, i: b.load(word(size), place(b, e, table, i), e)


def _put(b, e, table, i, value):
    b.store(word(8), _table(8)(b, e, table, i), value, e)
    return 0


VERBS = {peek: _peek, poke: _poke, copy: _copy, call: _call, enter: _enter, pick: _pick, udivmod: _udivmod,
         io: lambda b, e, *args: b.call(e, through_door, list(args)), at: _at(8), at16: _at(2), put: _put}


def what(v):
    """In a message."""
    return {Value: "an int", Record: "a record", Array: "an array"}.get(type(v)) or repr(v)[:40]

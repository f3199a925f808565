"""Expressions of a kernel: from Python's syntax tree to values."""
from __future__ import annotations

import ast
import builtins
import functools
import math
import operator
from collections.abc import Hashable

from ..raw import num
from .emit import Array, Record, Text, Value, thing, what
from .verbs import VERBS

ARITHMETIC = {ast.Add: ("add", operator.add), ast.Sub: ("sub", operator.sub), ast.Mult: ("mul", operator.mul),
              ast.LShift: ("shl", operator.lshift), ast.RShift: ("ashr", operator.rshift), ast.BitAnd: ("and", operator.and_),
              ast.BitOr: ("or", operator.or_), ast.BitXor: ("xor", operator.xor), ast.FloorDiv: ("sdiv", operator.floordiv),
              ast.Mod: ("srem", operator.mod)}
COMPARE = {ast.Eq: ("eq", operator.eq), ast.NotEq: ("ne", operator.ne), ast.Lt: ("slt", operator.lt), ast.LtE: ("sle", operator.le),
           ast.Gt: ("sgt", operator.gt), ast.GtE: ("sge", operator.ge)}


class Expressions(Text):
    """`of_X` is the value of the syntax X."""

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

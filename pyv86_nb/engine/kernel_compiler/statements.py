"""Statements of a kernel, and the function around them."""
from __future__ import annotations

import ast
import functools
import linecache

from .emit import Array, Record, Refused, Says, Value, thing
from .expressions import Expressions


@functools.cache
def _functions(path):
    """{first line: its node} of a file's functions."""
    tree = ast.parse("".join(linecache.getlines(path)), path)
    return {min([n.lineno, *(d.lineno for d in n.decorator_list)]): n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


class Body(Expressions):
    """One function on its way to text."""

    def __init__(self, unit, f, kinds, name, says):
        code = f.__code__
        super().__init__(code.co_filename, f)
        self.unit, self.name, self.says, self.found = unit, name, says, Says()
        self.node = _functions(code.co_filename).get(code.co_firstlineno)
        if self.node is None or self.node.name != code.co_name:
            raise Refused(f"{f.__qualname__}: {self.path} is not what was imported; start Python again")
        self.cells = dict(zip(code.co_freevars, (c.cell_contents for c in f.__closure__ or ()), strict=True))
        self.loops, self.handlers, self.returned = [], [], False
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

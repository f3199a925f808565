"""What raw.py, tables.py and isa/words.py say in Python, in LLVM: verb(body, syntax, arguments) -> value."""
import ast

import numpy as np

from ..isa.words import pick, udivmod
from ..raw import call, copy, enter, io, peek, poke
from ..tables import at, at16, put
from .emit import Value


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

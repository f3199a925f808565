"""Kernels, of the engine and of chips, from Python text to LLVM: a small language read by a small compiler.

A kernel works on int64 and on records; nothing else.  numba takes 50 to 90 ms for each of them, this 9 ms, of which LLVM
has 8, because there is nothing to infer: a value is an int, a record, an array of a record, or known now.

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

from typing import Any

import llvmlite.binding as llvm
import numpy as np

from .emit import Refused, Says
from .statements import Body

__all__ = ["Refused", "build", "machine", "text"]


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

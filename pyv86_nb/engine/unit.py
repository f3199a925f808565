"""Many kernels in one object file: compiled once per machine, cached as a whole, loaded in milliseconds.

Each is reached by address as

    i64 f(i64 record, i64 a, i64 b, i64 c, i64 now)

whatever it takes: a function of (record, x, now) is given a as x.  The record is the address of a numpy record.
"""
import ctypes
import hashlib

import llvmlite.binding as llvm

from . import cache, kernel_compiler

SIGNATURE = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 6)
_loaded = {}                                             # file name -> ({function name: address}, what keeps them alive)


def addresses(functions):
    """{name: address} of functions, given as {name: (python function, numpy dtype of its record, arguments between)}."""
    name = file_name(functions)
    if name not in _loaded:
        data = cache.load(name)
        if data is None:
            cache.misses.append(f"unit of {len(functions)} functions")
            data = kernel_compiler.build(functions)
            cache.save(name, data)
        _loaded[name] = load(data, functions)
    return _loaded[name][0]


def file_name(functions):
    """Where the unit of these functions is kept."""
    what = "\n".join(f"{n} {d.descr} {k}" for n, (_, d, k) in sorted(functions.items()))
    return f"unit-{hashlib.sha256(what.encode()).hexdigest()[:24]}.o"


def load(data, names):
    """({name: address}, what keeps them alive) of an object file."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), kernel_compiler.machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    return {n: engine.get_function_address(n) for n in names}, engine

"""Many small functions in one object file: compiled once per machine, cached as a whole, loaded in milliseconds.

A numba function of its own costs a quarter of a second as a `cfunc` and a file each; here all of them go into one LLVM
module, share what they call, and are written as machine code.  Each is reached by address as

    i64 f(i64 record, i64 a, i64 b, i64 c, i64 now)

whatever it takes: a function of (record, x, now) is given a as x.  The record is the address of a numpy record; a function
without one (its dtype is None) takes the words alone.
"""
import contextlib
import ctypes
import hashlib
import os

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import compiler_lock
from numba.core.ccallback import _CFuncCompiler
from numba.core.compiler import Compiler
from numba.core.registry import cpu_target

from . import cache
from .lean import lean

I64 = ir.IntType(64)
SIGNATURE = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 6)
_loaded = {}                                             # file name -> ({function name: address}, what keeps them alive)


class _Compiler(_CFuncCompiler):
    """Stops short of machine code: the module is linked with the others first."""
    def _customize_flags(self, flags):
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_compile = True
        return flags


def addresses(functions):
    """{name: address} of functions, given as {name: (python function, numpy dtype of its record, arguments between)}."""
    name = file_name(functions)
    if name not in _loaded:
        data = cache.load(name)
        if data is None:
            cache.misses.append(f"unit of {len(functions)} functions")
            data = build(functions)
            cache.save(name, data)
        _loaded[name] = _load(data, functions)
    return _loaded[name][0]


def file_name(functions):
    """Where the unit of these functions is kept."""
    what = "\n".join(f"{n} {d.descr if d else d} {k}" for n, (_, d, k) in sorted(functions.items()))
    return f"unit-{hashlib.sha256(what.encode()).hexdigest()[:24]}.o"


def _load(data, names):
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(data))
    engine.finalize_object()
    return {n: engine.get_function_address(n) for n in names}, engine


def _machine():
    codegen = cpu_target.target_context.codegen()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=codegen._get_host_cpu_name(), features=codegen._tm_features, opt=2, jit=True)


def build(functions):
    """The object file."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    with lean() if os.environ.get(cache.LEAN) else contextlib.nullcontext(): return _build(functions)


@compiler_lock.global_compiler_lock
def _build(functions):
    context = cpu_target.target_context
    whole = llvm.parse_assembly("")
    shims, order, seen = ir.Module(), [], set()
    for name, (f, dtype, between) in functions.items():
        args = (numba.from_dtype(dtype), *[types.int64] * (between + 1)) if dtype else (types.int64,) * between
        result = _Compiler(f, cpu_target, cache.OPTIONS, {}, Compiler).compile(args, None)
        _shim(shims, context, name, result.fndesc, between, dtype)
        _called(result.library, order, seen)
    for library in reversed(order):                      # callers first: the linker takes what somebody has asked for
        whole.link_in(library._get_module_for_linking() if library._finalized else library._final_module, preserve=True)
    whole.link_in(llvm.parse_assembly(str(shims)))
    for f in whole.functions:
        if not f.is_declaration and f.name not in functions: f.linkage = "internal"
    machine = _machine()
    tuning = llvm.create_pipeline_tuning_options(2)
    tuning.inlining_threshold = 50                       # a quarter of LLVM's: less code, sooner made
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(whole, builder)
    open_ = [f.name for f in whole.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if open_: raise TypeError(f"kernels may not call {', '.join(open_)}: is there an assert, a raise, a string in them?")
    return machine.emit_object(whole)


def _called(library, order, seen):
    """Put a library behind all that it calls."""
    if library in seen: return
    seen.add(library)
    for other in library._linking_libraries: _called(other, order, seen)
    order.append(library)


def _shim(module, context, name, fndesc, between, dtype):
    """The door of one function: C's calling convention outside, numba's inside."""
    inner_type = context.call_conv.get_function_type(fndesc.restype, fndesc.argtypes)
    inner = ir.Function(module, inner_type, fndesc.llvm_func_name)
    outer = ir.Function(module, ir.FunctionType(I64, [I64] * 5), name)
    b = ir.IRBuilder(outer.append_basic_block())
    result = b.alloca(inner_type.args[0].pointee)
    error = b.alloca(inner_type.args[1].pointee)
    b.store(ir.Constant(inner_type.args[1].pointee, None), error)        # a `try` inside asks whether an exception is on its way
    if dtype: given = b.inttoptr(outer.args[0], inner_type.args[2]), *outer.args[1:1 + between], outer.args[4]
    else: given = outer.args[:between]
    b.call(inner, [result, error, *given])
    if fndesc.restype == types.none: b.ret(I64(0))
    elif isinstance(fndesc.restype, (types.Integer, types.Boolean)):
        v = b.load(result)
        b.ret(v if v.type.width == 64 else b.zext(v, I64))
    else: raise TypeError(f"{name} answers {fndesc.restype}, not an int")

"""numba made four times quicker, for processes that do nothing but compile words.   Held to numba's minor version (pyproject.toml).

    with lean(): ...                                     # what is compiled inside can be linked by unit.build alone

Inside,

* functions are left as LLVM made from them, for `unit.build` to link and optimise once.  numba finishes each as a library of its own,
  which holds, optimised again, all that it calls;
* only the passes run that words need: no closures, array expressions, reference counts, `with` or literal loops;
* what the type and the code of `a + b` were, they still are: numba asks some thirty templates again at every place;
* no error is explained, no event announced, no warning sorted by line and no instruction printed for the debugger.  A process that fails
  here is of no harm: compile.prepare does its part again, in the open.
"""
import contextlib
import ctypes
import functools
import operator
import re

import llvmlite.binding as llvm
from llvmlite.ir import Constant
from numba import _dynfunc, types
from numba.core import base, cgutils, errors, event, interpreter, ir, lowering, typeinfer, utils
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager, _pass_registry
from numba.core.cpu import CPUContext
from numba.core.lowering import BaseLower, Lower
from numba.core.postproc import PostProcessor
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.typing.context import BaseContext, Context
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

PASSES = (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA, NopythonTypeInference, PreLowerStripPhis,
          NativeLowering, NoPythonBackend)
PRINTED = [c for c in vars(ir).values() if isinstance(c, type) and issubclass(c, ir.Inst) and "__str__" in vars(c)]
RAISES = re.compile(r"ret i32 [^0]")                     # a status that is not "done", or not known
NOTHING = contextlib.nullcontext()
ARITHMETIC = set(utils.OPERATORS_TO_BUILTINS) - {operator.pow, operator.ipow}          # powers have code of their own for constants
NOWHERE = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value


def nothing(*args, **kws):
    return NOTHING


# libraries
def finalize(library):
    library._finalized = True


def executable(context, library, fndesc, env):
    """A name for the function."""
    return _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "", NOWHERE, env, (library,))


def layout(library, module):
    module.data_layout = library._codegen._data_layout


def no_wrapper(lower, *args):
    pass


def add_module(library, module):
    """numba's own also verifies it."""
    text = str(module)
    library.raises = RAISES.search(text) is not None
    parsed = llvm.parse_assembly(text)
    parsed.name = module.name
    library.add_llvm_module(parsed)


# passes
def pipelines(compiler):
    manager = PassManager("lean")
    for p in PASSES:
        manager.add_pass(p, p.__name__)
    manager.finalize()
    return [manager]


def run(manager, state):
    """numba's own checks and times every pass."""
    for p, _ in manager.passes:
        instance = _pass_registry.get(p).pass_inst
        instance.analysis = manager._analysis
        instance.run_pass(state)


def post(processor, emit_dels=False, extend_lifetimes=False):
    """numba's own also asks how long each variable lives."""
    processor.func_ir.blocks = canonicalize_cfg(processor.func_ir.blocks)
    processor.func_ir.generator_info = None


def peepholes(python, all_, func_ir):
    """Of the rewrites of Python's special forms those for `try`: there is no list, dict, `with` or call with a star."""
    return interpreter.peep_hole_split_at_pop_block(func_ir) if utils.PYVERSION >= (3, 11) else func_ir


# types
def short(record):
    """numba prints the types of all candidates, to throw the text away."""
    return record.name[:40]


def remembering(resolve):
    """BaseContext.resolve_function_type, which is asked once for each function and types."""
    known = {}

    def remembered(context, function, args, kws):
        if kws:
            return resolve(context, function, args, kws)
        if getattr(function, "typing_key", None) in ARITHMETIC:
            args = tuple(map(types.unliteral, args))
        if (function, args) not in known:
            found = resolve(context, function, args, kws)
            if found is None:
                return None
            known[function, args] = found
        return known[function, args]
    return remembered


# code
def lower_block(lower, block):
    lower.pre_block(block)
    for i in block.body:
        lower.loc = i.loc
        lower.lower_inst(i)
    lower.post_block(block)


def lowering_once(lower_binop):
    """Lower.lower_binop, which looks for the code of an operator once for each pair of types."""
    known = {}

    def lower(self, result, expr, op):
        if op not in ARITHMETIC:
            return lower_binop(self, result, expr, op)
        context, builder, signature = self.context, self.builder, self.fndesc.calltypes[expr]
        key = op, signature.args
        if key not in known:
            function = context.typing_context.resolve_value_type(op)
            known[key] = context.get_function(function, function.get_call_type(context.typing_context, signature.args, {}))
        given = [context.cast(builder, self.loadvar(v.name), self.typeof(v.name), t)
                 for v, t in zip((expr.lhs, expr.rhs), signature.args, strict=True)]
        return context.cast(builder, known[key](builder, given), signature.return_type, result)
    return lower


def calling(user_function):
    """base.user_function, which makes what calls a function: of one that never raises, nobody asks whether it has."""
    def made(fndesc, libraries):
        usual = user_function(fndesc, libraries)
        if any(getattr(x, "raises", True) for x in libraries) or isinstance(fndesc.restype, types.Optional):
            return usual

        def call(context, builder, signature, args):
            convention = context.call_conv
            callee = context.declare_function(builder.module, fndesc)
            result = cgutils.alloca_once(builder, convention.get_return_type(fndesc.restype).pointee)
            exception = Constant(callee.args[1].type, None)
            builder.call(callee, [result, exception, *convention._get_arg_packer(fndesc.argtypes).as_arguments(builder, args)])
            return context.get_returned_value(builder, fndesc.restype, builder.load(result))
        call.signature, call.libs = usual.signature, usual.libs
        return call
    return made


def imported(context):
    """What numba has was imported before the first function; what has come since is taken up."""
    for registry in context._registries:
        context.install_registry(registry)


def sizes_once(get_abi_sizeof):
    known = {}

    def size(context, kind):
        name = str(kind)
        if name not in known:
            known[name] = get_abi_sizeof(context, kind)
        return known[name]
    return size


def changes():
    """(owner, attribute, what it becomes)."""
    yield from ((CPUCodeLibrary, "finalize", finalize), (CPUCodeLibrary, "_optimize_functions", layout),
                (CPUCodeLibrary, "add_ir_module", add_module), (CPUContext, "get_executable", executable),
                (BaseLower, "create_cpython_wrapper", no_wrapper), (BaseLower, "create_cfunc_wrapper", no_wrapper),
                (Compiler, "define_pipelines", pipelines), (PassManager, "run", run), (PostProcessor, "run", post),
                (interpreter.Interpreter, "post_process", peepholes),
                (types.Record, "__repr__", short), (BaseContext, "resolve_function_type", remembering(BaseContext.resolve_function_type)),
                (BaseLower, "lower_block", lower_block), (Lower, "lower_binop", lowering_once(Lower.lower_binop)),
                (CPUContext, "load_additional_registries", imported), (Context, "load_additional_registries", imported),
                (base.BaseContext, "get_abi_sizeof", sizes_once(base.BaseContext.get_abi_sizeof)),
                (base, "_has_loc", functools.cache(base._has_loc)), (base, "user_function", calling(base.user_function)),
                (lowering, "new_error_context", nothing), (typeinfer, "new_error_context", nothing),
                (errors.WarningsFixer, "catch_warnings", nothing), (event, "trigger_event", nothing), (event, "install_timer", nothing))
    for c in PRINTED:
        yield c, "__str__", lambda instruction: ""


@contextlib.contextmanager
def lean():
    saved = []
    for owner, name, new in changes():
        saved.append((owner, name, vars(owner)[name]))
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in reversed(saved):
            setattr(owner, name, old)

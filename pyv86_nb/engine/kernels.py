"""All kernels by number, as the opcode table numbers them, and one jitted function that does the one asked for.

Kernels, exceptions and interrupts are a unit of their own, reached from the loop through out_of_line.py.
"""
import linecache

from numba.extending import register_jitable

from . import fpu_door, interrupt, io, msr, segmentation, strings, system, transfer
from . import state as S
from .isa.opcodes import KERNELS

BY_NAME = {**segmentation.KERNELS, **transfer.KERNELS, **interrupt.KERNELS, **strings.KERNELS, **system.KERNELS, **msr.KERNELS, **io.KERNELS,
           **fpu_door.KERNELS}
missing = set(KERNELS) ^ set(BY_NAME)
if missing:
    raise RuntimeError(f"kernels in the opcode table or in the engine, but not in both: {sorted(missing)}")
FUNCTIONS = tuple(BY_NAME[n] for n in KERNELS)
PUSHF = len(FUNCTIONS)                                  # of VM86; elsewhere PUSHF has a handler
SINGLE_STEP_ENDS = sum(1 << KERNELS.index(n) for n in ("int", "int3", "into", "int1"))


def _chooser():
    """do_kernel(cpu, k): a chain of `if`s, of which LLVM makes a jump table; numba has no table of functions of its own."""
    chain = "".join(f"    {'el' if k else ''}if k == {k}:\n        kernel_{k}(cpu)\n" for k in range(PUSHF + 1))
    names = {f"kernel_{k}": f for k, f in enumerate((*FUNCTIONS, interrupt.pushf))}
    text, where = "def do_kernel(cpu, k):\n" + chain, f"<{__name__}.do_kernel>"
    linecache.cache[where] = len(text), None, text.splitlines(True), where     # so that it can be read back
    exec(compile(text, where, "exec"), names)
    return register_jitable(names["do_kernel"])


do_kernel = _chooser()


@register_jitable
def ends_single_step(k):
    """Whether kernel k (-1: none) clears TF on its way, so that no trap follows.  Those that do are among the first 64, and no word is
    shifted further."""
    return 0 <= k < 64 and SINGLE_STEP_ENDS >> k & 1 != 0


# THE UNIT: False means an exception in cpu.vector, or a triple fault

def kernel_entry(cpu, k, now):
    try:
        do_kernel(cpu, k)
    except Exception:
        return False
    return True


def exception_entry(cpu, now): return interrupt.raise_exception(cpu, True)
def interrupt_entry(cpu, vector, now): return interrupt.interrupt(cpu, vector)


UNIT = {"kernel": (kernel_entry, S.CPU, 1), "exception": (exception_entry, S.CPU, 0), "interrupt": (interrupt_entry, S.CPU, 1)}

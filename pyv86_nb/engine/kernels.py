"""All kernels by number, as the opcode table numbers them, and one jitted function that does the one asked for."""
from numba.extending import register_jitable

from . import interrupt, io, segmentation, strings, system, transfer
from .isa.opcodes import KERNELS

BY_NAME = {**segmentation.KERNELS, **transfer.KERNELS, **interrupt.KERNELS, **strings.KERNELS, **system.KERNELS, **io.KERNELS}
missing = set(KERNELS) ^ set(BY_NAME)
if missing:
    raise RuntimeError(f"kernels in the opcode table or in the engine, but not in both: {sorted(missing)}")
FUNCTIONS = tuple(BY_NAME[n] for n in KERNELS)
PUSHF = len(FUNCTIONS)                                  # of VM86; elsewhere PUSHF has a handler
SINGLE_STEP_ENDS = tuple(KERNELS.index(n) for n in ("int", "int3", "into", "int1"))


def _choose(functions, first):
    """A tree of `if`s over kernels first, first + 1...: numba has no table of functions of its own."""
    half, middle = len(functions) // 2, first + len(functions) // 2

    def branch(some, first):
        if len(some) > 1:
            return _choose(some, first)
        one, = some
        return register_jitable(lambda cpu, k: one(cpu))
    low, high = branch(functions[:half], first), branch(functions[half:], middle)

    @register_jitable
    def choose(cpu, k):
        if k < middle:
            low(cpu, k)
        else:
            high(cpu, k)
    return choose


do_kernel = _choose((*FUNCTIONS, interrupt.pushf), 0)

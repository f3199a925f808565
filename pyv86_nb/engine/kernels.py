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
    if len(functions) == 1:
        return functions[0]
    half = len(functions) // 2
    low, high, middle = _choose(functions[:half], first), _choose(functions[half:], first + half), first + half
    if half == 1:
        low_one = functions[0]
        low = register_jitable(lambda cpu, k: low_one(cpu))
    if len(functions) - half == 1:
        high_one = functions[half]
        high = register_jitable(lambda cpu, k: high_one(cpu))

    @register_jitable
    def choose(cpu, k):
        if k < middle:
            low(cpu, k)
        else:
            high(cpu, k)
    return choose


do_kernel = _choose((*FUNCTIONS, interrupt.pushf), 0)

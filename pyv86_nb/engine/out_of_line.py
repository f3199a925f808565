"""The doors from the loop to kernels, exceptions and interrupts: a unit of their own (kernels.UNIT), because two units of equal
size compile side by side.  Compiled code calls the addresses in the record.
"""
from numba.extending import overload
from numba.extending import register_jitable as kernel

from . import interrupt as I
from .raw import address_of, call


@kernel
def try_kernel(cpu, k):
    """Do kernel k.  False: there is an exception in cpu.vector."""
    return call(cpu.kernel_at, address_of(cpu), k, 0, 0, 0) != 0


@kernel
def raise_exception(cpu):
    """Deliver the exception in cpu.vector, raised by the instruction at cpu.eip.  False: the processor shuts down."""
    return call(cpu.exception_at, address_of(cpu), 0, 0, 0, 0) != 0


def interrupt(cpu, vector):
    """Deliver a hardware interrupt that has been accepted, on any tier.  False: the processor shuts down."""
    return I.interrupt(cpu, vector)


@overload(interrupt)
def _interrupt(cpu, vector):
    return lambda cpu, vector: call(cpu.interrupt_at, address_of(cpu), vector, 0, 0, 0) != 0

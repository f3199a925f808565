"""The door to the FPU: a unit of its own (`UNIT`), compiled beside the others; in plain Python the functions themselves."""
from numba.extending import overload
from numba.extending import register_jitable as kernel

from . import fpu, fpu_images
from . import state as S
from .exceptions import Fault
from .raw import address_of, call

X87, WAIT, FXSAVE, FXRSTOR = range(4)


def enter(cpu, which):
    """Do one of the four; raises what it raises."""
    (fpu.x87, fpu.wait, fpu_images.fxsave, fpu_images.fxrstor)[which](cpu)


@overload(enter)
def _enter(cpu, which):
    def f(cpu, which):
        if call(cpu.fpu_at, address_of(cpu), which, 0, 0, 0) == 0:
            raise Fault
    return f


def entry(cpu, which, now):
    try:
        if which == X87:
            fpu.x87(cpu)
        elif which == WAIT:
            fpu.wait(cpu)
        elif which == FXSAVE:
            fpu_images.fxsave(cpu)
        else:
            fpu_images.fxrstor(cpu)
    except Exception:
        return False
    return True


@kernel
def x87(cpu): enter(cpu, X87)


@kernel
def wait(cpu): enter(cpu, WAIT)


@kernel
def fxsave(cpu): enter(cpu, FXSAVE)


@kernel
def fxrstor(cpu): enter(cpu, FXRSTOR)


KERNELS = {"x87": x87, "wait": wait, "fxsave": fxsave, "fxrstor": fxrstor}
UNIT = {"fpu": (entry, S.CPU, 1)}

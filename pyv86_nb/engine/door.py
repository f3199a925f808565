"""The way from the processor to the board: what raw.io calls, compiled.

A `Door` record has the addresses of the arrays of a Bus, so that the engine knows of the board no more than one function and
one number.  Before each access it says what time it is, and, for the interrupt trace, where the processor is.
"""
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.extending import register_jitable as kernel
from numba.np.arrayobj import make_array, populate_array

from . import bus as B
from . import irq_trace as T
from . import state as S
from .raw import (ADVANCE, DEADLINE, FRAME, IRET, MEMORY_READ, MEMORY_WRITE, PIN, PORT_READ, PORT_WRITE, PYTHON, REGION_SHIFT,
                  record_at)

PINS = "INTR", "NMI", "A20", "RESET", "REMAP", "POWEROFF"                 # in the order of raw.INTR...
ARRAYS = (("words", "i8", 1), ("ports", "i2", 3), ("doors", "i8", 2), ("mmio", "i8", 2), ("dues", "i8", 2), ("pins", "i8", 2),
          ("pin_rows", "i8", 1), ("sources", "i8", 2), ("samples", "i8", 2),
          ("ring", T.ROW, 1), ("irq_state", "i8", 1), ("watch", "i8", 2), ("lines", "i8", 2), ("frames", "i8", 2))
DOOR = np.dtype([("cpu", "i8"), ("pin_word", "i8", (len(PINS),))]
                + [(f"{n}_{part}", "i8") for n, _, _ in ARRAYS for part in ("at", "a", "b", "c")])
cpu_at = record_at(S.CPU)


def _array_at(dtype, dimensions):
    """A function (address, a, b, c) -> the C-ordered array of that shape which lies there; it owns nothing."""
    array = types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C")
    size = np.dtype(dtype).itemsize

    @intrinsic
    def at(typingctx, address, a, b, c):
        def codegen(context, builder, sig, args):
            made = make_array(array)(context, builder)
            shape = args[1:1 + dimensions]
            strides, step = [], ir.Constant(ir.IntType(64), size)
            for n in reversed(shape):
                strides.insert(0, step)
                step = builder.mul(step, n)
            items = shape[0]
            for n in shape[1:]:
                items = builder.mul(items, n)
            populate_array(made, data=builder.inttoptr(args[0], made.data.type), shape=cgutils.pack_array(builder, shape),
                           strides=cgutils.pack_array(builder, strides), itemsize=ir.Constant(ir.IntType(64), size), meminfo=None)
            return made._getvalue()
        return array(types.int64, types.int64, types.int64, types.int64), codegen
    return at


(_words, _ports, _doors, _mmio, _dues, _pins, _pin_rows, _sources, _samples, _ring, _irq_state, _watch, _lines,
 _frames) = (_array_at(dtype, n) for _, dtype, n in ARRAYS)


@kernel
def bus_of(d):
    irq = T.IrqTrace(_ring(d.ring_at, d.ring_a, 0, 0), _irq_state(d.irq_state_at, d.irq_state_a, 0, 0),
                     _watch(d.watch_at, d.watch_a, d.watch_b, 0), _lines(d.lines_at, d.lines_a, d.lines_b, 0),
                     _frames(d.frames_at, d.frames_a, d.frames_b, 0))
    return B.Bus(_words(d.words_at, d.words_a, 0, 0), _ports(d.ports_at, d.ports_a, d.ports_b, d.ports_c),
                 _doors(d.doors_at, d.doors_a, d.doors_b, 0), _mmio(d.mmio_at, d.mmio_a, d.mmio_b, 0),
                 _dues(d.dues_at, d.dues_a, d.dues_b, 0), _pins(d.pins_at, d.pins_a, d.pins_b, 0),
                 _pin_rows(d.pin_rows_at, d.pin_rows_a, 0, 0), _sources(d.sources_at, d.sources_a, d.sources_b, 0),
                 _samples(d.samples_at, d.samples_a, d.samples_b, 0), irq)


@kernel
def pass_through(d, what, address, size, value):
    bus, cpu = bus_of(d), cpu_at(d.cpu)
    verb = what & 255
    if verb == PIN:
        levels = 0
        for i in range(len(PINS)):
            levels |= (bus.words[d.pin_word[i]] & 1) << i
        return levels
    if verb == DEADLINE:
        return B.next_deadline(bus)
    now = cpu.end - cpu.budget
    irq = bus.irq.state
    irq[T.CS], irq[T.EIP], irq[T.RETIRED] = cpu.reg[S.SELECTORS + S.CS], cpu.eip, now - cpu.extra
    if verb == ADVANCE:
        return PYTHON if B.advance_to(bus, address) else 0
    if verb == FRAME:
        B.note_frame(bus, address)
        return 0
    if verb == IRET:
        B.note_iret(bus, address)
        return 0
    bus.words[B.NOW] = now
    if verb == PORT_READ:
        return B.port_read(bus, address, size)
    if verb == PORT_WRITE:
        return PYTHON if B.port_write(bus, address, size, value) else 0
    if verb == MEMORY_READ:
        return B.mmio_read(bus, what >> REGION_SHIFT, address, size)
    if verb == MEMORY_WRITE:
        return PYTHON if B.mmio_write(bus, what >> REGION_SHIFT, address, size, value) else 0
    return B.acknowledge(bus)


FUNCTIONS = {"pass_through": (pass_through, DOOR, 3)}


def make(bus, pins, cpu_address):
    """The Door of a Bus, as an array of one record.  pins: name -> word, of board.pins."""
    door = np.zeros(1, DOOR)
    door["cpu"] = cpu_address
    door["pin_word"] = [pins[n] for n in PINS]
    flat = [*bus[:9], *bus.irq]
    for (name, dtype, dimensions), array in zip(ARRAYS, flat, strict=True):
        if array.dtype != np.dtype(dtype) or array.ndim != dimensions or not array.flags.c_contiguous:
            raise TypeError(f"the bus's {name} is {array.dtype}, {array.ndim}-dimensional, not a plain array of {dtype}")
        for part, v in zip(("at", "a", "b", "c"), (array.ctypes.data, *array.shape), strict=False):
            door[f"{name}_{part}"] = v
    return door

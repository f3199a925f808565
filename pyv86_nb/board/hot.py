"""The board as jitted code sees it: for each port, pin and deadline the address of the chip's own method, compiled.

There is no second copy: `address` compiles the very function that Python calls, for the chip's record.  A method that is not
a kernel has address 0, and the engine goes to Python for it.
"""
import hashlib
import pathlib
from typing import NamedTuple
import numpy as np
import numba
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic
from llvmlite import ir
from .backplane import next_change
from ..devices.clock import next_deadline

PORTS = 0x10000 + 8                                      # and the INTA cycles
ADVANCE, READ, WRITE, HAND, INTA_IF = range(5)           # what a script row asks: (what, a, b)
PYTHON = 1 << 40
I64 = ir.IntType(64)


@intrinsic
def call(typingctx, f, chip, v, now):
    def codegen(context, b, sig, args):
        t = ir.FunctionType(I64, [I64] * 3)
        return b.call(b.inttoptr(args[0], t.as_pointer()), args[1:])
    return types.int64(*[types.int64] * 4), codegen


_made = {}
_SOURCES = sorted((pathlib.Path(__file__).parents[1] / "devices").glob("*.py"))
_DIGEST = hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES) + numba.__version__.encode()).hexdigest()


def address(f, dtype, kind):
    """i64 (record, v, now).  numba's cache does not see edits in other files; the digest in the closure makes it look."""
    if not getattr(f, "kernel", False): return 0
    digest = _DIGEST
    if (f, kind) not in _made:
        sig = types.int64(types.CPointer(numba.from_dtype(dtype)), types.int64, types.int64)
        if kind == "read":
            def entry(p, v, now): digest; return f(carray(p, 1)[0], now)
        elif kind == "write":
            def entry(p, v, now): digest; f(carray(p, 1)[0], v, now); return 0
        elif kind == "pin":
            def entry(p, v, now): digest; f(carray(p, 1)[0], v >> 1, v & 1, now); return 0
        else:
            def entry(p, v, now): digest; f(carray(p, 1)[0], now); return 0
        _made[f, kind] = cfunc(sig, cache=True)(entry)
    return _made[f, kind].address


class Hot(NamedTuple):
    words: np.ndarray
    wires: np.ndarray
    due_words: np.ndarray
    due: np.ndarray                                      # rows (function, record), as all below
    read: np.ndarray                                     # function 0: ask Python;  -1: nobody is there
    write: np.ndarray
    pin: np.ndarray                                      # by input word


def hot(b):
    record = lambda chip: b.words.ctypes.data + 8 * chip.origin
    row = lambda f, chip, kind: (address(f, type(chip).dtype, kind), record(chip))
    read, write, pin = (np.full((n, 2), -1, np.int64) for n in (PORTS, PORTS, len(b.words)))
    for p, (f, chip) in b.readers.items(): read[p] = row(f, chip, "read")
    for p, (f, chip) in b.writers.items(): write[p] = row(f, chip, "write")
    for w, (chip, e) in b.inputs.items(): pin[w] = row(e.handler, chip, "pin") if e.handler else -1
    due = np.array([row(e.handler, chip, "due") for chip, e in b.dues], np.int64)
    return Hot(b.words, b.wires, b.due_words, due, read, write, pin)


@njit(_nrt=False)
def settle(h, now):
    """As Backplane.settle; False: a chip that only Python can tell."""
    while True:
        k = next_change(h.words, h.wires)
        if k < 0: return True
        f = h.pin[k >> 8, 0]
        if f == 0: return False
        h.words[k >> 8] ^= 1 << (k >> 1 & 127)
        if f > 0: call(f, h.pin[k >> 8, 1], k & 255, now)


@njit(_nrt=False)
def advance(h, n):
    """As Backplane.advance; the instructions left when Python is needed."""
    end = h.words[0] + n
    while True:
        when, k = next_deadline(h.words, h.due_words)
        if when > end: break
        if h.due[k, 0] == 0: return end - h.words[0]
        h.words[0] = max(when, h.words[0])
        h.words[h.due_words[k]] = 1 << 62
        call(h.due[k, 0], h.due[k, 1], 0, h.words[0])
        settle(h, h.words[0])
    h.words[0] = end
    return 0


@njit(_nrt=False)
def read(h, port):
    """A byte, or vector; PYTHON when the chip's method is not a kernel."""
    if h.read[port, 0] <= 0: return PYTHON if h.read[port, 0] == 0 else 0xFF
    v = call(h.read[port, 0], h.read[port, 1], 0, h.words[0])
    settle(h, h.words[0])
    return v


@njit(_nrt=False)
def write(h, port, v):
    if h.write[port, 0] <= 0: return h.write[port, 0] != 0
    call(h.write[port, 0], h.write[port, 1], v, h.words[0])
    return settle(h, h.words[0])


@njit(_nrt=False)
def play(h, script, answers, intr):
    """A stand-in for the engine: it does what the script says, at full speed, and never sees Python."""
    for i in range(len(script)):
        what, a, b = script[i, 0], script[i, 1], script[i, 2]
        if what == ADVANCE: answers[i] = advance(h, a)
        elif what == READ: answers[i] = read(h, a)
        elif what == WRITE: write(h, a, b)
        elif what == HAND:
            h.words[a] = b
            settle(h, h.words[0])
        elif h.words[intr]:
            v = read(h, 0x10000)
            answers[i] = v if v >= 0 else read(h, 0x10000 - 1 - v)

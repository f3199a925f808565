"""Bytes at host addresses, and the one door to the board.   These are all the raw accesses of kernels.

Python does them through ctypes, compiled code by loads and stores.  What bounds each address is said where it is made:
`access.py` makes those into guest memory, from frames that `PhysicalMemory` checked; `memory.py` those into its tables,
indexed by a physical page that is cut to 20 bits.
"""
import ctypes

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

# what can be asked of the board: io(cpu, what, address, size, value)
PORT_READ, PORT_WRITE, MEMORY_READ, MEMORY_WRITE, ADVANCE, DEADLINE, ACKNOWLEDGE, PIN, FRAME, IRET, BURST_READ, BURST_WRITE = range(12)
PYTHON_REGION = 128                                     # device windows from this number on are answered by Python alone
REGION_SHIFT = 8                                        # a memory access carries its region above the verb
PYTHON = 1 << 40                                        # the answer when only Python can tell
INTR, NMI, A20M, RESET, REMAP, POWEROFF, IGNNE, NOTICE = range(8)               # PIN: the inputs of the processor
FERR = 0x10008                                          # a port beyond all others: the level of FERR#
APIC_MSR, APIC_DEADLINE = 0x1000A, 0x1000B              # and the two registers of the local APIC that are MSRs

_TYPES = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_int64}


def peek(address, size):
    """`size` bytes at a host address as an unsigned word (8: signed)."""
    return _TYPES[size].from_address(address).value


def poke(address, size, value):
    _TYPES[size].from_address(address).value = value


def copy(to, source, n):
    """n bytes that do not overlap, or overlap with `to` below `source`."""
    ctypes.memmove(to, source, n)


def set_bytes(to, byte, n):
    ctypes.memset(to, byte, n)


def num(x):
    """A number out of an array, as a word."""
    return int(x)


def io(cpu, what, address, size, value):
    return cpu.board_io(what, address, size, value)


def _load(bits):
    @intrinsic
    def load(typingctx, address):
        def codegen(context, b, sig, args):
            t = ir.IntType(bits)
            v = b.load(b.inttoptr(args[0], t.as_pointer()), align=1, typ=t)
            return v if bits == 64 else b.zext(v, ir.IntType(64))
        return types.int64(types.int64), codegen
    return load


def _store(bits):
    @intrinsic
    def store(typingctx, address, value):
        def codegen(context, b, sig, args):
            t = ir.IntType(bits)
            b.store(args[1] if bits == 64 else b.trunc(args[1], t), b.inttoptr(args[0], t.as_pointer()), align=1)
            return context.get_dummy_value()
        return types.void(types.int64, types.int64), codegen
    return store


_load8, _load16, _load32, _load64 = (_load(n) for n in (8, 16, 32, 64))
_store8, _store16, _store32, _store64 = (_store(n) for n in (8, 16, 32, 64))


@intrinsic
def _memmove(typingctx, to, source, n):
    def codegen(context, b, sig, args):
        p = ir.IntType(8).as_pointer()
        f = b.module.declare_intrinsic("llvm.memmove", [p, p, ir.IntType(64)])
        b.call(f, [b.inttoptr(args[0], p), b.inttoptr(args[1], p), args[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _memset(typingctx, to, byte, n):
    def codegen(context, b, sig, args):
        p = ir.IntType(8).as_pointer()
        f = b.module.declare_intrinsic("llvm.memset", [p, ir.IntType(64)])
        b.call(f, [b.inttoptr(args[0], p), b.trunc(args[1], ir.IntType(8)), args[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def address_of(typingctx, record):
    """The address of a record."""
    def codegen(context, builder, sig, args):
        return builder.ptrtoint(args[0], ir.IntType(64))
    return types.int64(record), codegen


@intrinsic
def call(typingctx, function, a, b, c, d, e):
    """i64 f(i64, ...) at an address."""
    def codegen(context, builder, sig, args):
        t = ir.FunctionType(ir.IntType(64), [ir.IntType(64)] * 5)
        return builder.call(builder.inttoptr(args[0], t.as_pointer()), args[1:])
    return types.int64(*[types.int64] * 6), codegen


@overload(peek)
def _peek(address, size):
    def f(address, size):
        if size == 1:
            return _load8(address)
        if size == 2:
            return _load16(address)
        if size == 4:
            return _load32(address)
        return _load64(address)
    return f


@overload(poke)
def _poke(address, size, value):
    def f(address, size, value):
        if size == 1:
            _store8(address, value)
        elif size == 2:
            _store16(address, value)
        elif size == 4:
            _store32(address, value)
        else:
            _store64(address, value)
    return f


@overload(copy)
def _copy(to, source, n):
    return lambda to, source, n: _memmove(to, source, n)


@overload(set_bytes)
def _set_bytes(to, byte, n):
    return lambda to, byte, n: _memset(to, byte, n)


@overload(io)
def _io(cpu, what, address, size, value):
    def f(cpu, what, address, size, value):
        return call(cpu.io, cpu.io_data, what, address, size, value)
    return f


@overload(num)
def _num(x):
    return lambda x: np.int64(x)


def record_at(dtype):
    """A function that takes the address of a record of this dtype and answers the record."""
    record = numba.from_dtype(dtype)

    @intrinsic
    def at(typingctx, address):
        def codegen(context, b, sig, args):
            return b.inttoptr(args[0], context.get_value_type(record))
        return record(types.int64), codegen
    return at


@intrinsic
def enter(typingctx, function, state, pc, tlb, code):
    """i64 f(ptr, ptr, ptr, ptr): into handlers."""
    def codegen(context, b, sig, args):
        p = ir.IntType(8).as_pointer()
        t = ir.FunctionType(ir.IntType(64), [p] * 4)
        return b.call(b.inttoptr(args[0], t.as_pointer()), [b.inttoptr(v, p) for v in args[1:]])
    return types.int64(*[types.int64] * 5), codegen

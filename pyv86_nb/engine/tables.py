"""Tables of int64 by address, for jitted code.

An array passed to a jitted function is seven arguments, the tables of the bus a hundred: 57 ns for each call, before
anything is done.  An address is one.  A wrong index here is a crash, so tables are indexed by what their maker has put
into other tables, never by what the guest says.
"""
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

I16, I64 = ir.IntType(16), ir.IntType(64)


def _element(builder, table, i, kind):
    return builder.gep(builder.inttoptr(table, kind.as_pointer()), [i], source_etype=kind)


@intrinsic
def at(typingctx, table, i):
    """int64 number i of a table."""
    def codegen(context, builder, sig, args):
        return builder.load(_element(builder, *args, I64), typ=I64)
    return types.int64(types.int64, types.int64), codegen


@intrinsic
def put(typingctx, table, i, v):
    """Write int64 number i of a table."""
    def codegen(context, builder, sig, args):
        builder.store(args[2], _element(builder, *args[:2], I64))
        return context.get_dummy_value()
    return types.none(types.int64, types.int64, types.int64), codegen


@intrinsic
def at16(typingctx, table, i):
    """int16 number i of a table, none of them negative."""
    def codegen(context, builder, sig, args):
        return builder.zext(builder.load(_element(builder, *args, I16), typ=I16), I64)
    return types.int64(types.int64, types.int64), codegen

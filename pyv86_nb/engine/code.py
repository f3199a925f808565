"""The code cache: one record with the tables of the decoder and of the handlers, and everything that is translated.

Fixed shapes, so that compiled code reaches all of it through one pointer.  Each capacity is a number here, and `full`
keeps translation inside it; nothing of this is part of a snapshot.
"""
import numpy as np

from . import decode as D
from .forms import SPECIAL_NAMES
from .isa.opcodes import KERNELS, OPCODES
from .records import EXITS, RECORD

LONGEST_BLOCK = 64                                      # instructions
PLAN = 10 * LONGEST_BLOCK + 16                          # handlers of a block, at most: ten an instruction (POP m), and the ends
RECORDS, BLOCKS, BUCKETS = 1 << 20, 1 << 16, 1 << 16
ARENA, COLD_AT = 64 << 20, 40 << 20                     # bytes; from COLD_AT on the far stubs
HANDLERS, CODE_BYTES, HOLE_ROWS = 8192, 1 << 20, 1 << 15
SID = 1 << 20
PAGES = (1 << 20) + 1                                   # the last: paging.NOWHERE

PLANNED = np.dtype([(n, "i8") for n in ("sid", "imm", "ra", "rb", "base", "window", "last", "eip", "left", "target", "row", "what",
                                        "next", "immediate2", "local")])
BLOCK = np.dtype([("physical", "i8"), ("eip", "i8"), ("mode", "i8"), ("n", "i8"), ("rec", "i8"), ("code", "i8"), ("size", "i8"),
                  ("next", "i8"), ("chain", "i8"), ("second", "i8"), ("of", "i8"), ("alive", "i8")])
CODE = np.dtype([
    # filled once
    ("look", "i2", D.LOOK), ("rows", "i8", (len(OPCODES), D.FPU + 1)), ("sid", "i2", (SID,)),
    ("fused", "i2", (len(OPCODES), 3, 7, 7, 2, 16)), ("special", "i8", (len(SPECIAL_NAMES),)),
    ("moves", "i8", (HANDLERS,)), ("handler", "i8", (HANDLERS,)), ("start", "i8", (HANDLERS,)), ("size", "i8", (HANDLERS,)),
    ("first", "i8", (HANDLERS + 1,)),
    ("holes", "i4", (HOLE_ROWS, 3)), ("bytes", "u1", (CODE_BYTES,)), ("exits", "i8", (len(EXITS),)),
    ("native", "i8"), ("enter", "i8"), ("arena", "i8"), ("runs_at", "i8"), ("records_at", "i8"), ("state_at", "i8"), ("margin", "i8"),
    ("hot0", "i8"), ("constants", "i8"),
    # what is translated
    ("nrec", "i8"), ("nblock", "i8"), ("hot", "i8"), ("cold", "i8"), ("records", RECORD, (RECORDS,)), ("blocks", BLOCK, (BLOCKS,)),
    ("buckets", "i4", (BUCKETS,)), ("page_first", "i4", (PAGES,)),
    # the block being made
    ("d", "i8", (LONGEST_BLOCK, D.FIELDS)), ("plan", PLANNED, (PLAN,)), ("source", "u1", (32,)),
    # how often
    ("translated", "i8"), ("flushes", "i8"), ("dropped", "i8"), ("entered", "i8"), ("slow", "i8"), ("left_by", "i8", (16,)),
    ("kernels", "i8", (len(KERNELS) + 1,)),
])


def fill(t, tables, special, moves, native, stencils, handler_addresses):
    """Put the tables into a fresh record."""
    look, rows, sid, fused = tables
    t["look"], t["fused"], t["special"] = look, fused, special
    t["rows"] = rows
    t["sid"][:len(sid)] = sid
    n = len(moves)
    t["native"], t["moves"][:n] = native, moves
    if native:
        t["start"][:n], t["size"][:n], t["first"][:n + 1] = stencils.start, stencils.size, stencils.first
        t["holes"][:len(stencils.holes)] = stencils.holes
        t["bytes"][:len(stencils.code)] = stencils.code
        t["margin"] = PLAN * int(stencils.size.max())
    else:
        t["handler"][:n] = handler_addresses



"""One record per handler to run.  The threaded tier reads it, the native tier patches it into the handler's holes.

    handler   address of its threaded code            imm ra rb base window last   the operands of the handler
    eip       of the instruction                      left    instructions of the block from this one to the end
    target    EIP of a direct jump                    link    where a direct jump goes: a record (threaded), a displacement (native)
    code      offset of its machine code              twin    record of the same instruction alone, or 0
    and for a kernel: next, immediate2, what (packed: see `pack`)
"""
import numpy as np

from . import state as S

RECORD = np.dtype([("handler", "i8"), ("link", "i8"), ("code", "i8"), ("imm", "i4"), ("ra", "i4"), ("rb", "i4"), ("base", "i4"),
                   ("window", "i4"), ("last", "i4"), ("eip", "u4"), ("target", "u4"), ("next", "u4"), ("immediate2", "i4"),
                   ("left", "i4"), ("sid", "i4"), ("row", "i4"), ("what", "i4"), ("twin", "i4"), ("local", "i4")], align=True)
OFF = {n: RECORD.fields[n][1] for n in RECORD.names}
HOLES = ("imm", "ra", "rb", "base", "window", "last")
SEGMENT_WORDS = [S.offset("segment", "base", i) for i in range(6)]
SEGMENT_STRIDE = S.SEGMENT.itemsize

# why native code came back
READ, WRITE, LINK, INDIRECT, OUT_OF_BUDGET, GONE, KERNEL, SEGMENT_FAULT, DIVIDE_ERROR, TO_PYTHON, TARGET, FPU, MISALIGNED, X87 = range(14)
EXITS = {f"exit_{k}{w}": (r, w // 8) for k, r in (("r", READ), ("w", WRITE)) for w in (8, 16, 32, 64, 80, 128)} | {
    "exit_link": (LINK, 0), "exit_indirect": (INDIRECT, 0), "exit_budget": (OUT_OF_BUDGET, 0), "exit_gone": (GONE, 0),
    "exit_kernel": (KERNEL, 0), "exit_segment": (SEGMENT_FAULT, 0), "exit_divide": (DIVIDE_ERROR, 0),
    "exit_python": (TO_PYTHON, 0), "exit_target": (TARGET, 0), "exit_fpu": (FPU, 0), "exit_align": (MISALIGNED, 0),
    "exit_mmx": (X87, 0), "exit_x87": (X87, 1)}

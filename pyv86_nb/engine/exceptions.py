"""Exceptions: the vectors of SDM vol. 3, table 6-1, and how a kernel raises one.

A kernel that cannot go on says `fault(cpu, GP, selector)`; nothing of the instruction has been done by then.
"""
from numba.extending import register_jitable as kernel

DIVIDE, DB, NMI, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF, MF, AC, MC, XM = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19
NEEDS_PYTHON = -1                                       # not an exception: only the Python reader can do this instruction
NAMES = {0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP",
         12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XM"}


class Fault(Exception):
    """Vector and error code are in the state record."""


@kernel
def fault(cpu, vector, error):
    cpu.vector = vector
    cpu.error = error
    raise Fault


@kernel
def has_error_code(vector):
    return vector == DF or 10 <= vector <= 14 or vector == AC

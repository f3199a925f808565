"""The registers of MMX and SSE by name, for those outside: xmm0-xmm7 and mm0-mm7 as bytes, mxcsr."""
from . import state as S
from .isa.words import sx

XMM, MM = tuple(f"xmm{i}" for i in range(8)), tuple(f"mm{i}" for i in range(8))
NAMES = (*XMM, *MM, "mxcsr")
SIZES = {**dict.fromkeys(XMM, 16), **dict.fromkeys(MM, 8)}


def get(cpu, name):
    if name == "mxcsr":
        return cpu.mxcsr
    i = int(name[-1])
    words = (cpu.xmm[2 * i], cpu.xmm[2 * i + 1]) if name in XMM else (cpu.st[i].significand,)
    return b"".join((v & (1 << 64) - 1).to_bytes(8, "little") for v in words)


def set(cpu, name, value):
    """ValueError for what MXCSR has reserved.  An MMX register is written as MOVQ does it: the FPU's is a NaN then."""
    if name == "mxcsr":
        if value & ~S.MXCSR_MASK:
            raise ValueError(f"mxcsr = {value:#x} sets bits that are reserved on this processor; those there are: {S.MXCSR_MASK:#x}")
        cpu.mxcsr = value
        return
    words = [sx(int.from_bytes(value[k:k + 8], "little"), 64) for k in range(0, SIZES[name], 8)]
    i = int(name[-1])
    if name in XMM:
        cpu.xmm[2 * i], cpu.xmm[2 * i + 1] = words
    else:
        cpu.st[i].significand, cpu.st[i].exponent = words[0], 0xFFFF

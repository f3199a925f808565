"""The host's own processor as the oracle of MMX and SSE: the same bytes, run natively between a load and a store of all registers.

x86-64 reads an instruction without REX as 32-bit code does, but for its addresses; so memory operands are [ESI] and [EDI].
"""
import ctypes
import mmap
import platform

import numpy as np
import pytest

STATE = np.dtype([("xmm", "u8", (8, 2)), ("mm", "u8", (8,)), ("reg", "u4", (4,)), ("rsi", "u8"), ("rdi", "u8"), ("flags", "u8"),
                  ("mxcsr", "u4"), ("usual", "u4")])
MEMORY = 64                                             # bytes that RSI and RDI point to
EAX, ECX, EDX, EBX, ESI, EDI = 0, 1, 2, 3, 6, 7


def at(field, i=0, size=0):
    return (STATE.fields[field][1] + i * size).to_bytes(4, "little")


def rbp(reg): return bytes([0x80 | reg << 3 | 5])


def thunk(code):
    """push rbx, rbp; mov rbp, rdi; loads; the code; stores; emms; pop rbp, rbx; ret"""
    def each(prefix, registers, field, size):
        return b"".join(prefix + rbp(i) + at(field, i, size) for i in registers)
    pointers = (("rsi", ESI), ("rdi", EDI))
    load = (b"\x0f\xae" + rbp(2) + at("mxcsr") + each(b"\x0f\x10", range(8), "xmm", 16) + each(b"\x0f\x6f", range(8), "mm", 8)
            + each(b"\x8b", range(4), "reg", 4) + b"".join(b"\x48\x8b" + rbp(r) + at(n) for n, r in pointers)
            + b"\xff" + rbp(6) + at("flags") + b"\x9d")
    store = (b"\x9c\x8f" + rbp(0) + at("flags") + b"\x0f\xae" + rbp(3) + at("mxcsr") + each(b"\x0f\x11", range(8), "xmm", 16)
             + each(b"\x0f\x7f", range(8), "mm", 8) + each(b"\x89", range(4), "reg", 4) + b"\x0f\xae" + rbp(2) + at("usual"))
    return b"\x53\x55\x48\x89\xfd" + load + code + store + b"\x0f\x77\x5d\x5b\xc3"


class Host:
    def __init__(self):
        if platform.machine() not in ("x86_64", "AMD64"):
            pytest.skip("the oracle is an x86-64 processor")
        try:
            self.pages = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        except OSError as e:
            pytest.skip(f"the system gives no executable memory ({e})")
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(self.pages)))
        self.state, self.room = np.zeros(1, STATE), np.zeros(MEMORY + 64, np.uint8)
        first = -self.room.ctypes.data % 64
        self.memory = self.room[first:first + MEMORY]
        with open("/proc/cpuinfo") as f:
            self.features = set(next((line for line in f if line.startswith("flags")), "").split())

    def run(self, code, xmm, mm, reg, memory, mxcsr=0x1F80, flags=2):
        """(xmm, mm, EAX ECX EDX EBX, memory, MXCSR, flags) after the instruction; ESI and EDI point to the memory."""
        text = thunk(code)
        self.pages[:len(text)] = text
        s = self.state[0]
        s["xmm"], s["mm"], s["reg"], s["mxcsr"], s["usual"], s["flags"] = xmm, mm, reg, mxcsr, 0x1F80, flags
        s["rsi"] = s["rdi"] = self.memory.ctypes.data
        self.memory[:] = np.frombuffer(memory, np.uint8)
        self.call(self.state.ctypes.data)
        return (s["xmm"].tolist(), s["mm"].tolist(), s["reg"].tolist(), self.memory.tobytes(), int(s["mxcsr"]), int(s["flags"]) & 0xCD5)

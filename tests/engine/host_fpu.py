"""The x87 unit of the host, given a state and the bytes of an instruction: FXRSTOR, the instruction, FXSAVE.

The bytes mean the same in 64-bit mode; a memory operand must be [EDX] (RDX), which points to 128 bytes of its own.  Nothing waits,
so an unmasked exception is left pending, to be looked at, and FNINIT ends it.
"""
import ctypes
import mmap
import platform
import struct
from dataclasses import dataclass, field

SLOT = 16
AVAILABLE = platform.machine() in ("x86_64", "AMD64")
MEMORY = 128


@dataclass
class State:
    """st[i] are ST(i): pairs (significand, sign and exponent).  tags: a bit for each physical register that is not empty."""
    st: list = field(default_factory=lambda: [(0, 0)] * 8)
    fcw: int = 0x37F
    fsw: int = 0
    tags: int = 0xFF
    memory: bytes = bytes(MEMORY)
    eflags: int = 2
    eax: int = 0
    env: tuple = (0, 0, 0, 0, 0)                         # FOP, FIP, FCS, FDP, FDS


class HostFpu:
    def __init__(self):
        self.page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.buffer = mmap.mmap(-1, 4096)
        at = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        self.data = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        before = bytes.fromhex("4889d0 4989c9 51 9d 4c89c0 480fae0f".replace(" ", ""))
        # (rdi = image in, rsi = image out, rdx = operand, rcx = flags, r8 = rax, r9 -> results)
        before = bytes.fromhex("53 51 9d" "480fae0f" "4c89c0".replace(" ", ""))      # push rbx; push rcx; popfq; fxrstor64 [rdi]; mov rax, r8
        after = bytes.fromhex("480fae06" "9c 59 dbe3 498901 498949 08 5b c3".replace(" ", ""))
        # fxsave64 [rsi]; pushfq; pop rcx; fninit; mov [r9], rax; mov [r9+8], rcx; pop rbx; ret
        self.at = len(before)
        self.page[0:len(before) + SLOT + len(after)] = before + b"\x90" * SLOT + after
        self.call = ctypes.CFUNCTYPE(None, *[ctypes.c_uint64] * 6)(at)

    def run(self, code, s):
        image = struct.pack("<HHBBHIHHIHH", s.fcw, s.fsw, s.tags, 0, s.env[0], s.env[1], s.env[2], 0, s.env[3], s.env[4], 0)
        image += struct.pack("<II", 0x1F80, 0xFFFF) + b"".join(struct.pack("<QHHI", m, e, 0, 0) for m, e in s.st) + bytes(352)
        self.page[self.at:self.at + SLOT] = code + b"\x90" * (SLOT - len(code))
        self.buffer[0:512] = image
        self.buffer[1024:1024 + MEMORY] = s.memory
        self.call(self.data, self.data + 512, self.data + 1024, s.eflags, s.eax, self.data + 2048)
        out = self.buffer[512:1024]
        fcw, fsw, tags, _, fop, fip, fcs, _, fdp, fds, _ = struct.unpack_from("<HHBBHIHHIHH", out)
        eax, eflags = struct.unpack_from("<QQ", self.buffer[2048:2064])
        return State([struct.unpack_from("<QH", out, 32 + 16 * i) for i in range(8)], fcw, fsw, tags,
                     self.buffer[1024:1024 + MEMORY], eflags, eax, (fop, fip, fcs, fdp, fds))

"""MMX and SSE on every tier against the host's own processor: each row, each operand form, random and edge operands."""
import random
import struct

import numpy as np
import pytest
from host_processor import MEMORY, Host

from pyv86_nb.engine import forms
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.isa.rows import MAPS, parse
from pyv86_nb.engine.isa.vector import hint, touch
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.engine.processor import TIERS, Processor

ROWS = [r for r in OPCODES if r.bits and r.step not in (hint, touch)]
CODE, DATA, EACH = 0x1000, 0x2000, 24
PREFIX = (b"", b"\x66", b"\xf2", b"\xf3")
LANES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x8001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def lane_values(rng, n):
    """n bytes: noise, or edges of some width."""
    w = rng.choice((0, 1, 2, 4, 8))
    if w == 0:
        return rng.randbytes(n)
    return b"".join((rng.choice((*LANES, -1, -2, 1 << 8 * w - 1, (1 << 8 * w - 1) - 1)) & (1 << 8 * w) - 1).to_bytes(w, "little") for _ in range(n // w))


def cases(rng, row, form):
    """Code of one instruction, with [ESI] where there is memory."""
    prefix, which, opcode, _, extension = parse(row.encoding)
    memory = "m" in form.dst + form.src
    reg = int(extension) if extension.isdigit() else rng.randrange(8 if "G" not in row.operands[0] else 4)
    rm = 6 if memory else rng.randrange(4 if "r" in form.dst + form.src else 8)
    if "Gd" in row.operands:
        reg = rng.randrange(4)
    ignored = b"\x66" if prefix and prefix > 1 and rng.random() < .2 else b""          # F2 and F3 are stronger
    code = ignored + PREFIX[prefix or 0] + bytes.fromhex(MAPS[which]) + bytes([opcode, (0 if memory else 0xC0) | reg << 3 | rm])
    return code + (bytes([rng.choice((rng.randrange(256), rng.randrange(20)))]) if "Ib" in row.operands else b"")


class Guest:
    def __init__(self, tier):
        memory = PhysicalMemory(1 << 16)
        memory.map(0, 1 << 16, 0, 0)
        self.p, self.ram = Processor(memory, tier), memory.ram
        self.p.flat()
        self.p.cpu.cr4 = S.OSFXSR | S.OSXMMEXCPT
        self.p.set("cr0", S.PE | S.NE)
        self.fresh = self.p.array.copy()

    def run(self, code, xmm, mm, reg, memory, mxcsr=0x1F80, flags=2):
        p, cpu = self.p, self.p.cpu
        p.array[:] = self.fresh
        cpu.stales = S.STALE
        self.ram[CODE:CODE + 16] = np.frombuffer(code.ljust(16, b"\xf4"), np.uint8)
        self.ram[DATA:DATA + MEMORY] = np.frombuffer(memory, np.uint8)
        p.array["xmm"][0] = np.array(xmm, np.uint64).view(np.int64).ravel()
        for i in range(8):
            cpu.st[i].significand = int(np.uint64(mm[i]).view(np.int64))
        for i, v in enumerate(reg):
            cpu.reg[i] = v
        cpu.reg[S.ESI] = cpu.reg[S.EDI] = DATA
        cpu.eip, cpu.mxcsr = CODE, mxcsr
        cpu.cf, cpu.carries, cpu.result = F.from_image(flags)
        p.run(1)
        assert cpu.eip == CODE + len(code), (code.hex(), p.faults)
        words = p.array["xmm"][0].view(np.uint64).reshape(8, 2).tolist()
        return (words, [cpu.st[i].significand & (1 << 64) - 1 for i in range(8)], [cpu.reg[i] for i in range(4)],
                self.ram[DATA:DATA + MEMORY].tobytes(), cpu.mxcsr, p.get("eflags") & 0xCD5)


@pytest.fixture(scope="module")
def host():
    return Host()


@pytest.fixture(scope="module")
def guests():
    return {t: Guest(t) for t in TIERS}


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.name} {r.encoding}")
def test_against_the_host(row, host, guests):
    rng = random.Random(row.encoding)
    for form in forms.forms(row):
        for _ in range(EACH):
            code = cases(rng, row, form)
            xmm = struct.unpack("<16Q", b"".join(lane_values(rng, 16) for _ in range(8)))
            if row.name[:3] in ("psr", "psl") and rng.random() < .7:
                xmm = [v & 63 if k % 2 == 0 and k // 2 == code[-1] & 7 else v for k, v in enumerate(xmm)]
            state = (np.array(xmm, np.uint64).reshape(8, 2).tolist(), [rng.getrandbits(64) for _ in range(8)],
                     [rng.getrandbits(32) for _ in range(4)], lane_values(rng, MEMORY))
            want = host.run(code, *state)
            for tier, guest in guests.items():
                got = guest.run(code, *state)
                assert got == want, (tier, code.hex(), [(a, b) for a, b in zip(got, want, strict=True) if a != b], state)

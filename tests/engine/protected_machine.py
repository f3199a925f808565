"""A processor in 32-bit protected mode with tables that a test fills in: GDT, IDT, LDT, TSS, a stack for each level.

    m = Machine(tier)
    m.gdt[11] = segment(0x30000, 0xFFF, DATA | EXPAND_DOWN)
    end = m.run("mov ds, ax", cpl=3, eax=11 * 8 | 3)
    assert end.fault == (GP, 11 * 8)                    # vector and error code, as the handler found them on its stack

Each vector has a gate to a HLT of its own, so where the processor halts says what happened and the frame is at SS:ESP.
"""
import os

from pyv86_nb.demo.assemble import assemble
from pyv86_nb.engine import reasons
from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.exceptions import has_error_code
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.engine.processor import Processor

TIERS = tuple(os.environ.get("PYV86_TEST_TIERS", "native threaded python").split())
RAM = 1 << 20
GDT, IDT, LDT, TSS, TSS2, HANDLERS, PAGES = 0x1000, 0x2000, 0x2800, 0x3000, 0x3800, 0x5000, 0x6000
CODE, DATA = 0x10000, 0x30000
STACK = [0x20000, 0x22000, 0x24000, 0x26000]            # where the stack of each level begins, downwards
DE, DB, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF = 0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14
# type fields, SDM vol. 3, tables 3-1 and 3-2
R_DATA, W_DATA, X_CODE, R_CODE, CONFORM = 0x10, 0x12, 0x18, 0x1A, 0x04
EXPAND_DOWN = 0x14
TSS16, LDT_TYPE, TSS16_BUSY, CALL16, TASK_GATE, INT16, TRAP16, TSS32, TSS32_BUSY, CALL32, INT32, TRAP32 = 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15
CODE_OF, DATA_OF = [0x08, 0x29, 0x3A, 0x1B], [0x10, 0x31, 0x42, 0x23]      # flat selectors of levels 0 to 3
TSS_SELECTOR, LDT_SELECTOR, TSS2_SELECTOR = 0x48, 0x50, 0x58
FREE = 12                                               # GDT entries from here on are the tests'
KERNELS_OWN = {"eflags", "eip"}


def segment(base, limit, kind, dpl=0, present=1, big=1, pages=None):
    """A descriptor, SDM vol. 3, figure 3-8.  The limit is in bytes; above 1 MiB it is kept in pages."""
    pages = limit > 0xFFFFF if pages is None else pages
    limit = limit >> 12 if pages else limit
    return (limit & 0xFFFF | (base & 0xFFFFFF) << 16 | (kind | dpl << 5 | present << 7) << 40 | (limit >> 16) << 48
            | big << 54 | pages << 55 | (base >> 24) << 56)


def gate(selector, offset, kind, dpl=0, present=1, count=0):
    """SDM vol. 3, figures 5-8, 6-2 and 7-6."""
    return offset & 0xFFFF | selector << 16 | count << 32 | (kind | dpl << 5 | present << 7) << 40 | (offset >> 16) << 48


class Table(dict):
    """Descriptors by number, written through to memory."""

    def __init__(self, memory, at):
        self.memory, self.at = memory, at

    def __setitem__(self, n, descriptor):
        self.memory.write(self.at + 8 * n, descriptor.to_bytes(8, "little"))

    def __getitem__(self, n):
        return int.from_bytes(self.memory.read(self.at + 8 * n, 8), "little")

    def kind(self, n):
        """The type byte, without P and DPL."""
        return self[n] >> 40 & 0x1F


class End:
    """What has become of it: `fault` is (vector, error code) or None; frame, its words; registers by name."""

    def __init__(self, machine, why):
        self.m, self.why, p = machine, why, machine.p
        self.halted, vector = p.cpu.halted, p.get("eip") - HANDLERS - 1
        self.vector = vector if p.cpu.halted and 0 <= vector < 256 else None
        self.fault, self.frame, sp = None, [], p.get("esp")
        if self.vector is not None:
            base = p.cpu.segment[S.SS].base
            sp = sp if p.cpu.segment[S.SS].rights & 0x4000 else sp & 0xFFFF
            self.frame = [machine.word(base + sp + 4 * i) for i in range(10)]
            error = self.frame.pop(0) if has_error_code(self.vector) else None
            self.fault = self.vector, error

    def __getattr__(self, name):
        return self.m.p.get(name)

    def __repr__(self):
        return f"End({reasons.NAMES.get(self.why)}, fault={self.fault}, cs:eip={self.cs:x}:{self.eip:x}, {self.m.p.faults})"


class Machine:
    made: dict = {}

    def __new__(cls, tier):
        if tier not in cls.made:
            m = cls.made[tier] = super().__new__(cls)
            m.memory = PhysicalMemory(RAM)
            m.memory.map(0, RAM, 0, 0)
            m.p = Processor(m.memory, tier)
        return cls.made[tier]

    def __init__(self, tier):
        self.memory.host[:RAM] = 0
        self.p.cpu.stales = S.STALE
        self.p.reset()
        self.gdt, self.idt, self.ldt = Table(self.memory, GDT), Table(self.memory, IDT), Table(self.memory, LDT)
        for level in range(4):
            self.gdt[CODE_OF[level] >> 3] = segment(0, 0xFFFFFFFF, R_CODE | 1, level)
            self.gdt[DATA_OF[level] >> 3] = segment(0, 0xFFFFFFFF, W_DATA | 1, level)
        self.gdt[TSS_SELECTOR >> 3] = segment(TSS, 0x67, TSS32, big=0)
        self.gdt[LDT_SELECTOR >> 3] = segment(LDT, 0xFF, LDT_TYPE, big=0)
        self.gdt[TSS2_SELECTOR >> 3] = segment(TSS2, 0x67, TSS32, big=0)
        for level in range(3):
            self.put(TSS + 4 + 8 * level, STACK[level], DATA_OF[level])
        self.put(TSS + 0x64, 0x680000)
        for v in range(256):
            self.idt[v] = gate(0x08, HANDLERS + v, INT32)
        self.memory.write(HANDLERS, b"\xf4" * 256)
        p = self.p
        p.set("cr0", 0x10)
        p.flat()
        p.set("gdtr", (GDT, 0x3FF))
        p.set("idtr", (IDT, 0x7FF))
        SEG.set_segment(p.cpu, S.TR, TSS_SELECTOR, TSS, 0x67, 0x80 | TSS32_BUSY)
        self.gdt[TSS_SELECTOR >> 3] = segment(TSS, 0x67, TSS32_BUSY, big=0)
        SEG.set_segment(p.cpu, S.LDTR, LDT_SELECTOR, LDT, 0xFF, 0x82)
        p.cpu.tr, p.cpu.ldtr = TSS_SELECTOR, LDT_SELECTOR

    # MEMORY

    def put(self, at, *words):
        """32-bit words."""
        self.memory.write(at, b"".join((w & 0xFFFFFFFF).to_bytes(4, "little") for w in words))

    def word(self, at, size=4):
        return int.from_bytes(self.memory.read(at & 0xFFFFF, size), "little")

    def assemble(self, text, at=CODE, bits=32):
        """Put code into memory; its labels.  Text or bytes; a HLT comes behind it."""
        code = bytes(text) if isinstance(text, (bytes, bytearray)) else assemble(text + "\nhlt\n", at, bits=bits)
        self.memory.write(at, code + b"\xf4")
        return getattr(code, "symbols", {})

    # RUNNING

    def enter(self, cpl, **registers):
        """The flat segments of a level, its stack, and registers by name (segments as MOV loads them)."""
        p = self.p
        p.set("cs", CODE_OF[cpl])
        for s in ("ss", "ds", "es"):
            p.set(s, DATA_OF[cpl])
        for s in ("fs", "gs"):
            p.set(s, 0)
        p.set("esp", STACK[cpl])
        p.set("eip", CODE)
        p.set("eflags", 2)
        for name, v in registers.items():
            p.set(name, v)

    def run(self, text=None, cpl=0, ticks=1000, bits=32, at=CODE, **registers):
        """Run code at a level until a HLT (above level 0 that is #GP(0) of its own: end with INT 80h, or expect it)."""
        if text is not None:
            self.labels = self.assemble(text, at, bits)
        self.enter(cpl, **{"eip": at, **registers})
        self.p.cpu.halted = 0
        return self.go_on(ticks)

    def go_on(self, ticks=1000):
        return End(self, self.p.run(ticks))

    def let_int_80(self, kind=INT32, selector=0x08):
        """A gate that all levels may use: how programs above level 0 stop."""
        self.idt[0x80] = gate(selector, HANDLERS + 0x80, kind, dpl=3)

    def vm86(self, text, cs=0x1000, ip=0, iopl=0, ticks=1000, **registers):
        """Into virtual-8086 mode at cs:ip by an IRET from level 0; the stack is 2000:1000, other segments 3000."""
        self.labels = self.assemble(text, cs * 16 + ip, 16)
        names = {"ss": 0x2000, "esp": 0x1000, "eflags": F.VM | iopl << 12 | 2, "es": 0x3000, "ds": 0x3000, "fs": 0x3000, "gs": 0x3000}
        names |= {k: registers.pop(k) for k in list(registers) if k in names}
        frame = STACK[0] - 0x400
        self.put(frame, ip, cs, *(names[k] for k in ("eflags", "esp", "ss", "es", "ds", "fs", "gs")))
        self.memory.write(0x8000, b"\xcf")
        return self.run(None, 0, ticks, at=0x8000, esp=frame, **registers)

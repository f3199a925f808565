"""Small machines that the processor tests run in: mode, segments, paging, and a table of handlers that halt.

    0000 IVT   2000 IDT   3000 GDT   3800 TSS   4000 handlers, HLT each   5000 the inner stack   6000 code   8000 page tables
    20000-24000 data   24000 not present   25000 read only   26000 supervisor's   27000 both         (where there is paging)
Everything that is not used is full of HLT, so that wherever a jump goes, the run is over.
"""
import struct
from dataclasses import dataclass, field

import numpy as np

from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.memory import PhysicalMemory
from pyv86_nb.engine.paging import flush_address_space
from pyv86_nb.engine.processor import TIERS, Processor
from pyv86_nb.engine.reasons import TRIPLE_FAULT

RAM = 0x40000
IDT, GDT, TSS, HANDLERS, INNER, CODE, TABLES, DATA, HOLE = 0x2000, 0x3000, 0x3800, 0x4000, 0x5F00, 0x6000, 0x8000, 0x20000, 0x24000
CODE0, DATA0, CODE3, DATA3 = 0x08, 0x10, 0x1B, 0x23
LDT = 0x3C00


def descriptor(base, limit, rights):
    """rights as segmentation.py has them; a limit beyond 1 MiB is kept in pages."""
    if limit > 0xFFFFF:
        limit, rights = limit >> 12, rights | 0x8000
    return struct.pack("<II", (base & 0xFFFF) << 16 | limit & 0xFFFF,
                       base & 0xFF000000 | (base >> 16 & 0xFF) | limit & 0xF0000 | (rights & 0xF0FF) << 8)


def gate(selector, offset, kind):
    return struct.pack("<HHHH", offset & 0xFFFF, selector, kind << 8, offset >> 16)


@dataclass
class World:
    name: str
    code: tuple = (CODE0, 0, 0xFFFFFFFF, 0xC09B)
    stack: tuple = (DATA0, 0, 0xFFFFFFFF, 0xC093)
    data: dict = field(default_factory=dict)             # ES, DS, FS, GS where they are not like the stack
    paging: bool = False
    eflags: int = 0
    protected: bool = True
    cr0: int = 0
    pae: bool = False

    def __post_init__(self):
        self.width = 32 if self.code[3] & 0x4000 else 16
        self.stack_width = 32 if self.stack[3] & 0x4000 else 16
        self.ring = 3 if self.eflags & F.VM else self.code[0] & 3
        data = dict.fromkeys((S.ES, S.DS, S.FS, S.GS), self.stack) | self.data | {S.CS: self.code, S.SS: self.stack}
        self.segments = [data[s] for s in range(6)]
        self.wild = self.paging or not any(s[2] > 0x1FFFF for s in self.segments)    # an address anywhere cannot leave the RAM
        self.eip = CODE - self.code[1]
        self.sp = 0x22800 - self.stack[1]
        self.system = [(0x28, TSS, 0x67, 0x8B), (0x30, LDT, 0x3F, 0x82)]
        self.tables = [(GDT, 0x7F), (IDT, 0x1FF) if self.protected else (0, 0x3FF)]
        self.control = [0x10 | self.cr0 | self.protected | (0x80000000 if self.paging else 0), 0, TABLES if self.paging else 0,
                        S.OSFXSR | S.OSXMMEXCPT | (S.PAE | S.PGE if self.pae else 0)]
        self.pointers = [TABLES + 0x2001, 0, 0, TABLES + 0x2001] if self.pae else [0] * 4
        self.image = self.build()

    def build(self):
        m = bytearray(b"\xf4" * RAM)
        m[0:0x400] = b"".join(struct.pack("<HH", HANDLERS + 4 * v, 0) for v in range(256))
        m[IDT:IDT + 0x200] = b"".join(gate(CODE0, HANDLERS + 4 * v, 0xEE if v in (3, 4, 0x30) else 0x8E) for v in range(64))
        table = [0] * 16
        table[1], table[2] = descriptor(0, 0xFFFFFFFF, 0x409B), descriptor(0, 0xFFFFFFFF, 0x4093)
        table[3], table[4] = descriptor(0, 0xFFFFFFFF, 0x40FB), descriptor(0, 0xFFFFFFFF, 0x40F3)
        table[5], table[6] = descriptor(TSS, 0x67, 0x8B), descriptor(LDT, 0x3F, 0x82)
        table[7] = descriptor(0x20000, 0x3FFF, 0xF2)     # 16-bit data, not accessed yet
        table[8] = descriptor(0x20000, 0x1FFF, 0x40F6)   # expand down
        table[9] = descriptor(0, 0xFFFF, 0x009A)         # 16-bit code
        table[10] = descriptor(0, 0xFFFFFFFF, 0x409E)    # conforming
        table[11] = descriptor(0, 0xFFFF, 0x4018)        # code, not present, not readable
        table[12] = gate(CODE0, HANDLERS + 0x80, 0xEC)   # a call gate
        table[13] = descriptor(0x20000, 0x2FFF, 0x40F0)  # read only
        table[14] = descriptor(0x20000, 0x2FFF, 0x4093)
        table[15] = descriptor(0x20000, 0x2FFF, 0x0013)  # data, not present
        m[GDT:GDT + 128] = b"".join(t or bytes(8) for t in table)
        m[LDT:LDT + 64] = b"".join([bytes(8), descriptor(0x20000, 0x3FFF, 0x40F3), descriptor(0x20000, 0xFFF, 0x0093), descriptor(0, 0xFFFFFFFF, 0x40FB)]
                                   + [bytes(8)] * 4)
        tss = bytearray(0x68)
        struct.pack_into("<IIIIIII", tss, 4, INNER, DATA0, 0, 0, 0, 0, 0)
        struct.pack_into("<HH", tss, 0x64, 0, 0x68)
        m[TSS:TSS + 0x68] = tss
        if self.paging:
            m[TABLES:TABLES + 4096] = struct.pack("<I", TABLES + 0x1007) + bytes(4092)
            pages = [i << 12 | 7 for i in range(RAM >> 12)] + [0] * (1024 - (RAM >> 12))
            pages[HOLE >> 12] = 0x24F06
            pages[0x25], pages[0x26], pages[0x27] = 0x25005, 0x26003, 0x27001
            m[TABLES + 4096:TABLES + 8192] = struct.pack("<512Q", *pages[:512]) if self.pae else struct.pack("<1024I", *pages)
            if self.pae:
                m[TABLES:TABLES + 32] = struct.pack("<4Q", *self.pointers)
                m[TABLES + 8192:TABLES + 12288] = struct.pack("<512Q", TABLES + 0x1007, *[0] * 510, TABLES + 0x2003)
        return bytes(m)


PLAIN3 = {"code": (CODE3, 0, 0xFFFFFFFF, 0xC0FB), "stack": (DATA3, 0, 0xFFFFFFFF, 0xC0F3)}
SMALL = {S.ES: (0x38, 0x20000, 0x3FFF, 0xF3), S.DS: (0x38, 0x20000, 0x3FFF, 0xF3), S.FS: (0x40, 0x20000, 0x1FFF, 0x40F7), S.GS: (0x6B, 0x20000, 0x2FFF, 0x40F1)}
REAL = dict.fromkeys((S.ES, S.DS), (8192, 131072, 65535, 147)) | {S.FS: (0x2100, 0x21000, 0xFFFF, 0x93), S.GS: (0x2345, 0x23450, 0xFFFF, 0x93)}
V86 = {s: (sel, base, 0xFFFF, 0xF3) for s, (sel, base, _, _) in REAL.items()}
V86_WORLD = {"code": (0, 0, 0xFFFF, 0xF3), "stack": (0x2000, 0x20000, 0xFFFF, 0xF3), "data": V86, "eflags": F.VM}
WORLDS = [
    World("flat"), World("paged", paging=True, cr0=S.WP), World("paged without WP", paging=True),
    World("user", **PLAIN3, paging=True), World("user, IOPL 3", **PLAIN3, paging=True, eflags=0x3000, cr0=S.WP),
    World("segments", (CODE0, 0, 0x1FFFF, 0x409B), (0x70, 0x20000, 0x2FFF, 0x4093), SMALL),
    World("user segments", (CODE3, 0, 0x1FFFF, 0x40FB), (0x0F, 0x20000, 0x3FFF, 0x40F3), SMALL, paging=True),
    World("16 bit", (0x48, 0, 0xFFFF, 0x9B), (0x14, 0x20000, 0x3FFF, 0x93), SMALL),
    World("16 bit, wide stack", (0x48, 0, 0xFFFF, 0x9B), (0x70, 0x20000, 0x2FFF, 0x4093), SMALL),
    World("32 bit, narrow stack", (CODE0, 0, 0x1FFFF, 0x409B), (0x14, 0x20000, 0x3FFF, 0x93), SMALL),
    World("real", (0, 0, 0xFFFF, 0x9B), (0x2000, 0x20000, 0xFFFF, 0x93), REAL, protected=False),
    World("v86", **V86_WORLD, paging=True),
    World("v86, IOPL 3", (0, 0, 0xFFFF, 0xF3), (0x2000, 0x20000, 0xFFFF, 0xF3), V86, eflags=F.VM | 0x3000, paging=True),
]


class Machine:
    """A processor in a world, to be put back between runs."""

    def __init__(self, tier, world, size=RAM, model="max"):
        memory = PhysicalMemory(size)
        memory.map(0, size, 0, 0)
        self.tier, self.world, self.p = tier, world, Processor(memory, tier, model=model)
        self.cpu, self.ram = self.p.cpu, memory.ram
        cpu = self.cpu
        cpu.cr0, _, cpu.cr3, cpu.cr4 = world.control
        cpu.eflags, cpu.efer = world.eflags, S.NXE if world.pae else 0
        for i in range(4):
            cpu.pdpte[i] = world.pointers[i]
        for s, one in enumerate(world.segments):
            SEG.set_segment(cpu, s, *one)
        for s, one in zip((S.TR, S.LDTR), world.system, strict=True):
            SEG.set_segment(cpu, s, *one)
        cpu.tr, cpu.ldtr = world.system[0][0], world.system[1][0]
        (cpu.gdt_base, cpu.gdt_limit), (cpu.idt_base, cpu.idt_limit) = world.tables
        cpu.cpl = world.ring
        cpu.fcw, cpu.ftw = 0x37F, 0                      # FNINIT
        flush_address_space(cpu)
        SEG.update_mode(cpu)
        self.fresh, self.flags = self.p.array.copy(), memory.flags

    def start(self, memory, regs, eip, eflags, keep=False, xmm=None):
        """keep: leave the translated code and the TLB as they are; `memory` has the same code then."""
        cpu, p = self.cpu, self.p
        if keep:
            for n in S.ARCHITECTURAL:
                p.array[n] = self.fresh[n]
            for n in ("budget", "end", "target", "extra", "external"):
                p.array[n] = self.fresh[n]
            SEG.update_mode(cpu)
            cpu.generation += 1
            cpu.era += 1
        else:
            p.array[:] = self.fresh
            cpu.stales = S.STALE
            self.flags[:RAM >> 12] &= ~np.uint8(S.DIRTY)
        self.ram[:len(memory)] = np.frombuffer(memory, np.uint8)
        for i, v in enumerate(regs):
            cpu.reg[i] = v
        if xmm is not None:
            words = np.array(xmm, np.uint64).view(np.int64)
            p.array["xmm"][0], p.array["st"]["significand"][0] = words[:16], words[16:]
        cpu.eip = eip
        cpu.cf, cpu.carries, cpu.result = F.from_image(eflags)
        cpu.eflags = eflags & ~(F.MASK | 2)
        cpu.attention = 1

    def run(self, ticks=2000):
        """What a test compares: see `Outcome`."""
        cpu, p = self.cpu, self.p
        why = p.run(ticks)
        why = {TRIPLE_FAULT: "shutdown"}.get(why, "halt" if cpu.halted else "budget")
        shown = [(cpu.reg[S.SELECTORS + s] if s < 6 else (cpu.tr, cpu.ldtr)[s == S.LDTR], one.base, one.limit, one.rights)
                 for s, one in ((s, cpu.segment[s]) for s in (*range(6), S.TR, S.LDTR))]
        tables = [(cpu.gdt_base, cpu.gdt_limit), (cpu.idt_base, cpu.idt_limit)]
        return (why, [cpu.reg[i] for i in range(8)], cpu.eip, p.get("eflags"), shown, tables, [cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4],
                p.instructions, p.now, p.faults, cpu.cpl, [cpu.dr[6], cpu.dr[7]], self.ram.tobytes(),
                np.concatenate([p.array["xmm"][0], p.array["st"]["significand"][0]]).view(np.uint64).tolist(), cpu.mxcsr,
                [getattr(cpu, n) for n in ("ftw", "ftop", "fsw", "fcw", "fop", "fip", "fcs", "fdp", "fds")] + p.array["st"]["exponent"][0].tolist())


def machines(world, size=RAM):
    return [Machine(t, world, size) for t in TIERS]

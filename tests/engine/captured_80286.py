"""A processor put into the state of a captured 80286 and run to the HLT behind the instruction (oracles/singlestep-80286)."""
import functools
import gzip
import json

from pyv86_nb.engine import models
from pyv86_nb.engine import segmentation as SEG
from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.memory import PAGE, PhysicalMemory
from pyv86_nb.engine.processor import Processor

RAM = 0x200000                                          # A20 is open: FFFF:FFFF is above 1 MiB
GENERAL = {"ax": S.EAX, "cx": S.ECX, "dx": S.EDX, "bx": S.EBX, "sp": S.ESP, "bp": S.EBP, "si": S.ESI, "di": S.EDI}
SELECTORS = {"es": S.ES, "cs": S.CS, "ss": S.SS, "ds": S.DS}
LIMIT = 70000                                           # ticks: a REP of 65535 elements, and a little
CF, PF, AF, ZF, SF, OF = F.CF, F.PF, F.AF, F.ZF, F.SF, F.OF
ARITHMETIC = CF | PF | AF | ZF | SF | OF
PREFIXES = {0x26: S.ES, 0x2E: S.CS, 0x36: S.SS, 0x3E: S.DS, 0xF0: None, 0xF2: None, 0xF3: None}
STACK_OPCODES = {0x07, 0x17, 0x1F, *range(0x58, 0x62), 0x8F, 0x9D, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB, 0xCF}
STRINGS = {0x6D: "di", 0x6F: "si", 0xA5: "si di", 0xA7: "si di", 0xAB: "di", 0xAD: "si", 0xAF: "di"}


@functools.lru_cache(maxsize=2)
def cases(path):
    """The captures of one file."""
    with gzip.open(path, "rt") as f:
        return [Case(path.name.split(".jsonl")[0], json.loads(line)) for line in f]


class Case:
    def __init__(self, form, record):
        self.form, self.id, self.name = form, (form, record["idx"]), record["name"]
        self.code = bytes.fromhex(record["bytes"])[:-1]                     # without the HLT
        self.regs, self.ram = record["initial"]["regs"], dict(map(tuple, record["initial"]["ram"]))
        self.after = self.regs | record["final"]["regs"]
        self.ram_after = self.ram | dict(map(tuple, record["final"]["ram"]))
        self.exception = record.get("exception", {}).get("number")
        n = 0
        while self.code[n] in PREFIXES:
            n += 1
        self.prefixes, self.opcode, self.modrm = self.code[:n], self.code[n], (self.code[n + 1:n + 2] or b"\0")[0]

    def stack_fault(self):
        """Whether what lies beyond the limit is of the stack segment."""
        if self.opcode in STACK_OPCODES and (self.opcode != 0x8F or self.regs["sp"] == 0xFFFF):
            return True
        override = [PREFIXES[p] for p in self.prefixes if PREFIXES[p] is not None]
        if self.opcode in STRINGS:
            return override[-1:] == [S.SS] and "si" in STRINGS[self.opcode] and self.regs["si"] == 0xFFFF
        mod, rm = self.modrm >> 6, self.modrm & 7
        return (override[-1] if override else S.SS if rm in (2, 3) or (rm == 6 and mod) else S.DS) == S.SS

    def may_lock(self):
        """SDM vol. 2, LOCK: the destinations in memory of these and no others."""
        o, reg = self.opcode, self.modrm >> 3 & 7
        return self.modrm >> 6 != 3 and (
            (o < 0x38 and o & 7 < 2) or (o in range(0x80, 0x84) and reg != 7) or o in (0x86, 0x87)
            or (o in (0xF6, 0xF7) and reg in (2, 3)) or (o in (0xFE, 0xFF) and reg < 2))

    def undefined(self):
        """The flags that the manual leaves undefined (SDM vol. 1, appendix A, and the instruction's page in vol. 2)."""
        o, reg = self.opcode, self.modrm >> 3 & 7
        if (o < 0x38 and o & 7 < 6 and o >> 3 in (1, 4, 6)) or o in (0x84, 0x85, 0xA8, 0xA9):
            return AF                                                       # OR AND XOR TEST
        if (o in range(0x80, 0x84) and reg in (1, 4, 6)) or (o in (0xF6, 0xF7) and reg < 2):
            return AF
        if o in (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3):
            count = 1 if o in (0xD0, 0xD1) else (self.code[-1] if o < 0xD0 else self.regs["cx"]) & 31
            if count == 0:
                return 0
            too_far = CF if reg in (4, 5, 6) and count >= 8 << (o & 1) else 0
            return (AF if reg > 3 else 0) | (OF if count > 1 else 0) | too_far
        if o in (0xF6, 0xF7):
            return {4: SF | ZF | AF | PF, 5: SF | ZF | AF | PF, 6: ARITHMETIC, 7: ARITHMETIC}.get(reg, 0)
        return {0x69: SF | ZF | AF | PF, 0x6B: SF | ZF | AF | PF, 0x27: OF, 0x2F: OF, 0x37: OF | SF | ZF | PF,
                0x3F: OF | SF | ZF | PF, 0xD4: OF | AF | CF, 0xD5: OF | AF | CF}.get(o, 0)


class Captured:
    """One processor for many captures; its memory is all zeros between them."""

    def __init__(self, tier):
        self.memory = PhysicalMemory(RAM)
        self.memory.map(0, RAM, 0, 0)
        self.cpu = Processor(self.memory, tier)
        self.cpu.cpu.offers &= ~models.FPU               # there was no 80287
        self.cpu.real()
        self.tlb_writes = self.cpu.array["tlb"]["room"][0]

    def load(self, regs, ram):
        cpu = self.cpu.cpu
        for name, k in GENERAL.items():
            cpu.reg[k] = regs[name]
        for name, s in SELECTORS.items():
            SEG.set_segment(cpu, s, regs[name], regs[name] << 4, 0xFFFF, SEG.REAL_DATA)
        cpu.cf, cpu.carries, cpu.result = F.from_image(regs["flags"])
        cpu.eflags, cpu.eip = regs["flags"] & 0xFFF & ~(F.MASK | 2), regs["ip"]
        cpu.halted = cpu.shadow = cpu.chained = 0
        SEG.update_mode(cpu)
        for at, v in ram.items():
            self.memory.host[at] = v
        cpu.stales = S.STALE                            # what was translated is of the last capture

    def run(self, regs, ram, ticks=LIMIT):
        """({register: value}, {address: byte} of what is not zero)."""
        self.load(regs, ram)
        self.cpu.run(ticks)
        cpu = self.cpu.cpu
        found = {name: cpu.reg[k] & 0xFFFF for name, k in GENERAL.items()}
        found |= {name: cpu.reg[S.SELECTORS + s] for name, s in SELECTORS.items()}
        return found | {"ip": cpu.eip, "flags": self.cpu.get("eflags") & 0xFFFF}, self.take_memory(ram)

    def take_memory(self, ram):
        """What is in memory now, and zeros again there."""
        host, flags, found = self.memory.host, self.memory.flags, {}
        for page in {at // PAGE for at in ram} | set((flags[:RAM // PAGE] & S.DIRTY).nonzero()[0].tolist()):
            here = host[page * PAGE:(page + 1) * PAGE]
            for k in here.nonzero()[0].tolist():
                found[page * PAGE + k] = int(here[k])
            here[:] = 0
        flags[:RAM // PAGE] &= 255 - S.DIRTY
        self.tlb_writes[:] = 0                          # so that the next write marks its page again
        return found

"""Random instructions from the opcode table: every row, operand form, size, prefix and addressing mode.

A case is code, the registers and flags it starts with, and changes to the memory of its world.  Memory operands are aimed:
into the data, across pages, at the ends of segments, at pages that are missing, read-only or the supervisor's.
"""
from dataclasses import dataclass, field

from worlds import CODE, DATA, HANDLERS, HOLE

from pyv86_nb.engine import state as S
from pyv86_nb.engine.isa import flags as F
from pyv86_nb.engine.isa import steps
from pyv86_nb.engine.isa.opcodes import OPCODES
from pyv86_nb.engine.isa.rows import MAPS, parse

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 31, 32, 33)
SELECTORS = (0, 3, 0x08, 0x10, 0x1B, 0x23, 0x20, 0x13, 0x28, 0x30, 0x3B, 0x38, 0x43, 0x40, 0x48, 0x4B, 0x50, 0x53, 0x58, 0x60, 0x63, 0x68, 0x6B,
             0x70, 0x73, 0x78, 0x80, 0x0C, 0x0F, 0x14, 0x17, 0x1C, 0x1F, 0x24, 0x3C, 0x44)
REAL_SELECTORS = (0, 0x2000, 0x2001, 0x20FF, 0x2300, 0x1234, 0x600)
# what a random case does not hold: time and identity, ports, x87, what would need a system around it
ELSEWHERE = {"in", "out", "ins", "outs", "rdtsc", "rdmsr", "wrmsr", "cpuid", "esc", "wait", "hlt", "mov_to_control", "mov_to_debug",
             "mov_from_debug", "lmsw", "invd", "wbinvd", "ud", "int", "int3", "into", "int1", "lgdt", "lidt", "ltr",
             "rdrand", "rdseed", "rdpmc", "rdtscp", "sysenter", "sysexit", "clac"}
ROWS = [r for r in OPCODES if r.name not in ELSEWHERE and r.kernel not in ("x87", "wait", "fxsave", "fxrstor")]      # x87: test_fpu.py
STRINGS = {"movs": "sd", "cmps": "sd", "stos": "d", "lods": "s", "scas": "d"}
READERS = {"adc", "sbb", "rcl", "rcr", "j", "set", "cmov", "lahf", "sahf", "pushf", "cmc", "salc", "loope", "loopne", "into", "daa", "das", "aaa",
           "aas", "int", "int3", "int1", "call_far", "iret"}
MODRM = {"Eb", "Ev", "Ew", "Gb", "Gv", "Gw", "M", "Mv", "Mb", "Mp", "Mq", "Ms", "Rd", "Sw", "Eq", "V", "W", "U", "P", "Q", "N", "Ed", "Gd"}
FAR = {"call_far", "jmp_far", "ret_far", "iret", "int", "int3", "into"}


@dataclass
class Case:
    world: object
    regs: list
    eflags: int
    code: bytes = b""
    rows: list = field(default_factory=list)
    undefined: int = 0                                  # flags at the end, and at any time
    ever: int = 0
    xmm: list = field(default_factory=lambda: [0] * 24)  # words of the XMM and MMX registers
    data: dict = field(default_factory=dict)            # linear address: bytes
    at: list = field(default_factory=list)              # where each instruction begins

    def memory(self, block):
        m = bytearray(self.world.image)
        m[DATA:DATA + len(block)] = block
        for a, b in self.data.items():
            if 0 <= a <= len(m) - len(b):
                m[a:a + len(b)] = b
        m[CODE:CODE + len(self.code)] = self.code
        return bytes(m)

    def __str__(self):
        names = ", ".join(f"{r.encoding} {r.name} {' '.join(r.operands)}" for r in self.rows)
        return f"{self.world.name}: {names}: {self.code.hex()} {[hex(r) for r in self.regs]} flags {self.eflags:#x} undefined {self.undefined:#x}"


def value(rng):
    return rng.choice((rng.getrandbits(32), rng.getrandbits(8), rng.choice(EDGES), rng.getrandbits(16)))


def start(rng, world):
    regs = [value(rng) for _ in range(8)]
    regs[4] = (rng.getrandbits(16) << 16 if world.stack_width == 16 else 0) | (world.sp + rng.choice((0, 0, 0, -0x7FE, -0x801, 1, -2, 0x7F8)))
    flags = world.eflags | 2 | sum(rng.choice((0, f)) for f in (F.CF, F.PF, F.AF, F.ZF, F.SF, F.OF)) | (F.DF if rng.random() < .2 else 0)
    words = (rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(5), 0x8000800080007FFF, 0xFFFFFFFF00000000)
    return Case(world, regs, flags, xmm=[rng.choice(words) for _ in range(24)])


def target(rng, world, s, size):
    """An offset in segment s worth trying."""
    selector, base, limit, rights = world.segments[s]
    if rights & 12 == 4 and rng.random() < .5:           # expand down
        return limit + 1 + rng.randrange(-3, 4)
    if limit <= 0xFFFF and rng.random() < .25:
        return rng.choice((limit - rng.randrange(10), 0, limit + 1, 0xFFFF, 0xFFFF - rng.randrange(4)))
    to = rng.randrange(DATA, HOLE - 16)
    if rng.random() < .3:
        to = DATA + 0x1000 * rng.randrange(1, 4) - rng.randrange(1, 5)
    if world.paging and rng.random() < .35:
        to = rng.choice((HOLE, 0x25000, 0x26000, 0x27000)) + rng.choice((-1, -2, -3, 0, 8, 0x800, 0xFFE, 0xFFF))
    return (to - base) & 0xFFFFFFFF


class Instruction:
    """One instruction being chosen, appended to a case.  `alone`: registers may be set to suit it.  form: see every_form.py."""

    def __init__(self, rng, case, row, alone, form=None):
        self.rng, self.case, self.row, self.alone, w = rng, case, row, alone, case.world
        self.regs, self.form = case.regs, form
        self.op66 = rng.random() < (.3 if row.fixed == 0 else .08) and (parse(row.encoding).prefix is None or not row.bits)
        self.op67 = rng.random() < .2
        if form:
            self.op66, self.op67 = form.op66, form.op67
        self.width = w.width ^ (48 if self.op66 else 0)
        self.address = w.width ^ (48 if self.op67 else 0)
        self.bytes8 = any(c in ("Eb", "Gb", "Zb", "AL", "Ob", "Mb") for c in row.operands[:1]) or row.operands[:2] in (("-", "Eb"),)
        self.size = 1 if self.bytes8 else self.width // 8
        self.size = row.bits // 8 or self.size
        self.undefined = 0
        self.count = None
        self.build()

    def build(self):
        rng, row = self.rng, self.row
        prefix, which, o, plus, ext = parse(row.encoding)
        o += rng.randrange(16) if plus == "c" else rng.randrange(8) if plus == "r" else 0
        self.o = o
        rep = rng.choice((0, 0xF2, 0xF3)) if row.name in STRINGS else 0
        lock = row.lock and rng.random() < .1
        if self.form:
            o = self.o = o if self.form.low is None or not plus else parse(row.encoding).opcode + self.form.low
            rep, lock = self.form.rep, self.form.lock
        override = rng.choice((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)) if rng.random() < .25 else 0
        self.segment = {0: None, 0x64: S.FS, 0x65: S.GS}.get(override, override >> 3 & 3 if override else None)
        body = bytes.fromhex(MAPS[which]) + bytes([o])
        self.prepare()
        mem = False
        if ext or any(c[:2] in MODRM for c in row.operands):
            reg = int(ext) if ext.isdigit() else rng.randrange(8)
            if row.name == "mov_segment":
                reg = rng.choice((0, 2, 3, 4, 5, rng.randrange(8)))
            elif row.operands[-1:] == ("Sw",):
                reg = rng.randrange(6)
            mem = row.mod != "r" and (row.mod == "m" or rng.random() < .5) and row.operands[:1] != ("Rd",)
            if self.form:
                mem, reg = self.form.memory, reg if self.form.reg is None else self.form.reg
            self.reg = reg
            if mem:
                body += self.memory(reg)
            else:
                rm = rng.randrange(8) if self.form is None or self.form.rm is None else self.form.rm
                self.to_register(rm)
                body += bytes([0xC0 | reg << 3 | rm])
        body += self.immediates()
        must = {1: 0x66, 2: 0xF2, 3: 0xF3}.get(prefix, 0)
        prefixes = [must] * (must > 0) + [p for p, there in ((0x66, self.op66), (0x67, self.op67), (override, override), (rep, rep), (0xF0, lock and mem)) if there]
        rng.shuffle(prefixes)
        self.code = bytes(prefixes) + body
        self.undefined |= undefined(row, self.count, 8 * self.size)

    # OPERANDS

    def mask(self, v):
        return v & (0xFFFFFFFF if self.address == 32 else 0xFFFF)

    def put(self, s, offset, data):
        """Bytes into the case's memory, if that is where they can go."""
        linear = self.case.world.segments[s][1] + offset
        if self.alone and DATA <= linear < DATA + 0x8000:
            self.case.data[linear] = data

    def word(self, v, n):
        return (v & (1 << 8 * n) - 1).to_bytes(n, "little")

    def code_target(self):
        w = self.case.world
        good = HANDLERS + 0x90 + self.rng.randrange(0x40)
        return good - w.code[1] if self.rng.random() < .85 else self.rng.choice((0xFFFF, 0x10000, 0x1FFFF, 0x20000, CODE + 0x200, 0xFFFFF))

    def selector(self):
        if self.form and self.row.name == "ltr":
            return 0x28
        real = not self.case.world.protected or self.case.world.eflags & F.VM
        gates = (0x60, 0x63) if self.case.world.ring else ()               # Unicorn aborts on a call to more privilege; see test_gates.py
        return self.rng.choice(REAL_SELECTORS if real else [s for s in SELECTORS if s not in gates])

    def to_register(self, rm):
        name = self.row.name
        if not self.alone:
            return
        if name in ("mov_segment", "lar", "lsl", "verr", "verw", "lldt", "ltr", "arpl"):
            self.regs[rm] = self.selector() | self.rng.choice((0, 0xABCD0000))
        if name in ("jmp", "call"):
            self.regs[rm] = self.code_target()

    def memory(self, reg):
        """ModRM, SIB and displacement for an operand at a target."""
        rng, regs, name = self.rng, self.regs, self.row.name
        mod = rng.randrange(3) if self.alone else rng.choice((0, 2, 2))
        rm = rng.randrange(8)
        if self.alone and name == "bound":
            regs[reg] = rng.choice((0, 5, 0x4000, 0x4001, 0xFFFFFFFB, 0xFFFFFFFA))
        if self.alone and self.row.bit_string and (rng.random() < .8 or not self.case.world.wild):
            regs[reg] = rng.randrange(-300, 300) & 0xFFFFFFFF
        free = self.alone and mod < 2                    # aimed by setting the base register, not the displacement
        small = rng.randrange(-128, 128) if mod == 1 else 0
        if self.address == 32:
            sib = b""
            if rm == 4:
                base, index, scale = rng.randrange(8), rng.randrange(8), rng.randrange(4)
                sib = bytes([scale << 6 | index << 3 | base])
                ea = regs[index] << scale if index != 4 else 0
            else:
                base, index, ea = rm, -1, 0
            absolute = base == 5 and mod == 0
            s = S.SS if base in (4, 5) and not absolute else S.DS
            s = s if self.segment is None else self.segment
            to = self.aim(s)
            if absolute or mod == 2 or base == 4 or base == index or not free:
                if base == 4 or base == index or not free:
                    mod = mod if absolute else 2
                disp = to - ea - (0 if absolute else regs[base])
                return bytes([mod << 6 | reg << 3 | rm]) + sib + self.word(disp, 4)
            regs[base] = (to - ea - small) & 0xFFFFFFFF
            return bytes([mod << 6 | reg << 3 | rm]) + sib + (self.word(small, 1) if mod else b"")
        parts = ((3, 6), (3, 7), (5, 6), (5, 7), (6,), (7,), (5,), (3,))[rm]
        absolute = rm == 6 and mod == 0
        s = S.SS if 5 in parts and not absolute else S.DS
        s = s if self.segment is None else self.segment
        to = self.aim(s)
        if absolute:
            return bytes([reg << 3 | 6]) + self.word(to, 2)
        if mod == 2 or not free:
            return bytes([0x80 | reg << 3 | rm]) + self.word(to - sum(regs[p] for p in parts), 2)
        rest = sum(regs[p] for p in parts[1:])
        regs[parts[0]] = regs[parts[0]] & 0xFFFF0000 | (to - rest - small) & 0xFFFF
        return bytes([mod << 6 | reg << 3 | rm]) + (self.word(small, 1) if mod else b"")

    def aim(self, s):
        """The offset of the operand, and what is there."""
        rng, name, n = self.rng, self.row.name, self.width // 8
        to = target(rng, self.case.world, s, self.size)
        if self.row.aligned and rng.random() < .9:
            to &= ~15
        if self.address == 16:
            to &= 0xFFFF
        if name in ("mov_segment", "lar", "lsl", "verr", "verw", "lldt", "ltr", "arpl"):
            self.put(s, to, self.word(self.selector(), 2))
        elif name == "load_far_pointer" or self.row.kernel == "load_far_pointer":
            self.put(s, to, self.word(value(rng), n) + self.word(self.selector(), 2))
        elif name == "ldmxcsr" and rng.random() < .8:
            self.put(s, to, self.word(0x1F80 | rng.choice((0, 0x2000, 0x4000, 0x6000)), 4))
        elif name in ("jmp", "call"):
            self.put(s, to, self.word(self.code_target(), n))
        elif name in ("jmp_far", "call_far"):
            self.put(s, to, self.word(self.code_target(), n) + self.word(self.selector(), 2))
        elif name == "bound" and rng.random() < .7:
            self.put(s, to, self.word(-5, n) + self.word(1 << 14, n))
        elif name == "cmpxchg8b" and rng.random() < .6:
            self.put(s, to, self.word(self.regs[0], 4) + self.word(self.regs[2], 4))
        elif name in ("div", "idiv") and rng.random() < .5:
            self.put(s, to, self.word(rng.choice((1, 2, 3, 0x7F, 0x80, 0xFF, 0x8001, rng.getrandbits(31))), 4))
        elif name == "cmpxchg" and rng.random() < .5:
            self.put(s, to, self.word(self.regs[0], 4))
        return to

    def prepare(self):
        """Registers and stack for instructions without a ModRM operand."""
        rng, regs, name, world = self.rng, self.regs, self.row.name, self.case.world
        if not self.alone:
            return
        n = self.width // 8
        if name in STRINGS:
            for letter, r, s in (("s", 6, self.segment if self.segment is not None else S.DS), ("d", 7, S.ES)):
                if letter in STRINGS[name]:
                    to = target(rng, world, s, 4)
                    regs[r] = to if self.address == 32 else regs[r] & 0xFFFF0000 | to & 0xFFFF
            regs[1] = (rng.getrandbits(16) << 16 if self.address == 16 else 0) | rng.choice((0, 1, 2, 3, rng.randrange(20), rng.randrange(70)))
        elif self.row.at_edi:
            to = target(rng, world, self.segment if self.segment is not None else S.DS, self.size)
            regs[7] = to if self.address == 32 else regs[7] & 0xFFFF0000 | to & 0xFFFF
        elif name == "xlat":
            s = self.segment if self.segment is not None else S.DS
            regs[3] = (target(rng, world, s, 1) - (regs[0] & 255)) & 0xFFFFFFFF
        elif name in ("loop", "loope", "loopne", "jcxz"):
            regs[1] = rng.choice((0, 1, 2, 0x10000, 0x10001, regs[1]))
        elif name in ("enter", "leave", "pusha", "popa", "push", "pop", "call", "ret") and rng.random() < .5:
            sp = target(rng, world, S.SS, 4)
            if rng.random() < .3:
                sp = rng.choice((0, 1, 2, 3, 5, 0xFFFF, 0x10000))
            sp &= 0xFFFFFFFF if world.stack_width == 32 else 0xFFFF
            which = 5 if name == "leave" else 4
            regs[which] = regs[which] & ~0xFFFF | sp if world.stack_width == 16 else sp
            if name == "enter":
                regs[5] = target(rng, world, S.SS, 4)
        if name in ("ret", "ret_far", "iret", "popf") or self.row.kernel == "pop_segment":
            sp = regs[4] & (0xFFFFFFFF if world.stack_width == 32 else 0xFFFF)
            image = rng.getrandbits(22) & ~(F.TF | F.VM | F.NT) | (F.TF if rng.random() < .1 else 0)
            if rng.random() < .8:
                image &= ~(F.VM | F.NT)
            cs = world.code[0] if rng.random() < .5 else self.selector()
            frame = {"ret": [self.code_target()], "popf": [image], "pop": [self.selector()],
                     "ret_far": [self.code_target(), cs], "iret": [self.code_target(), cs, image]}[name if name in ("ret", "ret_far", "iret", "popf") else "pop"]
            frame += [world.sp, self.selector()] if name == "iret" else [value(rng), self.selector()]
            self.put(S.SS, sp, b"".join(self.word(v, n) for v in frame))

    def immediates(self):
        rng, out = self.rng, b""
        for c in self.row.operands:
            n = {"Ib": 1, "Ibs": 1, "Iw": 2, "Iz": self.size if self.size > 1 else self.width // 8}.get(c, 0)
            if n:
                v = rng.choice((rng.getrandbits(8 * n), rng.getrandbits(3), (1 << 8 * n) - 1, 1 << 8 * n - 1))
                if self.row.name == "enter":
                    v = rng.choice((0, 8, 0x100, v)) if n == 2 else rng.choice((0, 1, 2, 5, 31, v))
                if self.row.name == "int":
                    v = rng.choice((3, 4, 0x30, 0x20, 13, 63, 64, v))
                if self.row.name in ("shld", "shrd"):
                    v = rng.randrange(17 if self.width == 16 else 256)
                self.count = v
                out += self.word(v, n)
            elif c == "Jbs":
                out += bytes([rng.randrange(0x20, 0x70)])
            elif c == "Jz":
                far = rng.random() < .1
                out += self.word(rng.choice((0x8000, -0x6100, 0x20000, 0x7FFFFFFF)) if far else 0x100 + rng.randrange(0x100), self.width // 8)
            elif c in ("Ob", "Ov"):
                s = S.DS if self.segment is None else self.segment
                out += self.word(target(rng, self.case.world, s, self.size), self.address // 8)
            elif c == "Ap":
                out += self.word(self.code_target(), self.width // 8) + self.word(self.selector(), 2)
        if "CL" in self.row.operands:
            self.count = self.regs[1] if self.alone else None
        if "1" in self.row.operands:
            self.count = 1
        return out


SHIFTS = {"shl", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd"}


def undefined(row, count, w):
    """Flags that the SDM leaves undefined.  count: of a shift, None when it is not known."""
    n = row.name
    if n in ("and", "or", "xor", "test"):
        return F.AF
    if n == "mul" or n == "imul":
        return F.SF | F.ZF | F.AF | F.PF
    if n in ("div", "idiv"):
        return F.MASK
    if n in ("bsf", "bsr"):
        return F.MASK & ~F.ZF
    if n == "lzcnt":
        return F.MASK & ~(F.CF | F.ZF)
    if n in ("bt", "bts", "btr", "btc"):
        return F.MASK & ~(F.CF | F.ZF)
    if n in ("daa", "das"):
        return F.OF
    if n in ("aaa", "aas"):
        return F.OF | F.SF | F.ZF | F.PF
    if n in ("aam", "aad"):
        return F.OF | F.AF | F.CF
    if n in SHIFTS:
        rotates = n[0] == "r"
        if count is None:
            return F.OF | (0 if rotates else F.AF | F.CF)
        count &= 31
        if count == 0:
            return 0
        out = 0 if rotates else F.AF
        if count != 1:
            out |= F.OF
        if not rotates and (count >= w if n != "sar" else False):
            out |= F.CF
        return F.MASK if n in ("shld", "shrd") and count > w else out
    return 0


def add(rng, case, row, alone, form=None):
    i = Instruction(rng, case, row, alone, form)
    case.at.append(len(case.code))
    case.code += i.code
    case.rows.append(row)
    case.ever |= i.undefined
    case.undefined = i.undefined | (case.undefined & ~written(row))
    return i


def written(row):
    if row.step is steps.ordinary and row.writes == "all":
        return F.MASK & ~(F.CF if row.uses == "c" and row.name in ("inc", "dec") else 0)
    return F.MASK if row.name in ("cmpxchg", "xadd", "popf") else 0


def one(rng, world, row, form=None):
    """A case of one instruction."""
    case = start(rng, world)
    if row.name in ("div", "idiv") and rng.random() < .6:
        case.regs[2] = rng.choice((0, 0xFFFFFFFF, 1))
        case.regs[0] &= rng.choice((0xFF, 0xFFFF, 0xFFFFFFFF))
    if row.name in ("shld", "shrd"):                      # 16-bit counts above 16 leave everything undefined
        case.regs[1] = case.regs[1] & ~31 | rng.randrange(17)
    add(rng, case, row, True, form)
    return case


def sequence(rng, world, n):
    """A case of n instructions, none of which shows what is undefined."""
    case = start(rng, world)
    while len(case.rows) < n:
        row = rng.choice(ROWS)
        if row.ends in ("jump", "branch", "indirect") or row.name in FAR or row.name == "load_far_pointer":
            if len(case.rows) < n - 1 or row.name in FAR:
                continue
        if case.undefined and (row.name in READERS or row.name in SHIFTS):
            continue
        if row.kernel == "pop_segment" or row.encoding in ("F6 /1", "F7 /1") or row.name in ("smsw", "mov_from_control", "cmpxchg8b", "popcnt", "lzcnt", "movbe", "nop"):
            continue                                     # where Unicorn's state is not good to go on from
        if row.name in STRINGS or row.name in ("shld", "shrd", "bsf", "bsr", "mov_segment", "enter", "lldt", "popf"):
            continue
        add(rng, case, row, False)
    return case

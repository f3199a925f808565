"""The plain reader: the same table, steps and kernels, run on Python's ints.

Slow and obviously right: the oracle of the other tiers, and the one that does what they leave (ports of chips that are not
compiled, jumps beyond the code segment).
"""
from . import decode as D
from . import state as S
from .access import fill, host_address, is_user, logical, probe, read, read_wide, write, write_wide
from .attend import attend
from .debug import breaks_here, trap_due
from .exceptions import DIVIDE, GP, NM, UD, XM, Fault, fault
from .fetch import ROOM, fetch
from .forms import INDICES, Form
from .fpu import check_pending
from .interrupt import raise_exception
from .isa import flags as F
from .isa import steps, text
from .isa.lanes import Wide
from .isa.opcodes import OPCODES
from .isa.softfloat import BEFORE, Environment
from .isa.steps import Operands, merge
from .isa.vector import register_bits
from .isa.words import cut, sx
from .kernels import PUSHF, do_kernel, ends_single_step
from .reasons import GO_ON, TRIPLE_FAULT
from .strings import AGAIN

KINDS = "-rlhmicx"


class Plain(Operands):
    """The machine of isa/steps.py on the state record: cpu is a view of it, with `board_io` for what goes to the board."""

    def __init__(self, cpu, tables):
        look, rows, _, _ = tables
        self.cpu, self.look, self.rows = cpu, look, rows.tolist()
        self.code = bytearray(ROOM)

    # ONE INSTRUCTION

    def decode(self, eip):
        """The fields of the instruction at CS:eip (decode.py); raises what fetching and decoding raise."""
        cpu, d = self.cpu, [0] * D.FIELDS
        big, stack_big = cpu.mode & S.D32 != 0, cpu.mode & S.B32 != 0
        for second in (False, True):
            n = fetch(cpu, eip, self.code, second)
            answer = D.decode(self.code, n, int(big), int(stack_big), self.look, self.rows, d)
            if answer != D.MORE:
                break
        if answer != D.OK:
            fault(cpu, UD if answer == D.UNDEFINED else GP, 0)
        d[D.EIP] = eip
        return [int(v) for v in d]

    def step(self):
        """One instruction; a Fault leaves everything as it was.  Answers the number of the kernel that did it, or -1."""
        cpu = self.cpu
        cpu.budget -= 1
        try:
            d = self.d = self.decode(cpu.eip)
            cpu.eflags &= ~F.RF
            cpu.next = self.to = (cpu.eip + d[D.LEN]) & 0xFFFFFFFF
            row, r = OPCODES[d[D.ROW]], self.rows[d[D.ROW]]
            if (row.kernel and not (r[D.STRING] and d[D.REP] == 0)) or (row.name == "pushf" and cpu.mode & S.V86):
                return self.do_kernel(d, r, row)
            self.do_step(d, r, row)
            return -1
        except Fault:
            cpu.budget += 1
            raise

    def do_kernel(self, d, r, row):
        cpu = self.cpu
        number = r[D.KERNEL] - 1 if row.kernel else PUSHF
        cpu.width, cpu.address_width = 8 << d[D.WI], 32 if d[D.AW] else 16
        cpu.repeat, cpu.opcode = d[D.REP], d[D.OPCODE]
        cpu.of_segment = d[D.SEG] if d[D.MEM] or not r[D.MODRM] else -1
        cpu.register, cpu.place = d[D.RA], d[D.RB]
        cpu.immediate, cpu.immediate2 = d[D.IMM], d[D.IMM2]
        cpu.offset = self.offset(d) if d[D.EA] >= 0 else 0
        do_kernel(cpu, number)
        cpu.eip = cpu.next
        return number

    def do_step(self, d, r, row):
        cpu, w = self.cpu, 8 << d[D.WI]
        self.pending, self.stores, self.new_flags, self.new_words = [], [], None, {}
        size = D.size_of(d, r)
        f = Form(row, w, KINDS[d[D.DK]], KINDS[d[D.SK]], row.writes != "none", d[D.CC], 32 if d[D.STACKED] else 16, 32 if d[D.AW] else 16)
        if row.bits:
            f = Form(row, register_bits(row.operands[0]) or register_bits(row.operands[1]) if row.operands else 0, f.dst, f.src)
        if row.unit:
            self.may_run(row)
        step = row.step
        if d[D.MEM] and r[D.STACK]:                     # through TMP, as the other tiers do
            if step is steps.pop:
                self.address = self.stack_address(d, r, size)
                cpu.reg[S.TMP] = read(cpu, self.address, size, is_user(cpu))
                d[D.DISP] += size if d[D.EBASE] == S.ESP else 0
                self.address = self.linear(d, size, True)
                step = steps.pop_to_memory
            else:
                cpu.reg[S.TMP] = read(cpu, self.linear(d, size, False), size, is_user(cpu))
                d[D.SK], d[D.RB] = D.REG, S.TMP
                f = Form(row, w, "-", "r", f.flags, f.cc, f.stack, f.aw)
                self.address = self.stack_address(d, r, size)
        elif r[D.NO_ACCESS]:
            self.address = self.offset(d)
        elif r[D.BIT_STRING] and d[D.MEM]:
            cpu.reg[S.TMP] = steps.bit_string(self.offset(d), cpu.reg[d[D.RB]], w, f.aw)
            self.address = logical(cpu, d[D.SEG], cpu.reg[S.TMP], size, row.keep)
        elif d[D.EA] >= 0:
            self.address = self.linear(d, size, (d[D.DK] == D.MEMORY and row.keep) or bool(r[D.STORES]))
        elif r[D.STACK]:
            self.address = self.stack_address(d, r, size)
        elif r[D.STRING]:
            self.string_addresses(d, r, size)
        step(self, f)
        if r[D.STRING]:
            steps.advance(self, tuple(INDICES.values())[r[D.STRING] - 1], size, f.aw)
        for which, kind, w, v in self.pending:
            cpu.reg[self.number(which)] = merge(self.rd_reg(which), kind, w, v)
        if self.new_flags:
            cpu.cf, cpu.carries, cpu.result = self.new_flags
        for name, v in self.new_words.items():
            setattr(cpu, name, v)
        for address, w, v in self.stores:
            (write if w <= 32 else write_wide)(cpu, address, w // 8, v, is_user(cpu))
        cpu.eip = self.to

    # ADDRESSES

    def offset(self, d):
        reg, index = self.cpu.reg, 0
        if d[D.EA] > 0:
            index = reg[d[D.EINDEX]] << (d[D.EA] - 1)
        return cut(reg[d[D.EBASE]] + index + d[D.DISP], 32 if d[D.AW] else 16)

    def linear(self, d, size, write):
        return logical(self.cpu, d[D.SEG], self.offset(d), size, write)

    def stack_address(self, d, r, size):
        size = 2 if d[D.WI] == 1 else 4
        down = r[D.STACK] == D.DOWN
        base = self.cpu.reg[S.EBP if r[D.STACK] == D.FRAME else S.ESP] - (size if down else 0)
        return logical(self.cpu, S.SS, cut(base, 32 if d[D.STACKED] else 16), size, down)

    def string_addresses(self, d, r, size):
        """Of the last operand; the one before it goes to TMP."""
        at = lambda s, register, write: logical(self.cpu, s, cut(self.cpu.reg[register], 32 if d[D.AW] else 16), size, write)
        if r[D.STRING] & D.AT_SI:
            self.address = at(d[D.SEG], S.ESI, False)
        if r[D.STRING] == D.AT_SI | D.AT_DI:
            self.cpu.reg[S.TMP] = read(self.cpu, self.address, size, is_user(self.cpu))
        if r[D.STRING] & D.AT_DI:
            self.address = at(S.ES, S.EDI, d[D.DK] == D.MEMORY and bool(r[D.KEEP]))

    # THE MACHINE

    def number(self, which): return {"ra": self.d[D.RA], "rb": self.d[D.RB]}.get(which, which)
    def rd_reg(self, which): return self.cpu.reg[self.number(which)]
    def wr_reg(self, which, kind, w, v): self.pending.append((which, kind, w, v))

    def probe(self, address, w, write):
        """Through the TLB, as handlers do: what it says holds even after the page tables were written."""
        cpu, size, user = self.cpu, w // 8, is_user(self.cpu)
        if not host_address(cpu, address, size, write, user):
            (probe if (address & 4095) + size > 4096 else fill)(cpu, address, size, int(write), user)
        return address

    def rd(self, address, w): return (read if w <= 32 else read_wide)(self.cpu, address, w // 8, is_user(self.cpu))
    def wr(self, address, w, v): self.stores.append((address, w, v))
    def t(self): return self.address
    def imm(self, w): return cut(self.d[D.IMM], w)
    def next_eip(self): return self.cpu.next
    def flags(self): return self.cpu.cf, self.cpu.carries, self.cpu.result
    def set_flags(self, *words): self.new_flags = [int(x) & 0xFFFFFFFF for x in words]
    def rd_word(self, name): return getattr(self.cpu, name)
    def wr_word(self, name, v): self.new_words[name] = v

    # VECTORS

    def may_run(self, row):
        """SDM vol. 3, table 13-1."""
        cr0, cr4 = self.cpu.cr0, self.cpu.cr4
        if cr0 & S.EM or ("sse" in row.unit and not cr4 & S.OSFXSR):
            fault(self.cpu, UD, 0)
        if cr0 & S.TS:
            fault(self.cpu, NM, 0)
        if "mmx" in row.unit:
            check_pending(self.cpu)

    def at(self, row, write):
        if row.aligned and self.address & 15:
            fault(self.cpu, GP, 0)
        return self.probe(self.address, row.bits, write)

    def load_wide(self, address, bits): return Wide(bits, read_wide(self.cpu, address, bits // 8, is_user(self.cpu)))
    def store_wide(self, address, x): self.stores.append((address, x.bits, x.v))
    def word_wide(self, which): return Wide(32, self.rd_reg(which))

    def rd_wide(self, which, bits):
        k = self.number(which)
        if k < S.XMM:
            return Wide(bits, self.cpu.st[(k - S.MMX) // 2].significand)
        low, high = (self.cpu.xmm[k - S.XMM + i] & (1 << 64) - 1 for i in (0, 1))
        return Wide(bits, high << 64 | low)

    def wr_wide(self, which, x):
        k = self.number(which)
        words = [sx(v, 64) for v in x.lanes(64)]
        if k < S.XMM:
            register = self.cpu.st[(k - S.MMX) // 2]
            register.significand, register.exponent = words[0], 0xFFFF
        else:
            self.cpu.xmm[k - S.XMM], self.cpu.xmm[k - S.XMM + 1] = words

    def enter_mmx(self): self.cpu.ftop, self.cpu.ftw = 0, 255
    def leave_mmx(self): self.cpu.ftop = self.cpu.ftw = 0
    def mxcsr(self): return self.cpu.mxcsr
    def begin_floating(self): self.env = Environment(self.cpu.mxcsr)
    def end_floating(self): pass

    def floating(self, f, a, b):
        """SDM vol. 1, 11.5.2: an unmasked exception that is found before the result is computed hides those that come after."""
        cpu, env = self.cpu, self.env
        r = f.row.meaning(a, b, self.imm(8), env)
        unmasked = env.flags & ~env.masked
        cpu.mxcsr |= env.flags & BEFORE if unmasked & BEFORE else env.flags
        if unmasked:
            fault(cpu, XM if cpu.cr4 & S.OSXMMEXCPT else UD, 0)
        return r

    def meant(self, f, a, b, i): return f.row.meaning(a, b, i)
    def hosted(self, f, a, b): return f.row.meaning(a, b, None)
    def xmm0(self): return self.rd_wide(S.XMM, 128)
    def crc32(self, meaning, a, b, w): return meaning(a, b, w)

    def string(self, f, a, b):
        i, name = self.imm(8), f.row.name
        lengths = (self.rd_reg(S.EAX), self.rd_reg(S.EDX)) if name[4] == "e" else (None, None)
        result, n, *flags = text.compare(a, b, i, *lengths)
        if name[-1] == "i":
            self.wr_reg(S.ECX, "r", 32, text.index(result, n, i))
        else:
            self.wr_wide(S.XMM, text.mask(a, result, n, i))
        return flags

    def load_mxcsr(self, v):
        if v & ~0xFFFF:
            fault(self.cpu, GP, 0)
        self.cpu.mxcsr = v

    def require(self, cond):
        if not cond:
            fault(self.cpu, DIVIDE, 0)

    def allow(self, cond):
        if not cond:
            fault(self.cpu, GP, 0)

    def within(self, to):
        if to > self.cpu.segment[S.CS].limit:
            fault(self.cpu, GP, 0)

    def jump(self, to):
        if to is None:
            to = cut(self.cpu.next + self.d[D.IMM], 16 if self.d[D.WI] == 1 else 32)
        self.within(to)
        self.to = to

    def branch(self, cond):
        if cond:
            self.jump(None)

    # THE LOOP: as dispatch.run

    def run(self):
        cpu = self.cpu
        while True:
            cpu.stales = 0
            if cpu.budget <= 0 or cpu.attention:
                why = attend(cpu)
                if why != GO_ON:
                    return why
            elif cpu.mode & S.BREAKS == 0:
                cpu.shadow = 0
            if not self.one():
                return TRIPLE_FAULT

    def one(self):
        """One instruction and its exceptions.  False: shutdown."""
        cpu = self.cpu
        stepping = cpu.eflags & F.TF
        if breaks_here(cpu):
            return raise_exception(cpu, True)
        if cpu.shadow:
            cpu.shadow, cpu.attention = 0, 1
        number = -1
        try:
            number = self.step()
        except Fault:
            if cpu.vector != AGAIN:
                cpu.hits = 0
                return raise_exception(cpu, True)
            number = -1                                 # an iteration is a step too
        if trap_due(cpu, stepping and not ends_single_step(number)):
            return raise_exception(cpu, True)
        return True

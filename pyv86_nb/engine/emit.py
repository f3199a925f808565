"""The machine whose steps write handlers.

A handler ends by jumping to the next one.  It exists in two shapes, from one text:

    threaded   i64 (state, record, t, tlb)                          operands are loaded from the record, registers from the state
    native     i64 (state, t, u, EBX, ... EAX, XMM0, ... XMM7)      operands are holes, patched when it is pasted; the guest's
                                                                    registers live in the host's
t is the address that the handler before has computed; tlb is the part of the TLB that the privilege level uses.  Which of the
eight registers an instruction names is not known to a native handler: its operands "ra" and "rb" are in the temporaries t
and u, and where it is pasted, those are renamed to the registers meant (register_fields.py).  Where that cannot be, because the
operand is another word of the state or the handler uses that register for itself, it is moved there before it and back behind
it by handlers of one instruction (`moves`; forms.py, blocks.put).  An address has three registers: its base is in u, its index
in EBX's, which no such handler touches otherwise, the sum in t.
"""
import re

from . import state as S
from .emit_vector import VECTORS, WIDE, Vectors
from .emit_x87 import X87
from .isa.steps import Operands, merge
from .lanes_llvm import IS_X86
from .records import OFF, RECORD
from .val import Bounded, Text, Val

LIKELY = "!prof !0"
TAIL = "!0 = !{!\"branch_weights\", i32 100000, i32 1}\n"
PINNED = S.EBX, S.EDI, S.ESI, S.EDX, S.ECX, S.EBP, S.ESP, S.EAX
HOSTS = 15, 7, 6, 2, 1, 8, 9, 11                        # where LLVM's preserve_none passes them: R15, RDI, ... ECX in RCX, for shifts
T_HOST, U_HOST = 13, 14
PARAMETERS = {"threaded": "ptr %s, ptr %pc, i64 %t, ptr %tlb",
              "native": "ptr %s, i64 %t, i64 %u, " + ", ".join(f"i64 %r{i}" for i in PINNED)
                        + "".join(f", {WIDE} %v{i}" for i in range(VECTORS))}
# The operands of a native handler: what is to be moved before it and behind it, unless it can be renamed; from WRITES_SHIFT on,
# the registers that it writes itself, from OWN_SHIFT on those whose host register it uses in any way; which temporary cannot be renamed;
# what it does with the flags
RA_TO_T, RA_TO_U, RB_TO_U, T_TO_RA, U_TO_RA, U_TO_RB, RB_IN_X = (1 << i for i in range(7))
USES_T, USES_U = RA_TO_T | T_TO_RA, RA_TO_U | RB_TO_U | U_TO_RA | U_TO_RB
OPERANDS = USES_T | USES_U | RB_IN_X
WRITES_SHIFT, OWN_SHIFT = 8, 16
FIXED_T, FIXED_U = 1 << 24, 1 << 25
SETS_FLAGS, ASKS_FLAGS, PUTS_OFF, LEAVES_SOME = 1 << 27, 1 << 28, 1 << 29, 1 << 30
INDEX, INDEX_HOST = S.EBX, 15                            # whose register holds the index of an address
REG = S.offset("reg")
ST, ST_SHIFT = S.offset("st"), S.REAL.itemsize.bit_length() - 1
TLB_READ, TLB_FIRST, TLB_HOST, TLB_ROOM = (S.TLB.fields[n][1] for n in ("read", "first", "host", "room"))
TLB_SHIFT = S.TLB.itemsize.bit_length() - 1
JUMP_TAG, JUMP_CODE = (S.JUMP.fields[n][1] for n in ("tag", "code"))
JUMP_SHIFT = S.JUMP.itemsize.bit_length() - 1


class Emit(Operands, Vectors, X87):
    def __init__(self, mode, ra="t"):
        self.mode, self.ir, self.hosts_x87 = mode, Text(), mode == "native" and IS_X86
        self.pending, self.labels, self.holes, self.t_word = [], 0, {}, None
        self.checked, self.sets_flags, self.puts_off, self.leaves_some, self.flag_words = False, False, False, False, []
        self.vectors, self.files = [f"%v{i}" for i in range(VECTORS)], {}
        self.registers, self.temporaries = [f"%r{i}" for i in range(8)], {"t": "%t", "u": "%u", "x": f"%r{INDEX}"}
        self.keeps = False                               # both temporaries are somebody else's
        self.place, self.reads, self.written = {"ra": ra, "rb": "u"}, set(), set()

    # plumbing
    def hole(self, name):
        """A number that differs from one use of the handler to the next."""
        if name not in self.holes:
            if self.mode == "native":
                v = self.ir.wide(32, f"ptrtoint (ptr @{name} to i32)")
            else:
                v = self.ir.load(32, self.ir.at("%pc", OFF[name]))
            self.holes[name] = v
        return self.holes[name]

    def signed_hole(self, name):
        """The same, sign-extended: for sums that are cut, where x86-64 has room for it in the instruction."""
        return Val(f"ptrtoint (ptr @{name} to i64)", self.ir) if self.mode == "native" else self.hole(name)

    def lea(self, base, index, scale):
        """The hole "imm" as a displacement; LLVM would load it first."""
        given = [v for v in (base, index) if v is not None]
        first, second = ("${1:q}" if base is not None else ""), f",${{{len(given)}:q}},{1 << scale}" if index is not None else ""
        text = f"leal imm({first}{second}), ${{0:k}}" if given else "movl $$imm, ${0:k}"
        what = ", ".join(f"i64 {v}" for v in given)
        return self.ir.val(f'call i64 asm "{text}", "=r{",r" * len(given)}"({what})')

    def slot(self, which):
        """The place in the state of a register, or of what a hole names."""
        if not isinstance(which, str):
            return self.ir.at("%s", REG + 8 * which)
        if self.mode == "native":
            return self.ir.at("%s", f"ptrtoint (ptr @{which} to i64)")
        return self.ir.at("%s", self.hole(which))

    def tail(self, target, pc="%pc", t=None):
        if self.mode == "native":
            now = ", ".join(f"i64 {self.registers[i]}" for i in PINNED)
            now += "".join(f", {WIDE} {v}" for v in self.vectors)
            with_ = f"ptr %s, i64 {t or self.passed('t')}, i64 {self.passed('u')}, {now}"
        else:
            with_ = f"ptr %s, ptr {pc}, i64 {t or '%t'}, ptr %tlb"
        r = self.ir.name(f"musttail call preserve_nonecc i64 {target}({with_})")
        self.ir.put(f"ret i64 {r}")

    def passed(self, which):
        """A temporary on its way out, to be settled in `function`: where nobody wants it, the register is free for LLVM."""
        return f"<{which} {self.temporaries[which]}>"

    def leave(self, exit, t=None):
        """Out.  In native code the exit is a small stub, pasted far away, which says where we were."""
        self.tail("@" + exit, t=t)

    def fork(self, cond, likely=True):
        self.labels += 1
        yes, no = f"Y{self.labels}", f"N{self.labels}"
        self.ir.put(f"br i1 {cond}, label %{yes}, label %{no}" + (", " + LIKELY if likely else ""))
        return yes, no

    def unless(self, cond, exit, t=None):
        """Leave by `exit` if the condition does not hold."""
        yes, no = self.fork(cond)
        with self.ir.cold(no):
            self.leave(exit, t)
        self.ir.label(yes)

    def require(self, cond): self.unless(cond.truth(), "exit_divide")
    def allow(self, cond): self.unless(cond.truth(), "exit_python")

    # registers: writes are held back until nothing can fault any more
    def rd_reg(self, which):
        if self.mode == "native" and isinstance(which, str):
            self.reads.add(which)
            return Val(self.temporaries[self.place[which]], self.ir)
        if self.mode == "native" and which < 8:
            return Val(self.registers[which], self.ir)
        return self.ir.load(32, self.slot(which))

    def wr_reg(self, which, kind, w, v): self.pending.append((which, kind, w, v))

    def commit(self):
        for which, kind, w, v in self.pending:
            new = v if (kind, w) == ("r", 32) else merge(self.rd_reg(which), kind, w, v)
            if self.mode == "native" and isinstance(which, str):
                self.temporaries[self.place[which]] = str(new)
                self.written.add(which)
            elif self.mode == "native" and which < 8:
                self.registers[which] = str(new)
            else:
                self.ir.store(32, new, self.slot(which))
        self.pending = []

    def moves(self):
        """What must be moved for this handler, as bits.  None if t would have to be two things at once."""
        if self.t_word is not None and self.place["ra"] == "t" and "ra" in self.reads | self.written:
            return None
        bits = 0
        if "ra" in self.reads:
            bits |= RA_TO_T if self.place["ra"] == "t" else RA_TO_U
        if "rb" in self.reads:
            bits |= RB_TO_U if self.place["rb"] == "u" else RB_IN_X
        if "ra" in self.written:
            bits |= T_TO_RA if self.place["ra"] == "t" else U_TO_RA
        if "rb" in self.written:
            bits |= U_TO_RB
        bits |= self.sets_flags * SETS_FLAGS | self.asks_flags() * ASKS_FLAGS | self.puts_off * PUTS_OFF
        bits |= self.leaves_some * LEAVES_SOME
        return bits | sum(1 << i for i in range(8) if self.registers[i] != f"%r{i}") << WRITES_SHIFT

    def load_base(self, selector):
        """A data segment register in real mode: the holes say which."""
        self.commit()
        self.ir.store(32, selector, self.slot("ra"))
        self.ir.store(64, selector << 4, self.slot("base"))

    def rd_word(self, name): return self.ir.load(64, self.ir.at("%s", S.offset(name)))
    def wr_word(self, name, v): self.ir.store(64, v, self.ir.at("%s", S.offset(name)))

    # the FPU: isa/x87.py
    def wr_whole(self, name, v):
        """All of a word, even where LLVM sees that one byte will do: the next to read it reads all, and would wait for the store."""
        self.whole(v, self.ir.at("%s", S.offset(name)))

    def whole(self, v, p): self.ir.put(f"store volatile i64 {v}, ptr {p}, align 8")

    def st(self, at): return self.ir.at("%s", (at << ST_SHIFT) + ST)

    def rd_st(self, at):
        p = self.st(at)
        return self.ir.load(64, p), self.ir.load(64, self.ir.at(p, 8))

    def wr_st(self, at, significand, exponent):
        p = self.st(at)
        self.ir.store(64, significand, p)
        self.whole(exponent, self.ir.at(p, 8))

    def either(self, cond, yes, no):
        """The words of one of two functions: for what is long, and the condition mostly the same."""
        labels = self.fork(cond.truth(), likely=False)
        ways, join = [], f"J{self.labels}"
        for label, f in zip(labels, (yes, no), strict=True):
            self.ir.label(label)
            ways.append((label, f()))
            self.ir.put(f"br label %{join}")
        self.ir.label(join)
        (a, ones), (b, others) = ways
        return [self.ir.val(f"phi i64 [ {x}, %{a} ], [ {y}, %{b} ]") for x, y in zip(ones, others, strict=True)]

    def rd_high(self, ref): return self.ir.load(16, self.ir.at(ref, 8))
    def wr_high(self, ref, v): self.ir.store(16, v, self.ir.at(ref, 8))
    def ordinary(self, cond): self.unless(cond.truth() if isinstance(cond, Val) else str(bool(cond)).lower(), "exit_fpu")

    def track(self, memory):
        self.ir.store(32, self.hole("window"), self.ir.at("%s", S.offset("fip")))         # the upper halves are always 0
        self.ir.store(32, self.hole("imm"), self.ir.at("%s", S.offset("fop")))
        if not self.hosts_x87:
            self.wr_word("fcs", self.rd_reg(S.SELECTORS + S.CS))
        if memory:
            self.wr_word("fdp", (self.t() - self.ir.load(64, self.slot("base"))) & 0xFFFFFFFF)
            self.wr_word("fds", self.ir.load(64, self.slot("rb")))

    # memory
    def probe(self, addr, w, write):
        """The host address of w bits at addr, or out: one compare for present, writable, RAM and not across pages (access.py)."""
        ir = self.ir
        entry = (addr >> (12 - TLB_SHIFT)) & ((S.TLB_SIZE - 1) << TLB_SHIFT)
        if self.mode == "native":                       # which part of it is known where the handler is pasted
            e = ir.at("%s", entry + Val("ptrtoint (ptr @tlb_base to i64)", ir))
        else:
            e = ir.at("%tlb", entry)
        if write:
            at = addr - ir.load(32, ir.at(e, TLB_FIRST)) & 0xFFFFFFFF
            hit = at + (w // 8 - 1) < ir.load(32, ir.at(e, TLB_ROOM))
        else:                                           # the loads from the entry together: one address for both; "volatile" keeps them so
            host = ir.val(f"load volatile i64, ptr {ir.at(e, TLB_HOST)}")
            hit = (addr + (w // 8 - 1)) & 0xFFFFF000 == ir.load(32, ir.at(e, TLB_READ))
        self.unless(hit.bit, f"exit_{'w' if write else 'r'}{w}", None if addr is self.t_word else str(addr))
        if write:                                       # no register is free for it before
            host = ir.load(64, ir.at(e, TLB_HOST))
        return ir.name(f"inttoptr i64 {host + addr} to ptr")

    def rd(self, ref, w): return self.ir.load(w, ref)
    def wr(self, ref, w, v): self.ir.store(w, v, ref)

    def t(self):
        if self.t_word is None:
            self.t_word = Val("%t", self.ir)
        return self.t_word

    def imm(self, w):
        v = self.hole("imm")
        return v if w == 32 else v & ((1 << w) - 1)

    def next_eip(self): return self.hole("imm")         # no row with a next EIP has an immediate

    # flags
    def flags(self):
        words = tuple(self.ir.load(32, self.ir.at("%s", S.offset(o))) for o in ("cf", "carries", "result"))
        self.flag_words += [str(v) for v in words]
        return words

    def set_flags(self, *words):
        self.sets_flags = True
        for o, v in zip(("cf", "carries", "result"), words, strict=True):
            self.ir.store(32, v, self.ir.at("%s", S.offset(o)))

    def set_carry(self, cf):
        """Nobody sees the others before they are written again."""
        self.sets_flags = True
        self.ir.store(32, cf, self.ir.at("%s", S.offset("cf")))

    def put_off(self, a, b, kind, computed=False):
        """The flags, for whoever asks: F.put_off.  Of a number that is computed here the whole word is stored: LLVM cuts it once then, not twice."""
        self.puts_off = True
        for o, v, w in (("kind", kind, 32), ("kind_a", a, 64 if computed else 32), ("kind_b", b, 32)):
            self.ir.store(w, v, self.ir.at("%s", S.offset(o)))

    def leave_some(self, cf, result):
        """Of flags that are put off, the two words that cost next to nothing."""
        self.leaves_some = True
        for o, v in (("cf", cf), ("result", result)):
            self.ir.store(32, v, self.ir.at("%s", S.offset(o)))

    def count(self, f, b):
        """An immediate one has five bits (live_flags.py), which LLVM cannot know."""
        if f.src != "i":
            return b
        text = self.ir.name('call i64 asm "movl $$imm, ${0:k}", "=r"()') if self.mode == "native" else b.text
        return Bounded(text, self.ir, 31)

    def shift_count(self, f, count):
        """An immediate one is not 0: the plan takes the handler without flags for that."""
        return 1 if f.src == "i" else count

    def asks_flags(self):
        """Whether anything comes of the flags that were loaded: LLVM drops what nobody uses."""
        sources, wanted = {}, []
        for line in self.ir.lines + self.ir.later if self.flag_words else ():
            names = re.findall(r"%x\d+", line)
            if re.match(r" *%x\d+ = (?!call)", line):
                sources[names[0]] = names[1:]
            else:
                wanted += names
        used = set()
        while wanted:
            name = wanted.pop()
            if name not in used:
                used.add(name)
                wanted += sources.get(name, ())
        return not used.isdisjoint(self.flag_words)

    # where to go
    def next(self, t=None):
        self.commit()
        if self.mode == "native":
            return self.tail("@cont", t=t)
        pc = self.ir.at("%pc", RECORD.itemsize)
        self.tail(self.ir.name(f"load ptr, ptr {pc}"), pc, t)

    def taken(self):
        if self.mode == "native":
            return self.tail("@taken")
        to = self.ir.name(f"load ptr, ptr {self.ir.at('%pc', OFF['link'])}")
        self.unless(self.ir.name(f"icmp ne ptr {to}, null"), "exit_link")
        self.tail(self.ir.name(f"load ptr, ptr {to}"), to)

    def within(self, to):
        """Leave with #GP unless `to` is inside the code segment."""
        if self.checked:
            limit = self.ir.load(64, self.ir.at("%s", S.offset("segment", "limit", S.CS)))
            self.unless((to <= limit).bit, "exit_target")

    def jump(self, to):
        """to = None: the target in the record.  Otherwise look the address up among recent targets."""
        ir = self.ir
        if to is None:
            self.commit()
            return self.taken()
        self.within(to)
        self.commit()
        ir.store(32, to, ir.at("%s", S.offset("eip")))
        e = ir.at("%s", ((to & (S.JUMPS_SIZE - 1)) << JUMP_SHIFT) + S.offset("jumps"))
        tag = to | ir.load(64, ir.at("%s", S.offset("context")))
        self.unless((ir.load(64, ir.at(e, JUMP_TAG)) == tag).bit, "exit_indirect")
        code = ir.name(f"load ptr, ptr {ir.at(e, JUMP_CODE)}")
        if self.mode == "native":
            self.tail(code)
        else:
            self.tail(ir.name(f"load ptr, ptr {code}"), code)

    def branch(self, cond):
        self.commit()
        yes, no = self.fork(cond.truth(), likely=False)
        self.ir.label(no)
        self.next()
        self.ir.label(yes)
        self.taken()

    def kernel(self, name): self.leave("exit_kernel")

    def function(self, name):
        used = {self.place[operand] for operand in self.reads | self.written} | ({"t"} if self.t_word is not None else set())
        settle = lambda m: m[2] if self.keeps or m[1] in used else "poison"
        body = re.sub(r"<([tu]) ([^>]*)>", settle, "\n".join(self.ir.lines + self.ir.later))
        return f"define preserve_nonecc i64 @{name}({PARAMETERS[self.mode]}) nounwind {{\n{body}\n}}\n"

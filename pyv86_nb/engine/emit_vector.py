"""The part of Emit that vector steps ask for (isa/vector.py).

In native code the guest's XMM registers are the host's XMM0-7, which LLVM passes from handler to handler; an instruction moves
those that it names to registers of its own and back, which costs processors nothing.  MMX registers are in the state.

Floating point is done by the host's own instructions, under the guest's rounding and flush-to-zero.  The first handler of a
slice that needs it loads the host's MXCSR, all exceptions masked and no flag set, and says so in `floating`; `enter` puts
the host's own back (LEAVE) when the slice leaves, and collects the flags.  The plain reader, which has all of it in integers, does
what raises an unmasked exception, everything where underflow is unmasked (then an exact tiny result raises it, and shows no flag when
masked: SDM vol. 1, 11.5.2.5), and everything on a host without such instructions.

    floating   0: the host's MXCSR is as Python left it    1: it is the guest's    2: neither, LDMXCSR came after
"""
from . import state as S
from .lanes_llvm import IS_X86, WideVal, has, type_of

AS_IT_WAS, GUESTS, OLD = range(3)
MASKS, UNDERFLOW, FLAGS, RESERVED = 0x1F80, 0x800, 0x3F, 0xFFFF0000
MXCSR, FLOATING, USUAL, ROOM = (S.offset(n) for n in ("mxcsr", "floating", "usual_mxcsr", "room_mxcsr"))
WIDE = type_of(128)
# Moves between the XMM register that an instruction names, whose number is patched into ModRM.rm, and one of ours: MOVAPS
VECTORS = 8
FROM = {"ra": ("xmm8", ".byte 0x44, 0x0F, 0x28, 0xC0+last"), "rb": ("xmm9", ".byte 0x44, 0x0F, 0x28, 0xC8+window")}
TO_A = ".byte 0x44, 0x0F, 0x29, 0xC0+last"
HELD, HELD_OUT, HELD_IN = (",".join(text.format(i) for i in range(VECTORS)) for text in ("{{xmm{}}}", "={{xmm{}}}", "{}"))
SHIFTS = {f"p{kind}{w}" for kind in ("srl", "sll", "sra") for w in "wdq"}
HOST_FEATURES = {"sse": "sse2", "sse2": "sse2", "ssse3": "ssse3", "sse4_1": "sse4.1"}      # as LLVM calls those that CPUID has

LEAVE = f"""
  %at = getelementptr i8, ptr %s, i64 {FLOATING}
  %floating = load i64, ptr %at
  %never = icmp eq i64 %floating, {AS_IT_WAS}
  br i1 %never, label %done, label %back
back:
  %room = getelementptr i8, ptr %s, i64 {ROOM}
  call void @llvm.x86.sse.stmxcsr(ptr %room)
  %now = load i64, ptr %room
  %flags = and i64 %now, {FLAGS}
  %mine = icmp eq i64 %floating, {GUESTS}
  %more = select i1 %mine, i64 %flags, i64 0
  %guests = getelementptr i8, ptr %s, i64 {MXCSR}
  %old = load i64, ptr %guests
  %new = or i64 %old, %more
  store i64 %new, ptr %guests
  %usual = getelementptr i8, ptr %s, i64 {USUAL}
  call void @llvm.x86.sse.ldmxcsr(ptr %usual)
  store i64 {AS_IT_WAS}, ptr %at
  br label %done
done:
""" if IS_X86 else "\n"
DECLARATIONS = "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)\n" if IS_X86 else ""


class Vectors:
    def load_wide(self, p, bits): return WideVal(bits, self.ir.name(f"load {type_of(bits)}, ptr {p}, align 1"), self.ir)
    def store_wide(self, p, x): self.ir.put(f"store {type_of(x.bits)} {x.text}, ptr {p}, align 1")
    def held(self, which):
        """Whether this is an XMM register in native code, where they are in the host's XMM0-7."""
        return self.mode == "native" and (self.files.get(which) == 128 if isinstance(which, str) else which >= S.XMM)

    def rd_wide(self, which, bits):
        if not self.held(which):
            return self.load_wide(self.slot(which), bits)
        if not isinstance(which, str):
            return WideVal(128, self.vectors[which - S.XMM >> 1], self.ir)
        into, code = FROM[which]
        given = ", ".join(f"{WIDE} {v}" for v in self.vectors)
        return WideVal(128, self.ir.name(f'call {WIDE} asm "{code}", "={{{into}}},{HELD}"({given})'), self.ir).low(bits)

    def word_wide(self, which): return WideVal(32, self.ir.narrow(32, self.rd_reg(which)), self.ir)

    def wr_wide(self, which, x):
        if self.held(which):
            return self._hold(which, x.text)
        at = self.slot(which)
        self.store_wide(at, x)
        if x.bits == 64:                                # the FPU sees a number that is none
            self.ir.put(f"store i64 65535, ptr {self.ir.at(at, 8)}")

    def _hold(self, which, text):
        if not isinstance(which, str):
            self.vectors[which - S.XMM >> 1] = text
            return
        all_ = f"{{{', '.join([WIDE] * VECTORS)}}}"
        given = ", ".join(f"{WIDE} {v}" for v in (*self.vectors, text))
        r = self.ir.name(f'call {all_} asm "{TO_A}", "{HELD_OUT},{HELD_IN},{{xmm8}}"({given})')
        self.vectors = [self.ir.name(f"extractvalue {all_} {r}, {i}") for i in range(VECTORS)]

    def enter_mmx(self):
        self.wr_word("ftop", 0)
        self.wr_word("ftw", 255)

    def leave_mmx(self):
        self.wr_word("ftop", 0)
        self.wr_word("ftw", 0)

    def at(self, row, write):
        if row.aligned:
            self.unless(((self.t() & 15) == 0).bit, "exit_python")
        return self.probe(self.t(), row.bits, write)

    def meant(self, f, a, b, i):
        """Shifts and shuffles, which would have to be computed from the immediate or a count, are the host's own: in native code an
        immediate is patched in."""
        row = f.row
        direct = self.mode == "native" and f.dst == "x" and f.w == row.bits == 128 and has(HOST_FEATURES.get(row.feature))
        if direct and "Ib" in row.operands and f.src != "r":
            given = [x for x in (a if row.reads else None, b) if x is not None]
            return self._direct(f"{row.name} $$imm,", row.reads, given)
        if direct and row.name in SHIFTS:
            return self._direct(row.name, True, [a, b])
        return row.meaning(a, b, i)

    def _direct(self, instruction, reads, given):
        """The host's instruction: of the destination, if it is read, and a source, if there is one."""
        last, more = len(given), len(given) > reads
        text = f"{instruction} {f'${last}, ' if more else ''}$0"
        kinds = ",".join(["=x", *(["0"] if reads else []), *(["x"] if more else [])])
        return WideVal(128, self.ir.name(f'call {WIDE} asm "{text}", "{kinds}"({", ".join(f"{WIDE} {x.text}" for x in given)})'), self.ir)

    # floating point
    def can(self, row):
        """Whether the host has the instruction."""
        return not row.host or has(row.host_feature)

    def begin_floating(self):
        ir = self.ir
        at, room = ir.at("%s", FLOATING), ir.at("%s", ROOM)
        ready, start = self.fork((ir.load(64, at) == GUESTS).bit)
        with ir.cold(start):
            guests = self.rd_word("mxcsr")
            ir.put(f"br i1 {((guests & UNDERFLOW) != 0).bit}, label %masked, label %unmasked")
            ir.label("unmasked")
            self.leave("exit_python")
            ir.label("masked")
            ir.put(f"call void @llvm.x86.sse.stmxcsr(ptr {room})")
            usual = (ir.load(64, at) == AS_IT_WAS).pick(ir.load(32, room), self.rd_word("usual_mxcsr"))
            self.wr_word("usual_mxcsr", usual)
            self.wr_word("room_mxcsr", guests & ~FLAGS | MASKS)
            ir.put(f"call void @llvm.x86.sse.ldmxcsr(ptr {room})")
            self.wr_word("floating", ((guests & MASKS) == MASKS).pick(GUESTS, OLD))
            ir.put(f"br label %{ready}")
        ir.label(ready)

    def end_floating(self):
        """Where exceptions are unmasked the flags are looked at after each result, before it goes anywhere; those go to the guest's
        register at once."""
        ir, room = self.ir, self.ir.at("%s", ROOM)
        done, look = self.fork((ir.load(64, ir.at("%s", FLOATING)) == GUESTS).bit)
        with ir.cold(look):
            ir.put(f"call void @llvm.x86.sse.stmxcsr(ptr {room})")
            guests, new = self.rd_word("mxcsr"), ir.load(32, room) & FLAGS
            ir.put(f"br i1 {((new << 7 & ~guests) == 0).bit}, label %quiet, label %raised")
            ir.label("raised")
            self.leave("exit_python")
            ir.label("quiet")
            self.wr_word("mxcsr", guests | new)
            ir.put(f"br label %{done}")
        ir.label(done)

    def floating(self, f, a, b):
        """The host's instruction, between the same operands in the same order."""
        row, ir = f.row, self.ir
        general = f.src == "r" or row.operands[1][0] == "E"
        source = f"i32 {b.text}" if general else f"{WIDE} {b.extended(128).text}"
        kind = "r" if general else "x"
        if row.host[-6:-2] == "comi":
            both = f"{WIDE} {a.extended(128).text}, {source}"
            text = f"{row.host} $4, $3; sete $0; setp $1; setb $2"          # LLVM's own outputs of flags come too early
            r = ir.name(f'call {{i8, i8, i8}} asm sideeffect "{text}", "=q,=q,=q,x,x,~{{flags}}"({both})')
            return [ir.wide(8, ir.name(f"extractvalue {{i8, i8, i8}} {r}, {i}")) for i in range(3)]
        into, out = ("i32", "=r") if f.dst == "r" else (WIDE, "=x")

        def with_(imm):
            select = f"$${imm}, " if row.select else ""
            if a is None:
                return ir.name(f'call {into} asm sideeffect "{row.host} {select}$1, $0", "{out},{kind}"({source})')
            return ir.name(f'call {into} asm sideeffect "{row.host} {select}$2, $0", "{out},0,{kind}"({WIDE} {a.text}, {source})')
        r = self.with_immediate(with_, row.select, into)
        return ir.wide(32, r) if f.dst == "r" else WideVal(128, r, ir)

    def hosted(self, f, a, b): return self.floating(f, a, b)
    def xmm0(self): return self.rd_wide(S.XMM, 128)

    def crc32(self, meaning, a, b, w):
        """The host's instruction where it has one."""
        if not has("sse4.2"):
            return meaning(a, b, w)
        x, y = self.ir.narrow(32, a), self.ir.narrow(w, b)
        name, kind = {8: ("crc32b", "q"), 16: ("crc32w", "r"), 32: ("crc32l", "r")}[w]
        return self.ir.wide(32, self.ir.name(f'call i32 asm "{name} $2, $0", "=r,0,{kind}"(i32 {x}, i{w} {y})'))

    def string(self, f, a, b):
        """CF, ZF, SF, OF; the result goes to its register."""
        ir, name = self.ir, f.row.name
        index, explicit = name[-1] == "i", name[4] == "e"
        into, kind = ("{ecx}", "i32") if index else ("{xmm0}", WIDE)
        lengths = "".join(f", i32 {ir.narrow(32, self.rd_reg(r))}" for r in (0, 2)) if explicit else ""
        text = "{name} $${imm}, $6, $5; setb $1; sete $2; sets $3; seto $4"
        registers = f"={into},=&q,=&q,=&q,=&q,x,x" + (",{eax},{edx}" if explicit else "") + ",~{flags}"
        all_ = f"{{{kind}, i8, i8, i8, i8}}"

        def with_(imm):
            asm = text.format(name=name, imm=imm)
            return ir.name(f'call {all_} asm sideeffect "{asm}", "{registers}"({WIDE} {a.text}, {WIDE} {b.text}{lengths})')
        r = self.with_immediate(with_, 127, all_)
        result, *flags = (ir.name(f"extractvalue {all_} {r}, {i}") for i in range(5))
        if index:
            self.wr_reg(1, "r", 32, ir.wide(32, result))
        else:
            self.wr_wide(S.XMM, WideVal(128, result, ir))
        return [ir.wide(8, x) for x in flags]

    def with_immediate(self, f, bits, kind):
        """f(these bits of the immediate): native code has a byte for it, which is filled when the handler is pasted, threaded code an
        instruction for each value."""
        if self.mode == "native" or not bits:
            return f("imm")
        ir, ways = self.ir, []
        ir.put(f"switch i64 {self.hole('imm') & bits}, label %W0 [" + " ".join(f"i64 {i}, label %W{i}" for i in range(1, bits + 1)) + "]")
        for i in range(bits + 1):
            ir.label(f"W{i}")
            ways.append(f"[ {f(i)}, %W{i} ]")
            ir.put("br label %chosen")
        ir.label("chosen")
        return ir.name(f"phi {kind} " + ", ".join(ways))

    def load_mxcsr(self, v):
        """What is reserved is the plain reader's, which raises #GP."""
        self.unless(((v & RESERVED) == 0).bit, "exit_python")
        self.wr_word("mxcsr", v)
        self.wr_word("floating", (self.rd_word("floating") != AS_IT_WAS).pick(OLD, AS_IT_WAS))

    def mxcsr(self):
        room = self.ir.at("%s", ROOM)
        if not IS_X86:
            return self.rd_word("mxcsr")
        self.ir.put(f"call void @llvm.x86.sse.stmxcsr(ptr {room})")
        return self.rd_word("mxcsr") | (self.rd_word("floating") == GUESTS).pick(self.ir.load(32, room) & FLAGS, 0)

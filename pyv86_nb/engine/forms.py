"""Which handlers are needed: every row at every width, with every kind of operand."""
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from . import emit_vector, emit_x87
from . import state as S
from .access import misaligned
from .emit import PARAMETERS, PINNED, REG, TAIL, Emit
from .emit_vector import VECTORS, WIDE
from .isa import alu, shift, steps, x87
from .isa import flags as F
from .isa.opcodes import OPCODES
from .isa.rows import Row, parse
from .isa.vector import register_bits
from .isa.words import cut
from .lanes_llvm import DECLARATIONS, WideVal
from .records import EXITS, HOLES
from .val import Val

PUT_OFF, CARRY_ONLY, SHORT = 2, 3, 4
SUMS = alu.add, alu.sub, alu.adc, alu.sbb
SHIFTS = {shift.shl: F.SHL, shift.shr: F.SHR, shift.sar: F.SAR}
FUSED_CC = (2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15)
WORD_REGISTERS = {f"{n}v": S.SELECTORS + i for i, n in enumerate(("ES", "CS", "SS", "DS", "FS", "GS"))}


@dataclass(frozen=True)
class Form:
    row: Row
    w: int
    dst: str = "-"
    src: str = "-"
    flags: int = 0                # whether they are wanted, and how: live_flags.py
    cc: int = 0
    stack: int = 32               # width of the stack pointer
    aw: int = 32                  # width of the count register

    def key(self):
        r = self.row
        named = r.name if r.step in BY_NAME or (r.bits and "Ib" in r.operands) else ""
        wide = (r.bits, r.aligned, r.reads, r.host, r.operands) if r.bits else ()
        if r.fpu:
            wide = r.name, parse(r.encoding).opcode
        return (*wide, r.step, r.pops, r.meaning, r.keep, r.sw, r.third, r.writes, named,
                self.w, self.dst, self.src, self.flags, self.cc, self.stack, self.aw)


BY_NAME = (steps.rdtsc, steps.carry, steps.direction, steps.bit_scan, steps.decimal, steps.ascii_adjust,
           x87.compare, x87.store_integer, x87.sign, x87.turn)


def kinds(code, w):
    """The kinds an operand code can turn into."""
    letter, byte = code[0], w == 8
    if code in WORD_REGISTERS or code == "Sw" or code == "eAX":
        return "r"
    if code == "CL":
        return "c"
    if code == "AL":
        return "l"
    if register_bits(code):
        return "xm" if letter in "WQ" else "x"
    if letter == "E":
        return "lhm" if byte else "rm"
    if letter in "GZ":
        return "lh" if byte else "r"
    if letter in "OXY":
        return "m"
    if letter == "T":
        return "l" if byte else "r"
    return "i" if letter in "I1" else "-"


def wanted_flags(row):
    """The ways in which a row can leave flags."""
    if row.step is not steps.ordinary or row.writes == "none":
        return (int(row.writes != "none"),)
    if row.meaning in SUMS:
        return 0, 1, PUT_OFF, CARRY_ONLY, SHORT
    return (0, 1, PUT_OFF) if row.meaning in (alu.and_, alu.or_, alu.xor) or row.meaning in SHIFTS else (0, 1)


def widths(row):
    if row.fixed:
        return (row.fixed,)
    if row.fpu:
        return (16, 32)
    text = " ".join(row.operands)
    if row.name == "set" or (row.operands and row.operands[-1 if row.operands[0] == "-" else 0] in ("Eb", "Gb", "Zb", "AL", "Ob", "Mb", "Yb", "Tb")):
        return (8,)
    return (16, 32) if "v" in text or "z" in text or row.stack or row.ends or row.kernel else (32,)


def forms(row):
    if row.fpu:
        dst, src = (*row.operands, "-", "-")[:2]
        for double in (False, True) if row.step is x87.arithmetic else (False,):
            yield Form(row, 32, dst, src, double, row.cc)
        return
    if row.kernel and row.step is steps.kernel:
        return
    codes = (row.operands + ("-", "-"))[:2]
    if row.bits:
        w = register_bits(codes[0]) or register_bits(codes[1])
        for d, s in product(kinds(codes[0], 32), kinds(codes[1], 32)):
            if ("m" in d + s) == (row.mod == "m" and row.operands[1:] not in (("Mb",), ("Md",))) or row.mod == "":
                yield Form(row, w, d, s)
        return
    for w in widths(row):
        for d, s in product(kinds(codes[0], w), kinds(codes[1], row.sw or w)):
            if d == s == "m" or (row.mod == "r" and "m" in d + s) or (row.mod == "m" and "E" in codes[0] + codes[1] and "m" not in d + s):
                continue
            if row.stack and "m" in d + s:
                continue                                # through TMP
            ccs = range(16) if "+c" in row.encoding else (0, 1) if row.ends == "indirect" else (0,)
            if row.step is steps.loop:
                ccs = (parse(row.encoding).opcode % 16,)
            for fl, cc, second in product(wanted_flags(row), ccs, (16, 32)):
                if fl == PUT_OFF and row.meaning in SHIFTS and s != "i":
                    continue                            # a count in CL may be 0, and leaves flags then
                if row.stack:
                    yield Form(row, w, d, s, fl, cc, stack=second)
                elif row.step is steps.loop:
                    yield Form(row, w, d, s, fl, cc, aw=second)
                elif second == 32 and not (fl > 1 and "h" in d + s):
                    yield Form(row, w, d, s, fl, cc)         # AH to BH are rare: their flags are not put off


def fused_forms():
    """CMP or TEST with the conditional jump after it, which ends the block: the flags live on, but most are never asked for."""
    for row in OPCODES:
        if row.name in ("cmp", "test"):
            for f in forms(row):
                if f.flags == 1 and "h" not in f.dst + f.src:
                    for cc in FUSED_CC:
                        yield replace(f, cc=cc + 16)


def emit_form(f, mode):
    m = traced_form(f, mode)
    return m if m.moves() is not None else traced_form(f, mode, "u")


def traced_form(f, mode, ra="t"):
    m = Emit(mode, ra)
    m.files = dict(zip(("ra", "rb"), map(register_bits, f.row.operands), strict=False)) if f.row.bits else {}
    if not m.can(f.row):
        m.leave("exit_python")
    elif f.flags in (PUT_OFF, SHORT):
        meaning, carry = f.row.meaning, m.flags()[0] & 1
        a, b, r = steps.ordinary(m, replace(f, flags=0))
        taken = carry * F.WITH_CARRY
        put_off = {alu.sub: (a, b, f.w), alu.add: (r, b, f.w + F.SUM), alu.sbb: (a, b, taken + f.w), alu.adc: (r, b, taken + (f.w + F.SUM))}
        put_off |= {each: (a, b, f.w + kind) for each, kind in SHIFTS.items()}
        words = put_off.get(meaning, (r, 0, f.w))        # of a logical operation: as if compared with 0
        m.put_off(*words, computed=words[0] is r)
        if f.flags == SHORT:
            cf, _, result = F.put_off(*words)
            m.leave_some(cf, result)
        m.next()
    elif f.flags == CARRY_ONLY:
        carry = m.flags()[0] & 1
        a, b, r = steps.ordinary(m, replace(f, flags=0))
        m.set_carry(f.row.meaning(a, b, carry, f.w)[1])
        m.next()
    elif f.cc < 16 or f.row.bits:
        m.checked = f.row.ends == "indirect" and f.cc == 1
        if m.hosts_x87 and "mmx" in f.row.unit:
            m.leave_to_mmx()
        if m.hosts_x87 and f.row.fpu:
            m.run_x87(f)
        else:
            f.row.step(m, f)
        if not m.ir.lines or m.ir.lines[-1].split()[0] != "ret":
            m.next()
    else:
        a, b, r = steps.ordinary(m, replace(f, flags=0))
        if f.row.name == "test":
            a, b = r, 0
        m.put_off(a, b, f.w)
        m.branch(F.condition_cmp(f.cc - 16, a, b, f.w) != 0)
    return m


# the handlers that belong to no row
def head(m):
    """The gate of a block: pay for its instructions, or leave in debt."""
    at = S.offset("budget")
    if m.mode == "native":
        in_debt = m.ir.name(f'call i32 asm sideeffect "subq $$imm, {at}($1)", "={{@ccs}},r,~{{memory}}"(ptr %s)')
        m.unless(m.ir.name(f"icmp eq i32 {in_debt}, 0"), "exit_budget")
    else:
        rest = m.ir.load(64, m.ir.at("%s", at)) - m.hole("imm")
        m.ir.store(64, rest, m.ir.at("%s", at))
        m.unless((rest >= 0).bit, "exit_budget")
    m.next()


def swap_halves(m):
    """XCHG of the two bytes of one register."""
    steps.swap_halves(m)
    m.next()


def what_was_put_off(m):
    return (m.ir.load(32, m.ir.at("%s", S.offset(n))) for n in ("kind", "kind_a", "kind_b"))


def settle(m):
    """The flags that have been put off, if they have."""
    before = m.flags()
    kind, a, b = what_was_put_off(m)
    words = m.either(kind != 0, lambda: F.put_off(a, b, kind), lambda: before)
    m.set_flags(*m.either(kind >= F.SHL, lambda: F.put_off_shift(a, b, kind), lambda: words))
    forget(m)


def settle_carry(m):
    """CF alone, for an instruction that writes all others and cannot fault: INC and DEC of a register, ADC and SBB of registers."""
    before = m.flags()[0]
    kind, a, b = what_was_put_off(m)
    quickly = (kind != 0).pick(F.put_off(a, b, kind)[0], before)
    m.set_carry(*m.either(kind >= F.SHL, lambda: F.put_off_shift(a, b, kind)[:1], lambda: [quickly]))
    forget(m)


def forget(m):
    """Other flags come."""
    m.ir.store(32, 0, m.ir.at("%s", S.offset("kind")))
    m.next()


def offset(m, width, scale, based=True):
    """base + index * scale + displacement, cut to the address size."""
    m.place.update(ra="u", rb="x")
    if m.mode == "native" and width == 32:
        return m.lea(m.rd_reg("ra") if based else None, None if scale is None else m.rd_reg("rb"), scale)
    a = m.rd_reg("ra") if based else 0
    if scale is not None:
        a = a + (m.rd_reg("rb") << scale)
    return cut(a + m.signed_hole("imm"), width)


def ea(m, width, scale=None, based=True):
    """Leave an offset in t: of a flat segment, or for an instruction that does the segment itself."""
    m.next(str(offset(m, width, scale, based)))


def segment_ea(m, width, scale=None, aligned=False):
    """Leave a linear address in t, if the access fits into the window of its segment (access.logical, in one compare)."""
    a = offset(m, width, scale)
    window = m.slot("window")
    first, last = m.ir.load(64, window), m.ir.load(64, m.ir.at(window, 8))
    m.unless((((a - first) | (last - a - m.hole("last"))) >= 0).bit, "exit_segment", str(a))
    linear = cut(a + m.ir.load(64, m.slot("base")), 32)
    if aligned:
        m.unless(((linear & misaligned(m.hole("last") + 1)) == 0).bit, "exit_align", str(linear))
    m.next(str(linear))


def simple_form(step, w, stack=32, src="-"):
    def build(m):
        step(m, Form(OPCODES[0], w, src=src, stack=stack))
        m.next()
    return build


def hop(m):
    """Jump to the EIP in the record by way of the recent targets: for direct jumps that may not be linked."""
    m.jump(m.hole("imm"))


def cold(exit):
    """The far stub of an exit: it says which record left."""
    def build(m):
        if m.mode == "native":
            m.ir.put(f"store i64 ptrtoint (ptr @here to i64), ptr {m.ir.at('%s', S.offset('pc'))}")
        m.tail("@" + exit)
    return build


def move(temporary, register, back=False):
    """Between a temporary and a register; register 8: the word of the state that the record names."""
    def build(m):
        if m.mode == "native" and back and register < 8:
            m.registers[register] = m.temporaries[temporary]
        elif m.mode == "native" and back:
            m.ir.store(32, Val(m.temporaries[temporary], m.ir), m.slot("ra"))
        elif m.mode == "native":
            m.temporaries[temporary] = m.registers[register] if register < 8 else str(m.ir.load(32, m.slot("ra")))
        m.next()
    return build


def advance(m, width, registers):
    steps.advance(m, registers, m.hole("imm"), width)
    m.next()


def bit_string(m, w, aw):
    """The offset in t, with the number of a bit, to TMP, from where a handler for addresses takes it."""
    m.wr_reg(steps.TMP, "r", 32, steps.bit_string(m.t(), m.rd_reg("rb"), w, aw))
    m.next()


SCALES = (None, 0, 1, 2, 3)
# what a string instruction advances, in the order of decode.STRING less one
INDICES = {"si": (steps.SI,), "di": (steps.DI,), "both": (steps.SI, steps.DI)}
SPECIAL = {
    "head": head, "goto": lambda m: m.jump(None), "hop": hop, "python": lambda m: m.leave("exit_python"),
    "kernel": lambda m: m.leave("exit_kernel"),
    **{f"ea{w}_{s}": partial(ea, width=w, scale=s) for w in (16, 32) for s in SCALES},
    **{f"ea32_{s}_of_nothing": partial(ea, width=32, scale=s, based=False) for s in SCALES},
    **{f"segment_ea{w}_{s}": partial(segment_ea, width=w, scale=s) for w in (16, 32) for s in SCALES},
    **{f"align_ea{w}_{s}": partial(segment_ea, width=w, scale=s, aligned=True) for w in (16, 32) for s in SCALES},
    **{f"load_tmp{w}": simple_form(steps.load_tmp, w, 32) for w in (8, 16, 32)},
    **{f"advance{w}_{n}": partial(advance, width=w, registers=r) for w in (16, 32) for n, r in INDICES.items()},
    **{f"pop_to_memory{w}_{k}": simple_form(steps.pop_to_memory, w, k) for w in (16, 32) for k in (16, 32)},
    **{f"mov_segment_{k}": simple_form(steps.mov_segment, 16, src=k) for k in "rm"},
    **{f"pop_segment{w}_{k}": simple_form(steps.pop_segment, w, k) for w in (16, 32) for k in (16, 32)},
    **{f"bit_string{w}_{aw}": partial(bit_string, w=w, aw=aw) for w in (16, 32) for aw in (16, 32)},
    "load_far_pointer": simple_form(steps.load_far_pointer, 16), "cli": simple_form(steps.cli, 32), "sti": simple_form(steps.sti, 32),
    "swap_halves": swap_halves, "settle": settle, "settle_carry": settle_carry, "forget": forget,
    **{f"{t}_from_{r}": move(t, r) for t in "tu" for r in range(9)}, **{f"{t}_to_{r}": move(t, r, True) for t in "tu" for r in range(9)},
    **{e: cold(e) for e in EXITS}}
SPECIAL_NAMES = tuple(SPECIAL)


def exit_function(name, mode):
    reason, size = EXITS[name]
    m = Emit(mode)
    m.keeps = True
    if mode == "native":
        for i in PINNED:
            m.ir.store(64, Val(f"%r{i}", m.ir), m.ir.at("%s", REG + 8 * i))
        for i, v in enumerate(m.vectors):
            m.store_wide(m.slot(S.XMM + 2 * i), WideVal(128, v, m.ir))
    else:
        m.ir.put(f"store ptr %pc, ptr {m.ir.at('%s', S.offset('pc'))}")
    m.ir.put(f"store i64 %t, ptr {m.ir.at('%s', S.offset('address'))}")
    m.ir.put(f"store i64 {size}, ptr {m.ir.at('%s', S.offset('access'))}")
    m.ir.put(f"ret i64 {reason}")
    return m.function(name)


def enter(mode):
    """From C: i64 enter(state, record, tlb, code)."""
    m = Emit(mode)
    with_ = "ptr %s, ptr %pc, i64 0, ptr %tlb"
    if mode == "native":
        emit_x87.enter(m)
        with_ = "ptr %s, i64 0, i64 0, " + ", ".join(f"i64 {m.ir.load(64, m.ir.at('%s', REG + 8 * i))}" for i in PINNED)
        with_ += "".join(f", {WIDE} {m.load_wide(m.slot(S.XMM + 2 * i), 128).text}" for i in range(VECTORS))
    m.ir.put(f"%rc = call preserve_nonecc i64 %code({with_})")
    if mode == "native":
        emit_x87.leave(m, Val("%rc", m.ir))
    return "define i64 @enter(ptr %s, ptr %pc, ptr %tlb, ptr %code) nounwind {\n" + "\n".join(m.ir.lines) + emit_vector.LEAVE + "  ret i64 %rc\n}\n"


def plan():
    """Every handler: {key: its number} and, in that order, what builds it."""
    where, todo = {}, []

    def add(key, build):
        if key not in where:
            where[key] = len(todo)
            todo.append(build)
    for name, build in SPECIAL.items():
        add(name, partial(special, build))
    for f in [f for row in OPCODES for f in forms(row)] + list(fused_forms()):
        add(f.key(), partial(emit_form, f))
    return where, todo


def special(build, mode):
    m = Emit(mode)
    m.keeps = True
    build(m)
    return m


def module(mode):
    """(where, the moves of each, the LLVM text of all handlers)."""
    where, todo = plan()
    built = [build(mode) for build in todo]
    moves = [m.moves() for m in built]
    if None in moves:
        raise TypeError("a handler needs t both as an address and as a register")
    text = [m.function(f"u{i}") for i, m in enumerate(built)]
    text += [f"@{h} = external dso_local global i8\n" for h in (*HOLES, "here", "tlb_base")]
    types = ",".join(x[:x.index("%")] for x in PARAMETERS[mode].split(","))
    text += [f"declare preserve_nonecc i64 @{n}({types})\n" for n in ("cont", "taken")]
    text += ["declare i64 @llvm.ctlz.i64(i64, i1)\n"]
    text += [exit_function(n, mode) for n in EXITS] + [enter(mode), emit_vector.DECLARATIONS, DECLARATIONS, TAIL]
    return where, moves, "".join(text)

"""How an instruction of MMX and SSE runs.   SDM vol. 1, 9.2 and 11.4; vol. 2, tables 2-18 to 2-26 for what they raise.

A machine offers, beside what steps.py asks for:
    rd_wide wr_wide     a vector register, or its low bits
    at                  memory of so many bits at t, probed; a misaligned operand of 16 bytes leaves the step
    load_wide store_wide
    meant               the row's meaning of its operands
    begin_floating      leave the step unless results may be computed here;  end_floating: or if they raise what is unmasked
    floating            the result of a row's arithmetic; mxcsr, load_mxcsr: the register

Operand codes, as SDM vol. 2, appendix A has them: V the XMM register of ModRM.reg, W an XMM register or memory, U an XMM register
only; P, Q, N the same of MMX.  Kinds (steps.py) are those and x, a vector register.
"""
from . import flags as F


def register_bits(code):
    """Of the register file that an operand code means, 0 for the general one."""
    return 128 if code[0] in "VWU" else 64 if code[0] in "PQN" else 0


def source(m, f, code, bits):
    """SRC as a wide word, or None."""
    if f.src == "m":
        return m.load_wide(m.at(f.row, False), bits)
    if f.src == "x":
        return m.rd_wide("rb", bits)
    return m.word_wide("rb") if f.src == "r" else None


def vector(m, f):
    """DEST := meaning(DEST, SRC, imm8)."""
    row = f.row
    codes = (*row.operands, "-", "-")
    into = f.dst == "x"                                 # else the meaning takes what it wants of the register
    b = source(m, f, codes[1], row.bits if into or f.src == "m" else register_bits(codes[1]))
    a = m.rd_wide("ra", f.w) if into and row.reads else m.word_wide("ra") if f.dst == "r" and row.reads else None
    at = m.at(row, True) if f.dst == "m" else None
    r = m.meant(f, a, b, m.imm(8) if "Ib" in codes else None)
    if "mmx" in row.unit:
        m.enter_mmx()
    if into:
        m.wr_wide("ra", r)
    elif at is not None:
        m.store_wide(at, r)
    elif f.dst == "r":
        m.wr_reg("ra", "r", 32, r)


def masked_store(m, f):
    """MASKMOVDQU, MASKMOVQ: the bytes that are not chosen are written as they are."""
    at = m.at(f.row, True)
    if f.row.unit == "mmx":
        m.enter_mmx()
    m.store_wide(at, f.row.meaning(m.load_wide(at, f.w), (m.rd_wide("ra", f.w), m.rd_wide("rb", f.w)), None))


def empty(m, f):
    """EMMS: TOP becomes 0 too.   SDM vol. 3, 12.2"""
    m.leave_mmx()


def touch(m, f):
    """CLFLUSH: nothing but the checks of a byte load."""
    m.probe(m.t(), 8, False)


def hint(m, f):
    """PREFETCHh, fences: nothing is to be done, and nothing can fault."""


# FLOATING POINT

def floating(m, f):
    """DEST := meaning(DEST, SRC), rounded as MXCSR says; what is found goes there, or leaves the step with #XM."""
    row = f.row
    into = f.dst == "x"
    m.begin_floating()
    b = source(m, f, row.operands[1], row.bits)
    a = m.rd_wide("ra", f.w) if into and row.reads else None
    if row.before:
        a, b = row.before(a, b, m.imm(8))
    r = m.floating(f, None if row.low else a, b)
    m.end_floating()
    if row.after:
        r = row.after(r, m.imm(8))
    if row.low:
        r = a.put(64, 0, r.word(64))
    if "mmx" in row.unit:
        m.enter_mmx()
    if into:
        m.wr_wide("ra", r.low(f.w))
    else:
        m.wr_reg("ra", "r", 32, r)


def hosted(m, f):
    """DEST := meaning(DEST, SRC), by the host's instruction, of which the immediate is no part."""
    row = f.row
    b = source(m, f, row.operands[1], row.bits)
    a = m.rd_wide("ra", f.w) if row.reads else None
    i = m.imm(8) if "Ib" in row.operands else None
    if row.before:
        a, b = row.before(a, b, i)
    r = m.hosted(f, a, b)
    m.wr_wide("ra", row.after(r, i) if row.after else r)


def by_xmm0(m, f):
    """DEST := meaning(DEST, SRC, XMM0)."""
    b = source(m, f, f.row.operands[1], f.row.bits)
    m.wr_wide("ra", f.row.meaning(m.rd_wide("ra", f.w), b, m.xmm0()))


def tested(m, f):
    """PTEST"""
    b = source(m, f, f.row.operands[1], f.row.bits)
    zf, pf, cf = f.row.meaning(m.rd_wide("ra", f.w), b, None)
    m.set_flags(*F.of_order(zf, pf, cf))


def crc32(m, f):
    """A general register and 8, 16 or 32 bits; all 32 of the register, whatever the operand size."""
    w = f.row.sw or f.w
    b = m.fetch(f.src, "rb", w)
    m.wr_reg("ra", "r", 32, m.crc32(f.row.meaning, m.rd_reg("ra"), b, w))


def string(m, f):
    """PCMPESTRI and the like: the answer is in ECX or XMM0, and CF ZF SF OF."""
    b = source(m, f, f.row.operands[1], f.row.bits)
    cf, zf, sf, of = m.string(f, m.rd_wide("ra", f.w), b)
    m.set_flags(*F.from_image(cf | zf << 6 | sf << 7 | of << 11))


def ordered(m, f):
    """COMISS, COMISD, UCOMISS, UCOMISD."""
    m.begin_floating()
    b = source(m, f, f.row.operands[1], f.row.bits)
    zf, pf, cf = m.floating(f, m.rd_wide("ra", f.row.bits), b)
    m.end_floating()
    m.set_flags(*F.of_order(zf, pf, cf))


def load_control(m, f):
    """LDMXCSR"""
    m.load_mxcsr(m.rd(m.probe(m.t(), 32, False), 32))


def store_control(m, f):
    """STMXCSR"""
    at = m.probe(m.t(), 32, True)
    m.wr(at, 32, m.mxcsr())

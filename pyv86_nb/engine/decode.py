"""Bytes to instructions, from the opcode table.   SDM vol. 2, chapter 2.

`tables` turns the rows into arrays; `decode` reads them, in numba and for the plain reader alike.
"""
import numpy as np
from numba.extending import register_jitable as kernel

from . import forms as FM
from . import state as S
from .isa import steps
from .isa.opcodes import KERNELS, OPCODES
from .isa.rows import MAPS, PREFIXES, parse
from .isa.vector import floating, hint, load_control, ordered, register_bits, store_control
from .raw import num

# what decode leaves in d
(ROW, WI, DK, SK, RA, RB, IMM, IMM2, EA, EBASE, EINDEX, DISP, LEN, CC, EIP, FL, SEG, AW, REP, OPCODE, MEM, STACKED) = range(22)
FIELDS = 24
KIND = {"-": 0, "r": 1, "l": 2, "h": 3, "m": 4, "i": 5, "c": 6, "x": 7}
NONE, REG, LOW, HIGH, MEMORY, IMMEDIATE, COUNT, VECTOR = range(8)
# where an operand comes from
FROM = {"-": 0, "E": 1, "G": 2, "Z": 3, "A": 4, "I": 5, "J": 0, "M": 6, "CL": 7, "1": 5, "O": 8, "X": 8, "Y": 8, "Sw": 9, "word": 10, "T": 11,
        "V": 2, "W": 1, "U": 1, "P": 2, "Q": 1, "N": 1}
# columns of the row table
(WIDTH, MODRM, DST, SRC, SRC_WORD, SRC8, IMM_KIND, IMM2_KIND, WRITES, USES, FAULTS, ENDS, STACK, FUSE, HAS_CC, KEEPCF, LOCK, KERNEL,
 LOOP, READS, KEEP, SIZE, WIDE, DST_FILE, SRC_FILE, UNIT, AT_EDI, NO_ACCESS, NO_MOD, SELECT, STORES, SID_AT, SID_CC, STRING, RMS,
 BIT_STRING, FPU) = range(37)
BYTE, OPERAND_SIZE, WORD, DWORD = range(4)                                # WIDTH
NO_END, JUMP, BRANCH, INDIRECT, KERNEL_END, TIME = range(6)               # ENDS
AT_SI, AT_DI = 1, 2                                                       # STRING
BY_COUNT, ROTATED, CARRY = 2, 3, 4                                        # WRITES, apart from none and all
DOWN, UP, FRAME = 1, 2, 3                                                 # STACK
LOOK = (len(MAPS) + 1, len(PREFIXES), 256, 8, 2)                           # map, prefix, opcode, ModRM reg, memory -> row
X87 = len(MAPS)                                                            # a map of registers: low opcode bits and reg, r/m
OK, UNDEFINED, MORE, TOO_LONG = range(4)                                  # what decode answers
MAY_FAULT = (steps.div, steps.idiv, steps.aam, steps.rdtsc)               # without a memory operand
IMMEDIATES = {"Ib": 1, "Ibs": 2, "Jbs": 2, "Iz": 3, "Jz": 3, "1": 4, "Iw": 5, "Ob": 6, "Ov": 6, "Ap": 7}


def _source(code):
    if code in FM.WORD_REGISTERS:
        return FROM["word"]
    if code in FROM:
        return FROM[code]
    return FROM.get(code[0] if code not in ("eAX", "AL") else "A", 0)


def opcode_map(features=None):
    """Opcode to row.  features: those there are, of rows that name one."""
    look = np.full(LOOK, -1, np.int16)
    for i, r in enumerate(OPCODES):
        if features is not None and r.feature and r.feature not in features:
            continue
        prefix, m, first, plus, ext = parse(r.encoding)
        for o in range(first, first + {"": 1, "r": 8, "c": 16}[plus]):
            for mem in {"": (0, 1), "r": (0,), "m": (1,)}[r.mod]:
                for reg in (int(ext),) if ext.isdigit() else range(8):
                    if o >> 3 == 0x1B and m == 0 and mem == 0:
                        for rm in r.rm:
                            look[X87, :, (o & 7) << 3 | reg, rm, 0] = i
                    look[m, slice(None) if prefix is None else prefix, o, reg, mem] = i
    return look


def tables(where):
    """(look, rows, sid, fused): opcode to row; facts of rows; handlers by row and operands."""
    rows = np.zeros((len(OPCODES), FPU + 1), np.int64)
    sid, sid_size = [], 0
    fused = np.full((len(OPCODES), 3, 7, 7, 2, 16), -1, np.int16)
    index = {8: 0, 16: 1, 32: 2}
    for i, r in enumerate(OPCODES):
        _, _, first, plus, ext = parse(r.encoding)
        codes = (*r.operands, "-", "-", "-")
        ws = FM.widths(r)
        rows[i, WIDTH] = {(8,): BYTE, (16,): WORD, (32,): DWORD}.get(ws, OPERAND_SIZE)
        rows[i, MODRM] = bool(ext) or any(_source(c) in (1, 2, 6) for c in codes)
        rows[i, DST], rows[i, SRC] = _source(codes[0]), _source(codes[1])
        word = next((c for c in codes if c in FM.WORD_REGISTERS), None)
        rows[i, SRC_WORD] = FM.WORD_REGISTERS.get(word, 0)
        rows[i, SRC8] = r.sw == 8
        immediates = [IMMEDIATES[c] for c in codes if c in IMMEDIATES]
        rows[i, IMM_KIND] = immediates[0] if immediates else 0
        rows[i, IMM2_KIND] = immediates[1] if len(immediates) > 1 else 0
        rows[i, WRITES] = {"none": 0, "all": 1, "count": BY_COUNT, "rotate": ROTATED, "carry": CARRY}[r.writes]
        rows[i, USES] = {"": 0, "c": 1, "all": 3}[r.uses]
        rows[i, FAULTS] = bool(r.stack or r.fpu) or r.step in MAY_FAULT
        rows[i, FPU] = r.fpu
        rows[i, ENDS] = {"": NO_END, "jump": JUMP, "branch": BRANCH, "indirect": INDIRECT, "kernel": KERNEL_END, "time": TIME}[r.ends]
        rows[i, STACK] = {"": 0, "down": DOWN, "up": UP, "frame": FRAME}[r.stack]
        rows[i, FUSE] = r.name in ("cmp", "test")
        rows[i, HAS_CC] = plus == "c"
        rows[i, KEEPCF] = r.name in ("inc", "dec")
        rows[i, LOCK] = r.lock
        rows[i, KERNEL] = KERNELS.index(r.kernel) + 1 if r.kernel else 0
        rows[i, LOOP] = first % 16 + 1 if r.step is steps.loop else 0
        rows[i, READS] = r.reads or not r.keep
        rows[i, KEEP] = r.keep
        rows[i, SIZE], rows[i, WIDE] = (r.bits or r.sw) // 8, r.bits > 0
        rows[i, DST_FILE], rows[i, SRC_FILE] = ({128: S.XMM, 64: S.MMX, 0: 0}[register_bits(c)] for c in codes[:2])
        rows[i, UNIT], rows[i, AT_EDI] = ("sse" in r.unit) * S.SSE | ("mmx" in r.unit) * S.FPU, r.at_edi
        rows[i, NO_ACCESS], rows[i, NO_MOD] = r.step in (steps.lea, hint), codes[0][0] == "R" or codes[1][0] == "R"
        letters = {c[0] for c in r.operands}
        rows[i, STRING] = AT_SI * bool(letters & {"X", "T"}) | AT_DI * ("Y" in letters)
        rows[i, BIT_STRING] = r.bit_string
        rows[i, RMS], rows[i, STORES] = sum(1 << rm for rm in r.rm), r.step is steps.cmpxchg8b
        # handlers of the row: width, dst, src, flags, 32-bit stack or count, cc; -1 where there is none
        if r.bits:
            mine = np.full((8, 8), -1, np.int16)
            for f in FM.forms(r):
                mine[KIND[f.dst], KIND[f.src]] = where[f.key()]
            rows[i, SID_AT], rows[i, SELECT] = sid_size, r.select
            rows[i, STORES] = r.at_edi or r.step is store_control
            rows[i, FAULTS] = r.step in (floating, ordered, load_control)
            sid.append(mine.ravel())
            sid_size += mine.size
            continue
        mine = np.full((3, 7, 7, 5, 2, 16 if rows[i, HAS_CC] or r.ends == "indirect" or rows[i, LOOP] else 1), -1, np.int16)
        for f in FM.forms(r):
            flags = int(f.flags) if r.step is steps.ordinary and r.writes != "none" else slice(None)
            second = int(f.stack == 32) if r.stack else int(f.aw == 32) if rows[i, LOOP] else slice(None)
            if r.fpu:
                mine[:, :, :, 1 if f.flags else slice(None)] = where[f.key()]
                continue
            mine[index[f.w], KIND[f.dst], KIND[f.src], flags, second, f.cc] = where[f.key()]
        rows[i, SID_AT], rows[i, SID_CC] = sid_size, mine.shape[-1]
        sid.append(mine.ravel())
        sid_size += mine.size
    number = {id(r): i for i, r in enumerate(OPCODES)}
    for f in FM.fused_forms():
        fused[number[id(f.row)], index[f.w], KIND[f.dst], KIND[f.src], int(f.flags), f.cc - 16] = where[f.key()]
    return opcode_map(), rows, np.concatenate(sid), fused


@kernel
def word(code, p, n, signed):
    """n bytes of code as a number."""
    v = 0
    for i in range(n):
        v |= num(code[p + i]) << (8 * i)
    if signed and v >> (8 * n - 1):
        v -= 1 << (8 * n)
    return v


@kernel
def decode(code, n, big, stack_big, look, rows, d):
    """Fill d with the instruction in code[:n].  big: CS.D; stack_big: SS.B.  Answers OK, UNDEFINED, or that there is
    MORE of it than n bytes, or that it is TOO_LONG (15 bytes).  `code` is 32 bytes long whatever n."""
    p, segment, lock, rep, prefix = 0, -1, False, 0, 0
    operand32, address32 = big, big
    while True:
        if p >= 15:
            return TOO_LONG
        if p >= n:
            return MORE
        o = num(code[p])
        p += 1
        if o == 0x66:
            operand32, prefix = 1 - big, 1
        elif o == 0x67:
            address32 = 1 - big
        elif o == 0xF0:
            lock = True
        elif o == 0xF2 or o == 0xF3:
            rep = o - 0xF0
        elif o == 0x26 or o == 0x2E or o == 0x36 or o == 0x3E:
            segment = o >> 3 & 3
        elif o == 0x64 or o == 0x65:
            segment = o - 0x60
        else:
            break
    m = 0
    if o == 0x0F:
        if p >= n:
            return MORE
        m, o = 1, num(code[p])
        p += 1
        if o == 0x38 or o == 0x3A:
            if p >= n:
                return MORE
            m, o = 2 if o == 0x38 else 3, num(code[p])
            p += 1
    modrm = num(code[p]) if p < n else 0
    mod, reg, rm = modrm >> 6, modrm >> 3 & 7, modrm & 7
    row = num(look[m, rep if rep else prefix, o, reg, 1 if mod != 3 else 0])
    x87 = m == 0 and o >> 3 == 0x1B
    if x87 and mod == 3:
        row = num(look[X87, 0, (o & 7) << 3 | reg, rm, 0])
    if row < 0:
        return MORE if p >= n and p < 15 else UNDEFINED
    r = rows[row]
    wi = 0 if r[WIDTH] == BYTE else 1 if r[WIDTH] == WORD else 2 if r[WIDTH] == DWORD else 1 + operand32
    for i in range(FIELDS):
        d[i] = 0
    d[ROW], d[WI], d[EA], d[AW], d[REP], d[OPCODE], d[STACKED] = row, wi, -1, address32, rep, o, stack_big
    d[CC] = o & 15 if r[HAS_CC] else r[LOOP] - 1 if r[LOOP] else 0
    d[SEG] = segment if segment >= 0 else S.DS
    if x87:
        d[IMM] = (o & 7) << 8 | modrm                                      # as FOP has it
    memory = False
    if r[MODRM]:
        if p >= n:
            return MORE
        p += 1
        if mod == 3 and r[RMS] >> rm & 1 == 0:
            return UNDEFINED
        memory = mod != 3 and r[NO_MOD] == 0                              # MOV CRn, DRn take mod for 3
        if memory:
            base, index, scale, size, stack_based = rm, S.ZERO, -1, 0, False
            if address32:
                if rm == 4:
                    sib = num(code[p])
                    p += 1
                    base, index, scale = sib & 7, sib >> 3 & 7, sib >> 6
                    if index == 4:
                        index, scale = S.ZERO, -1
                stack_based = base == 4 or (base == 5 and mod != 0)
                if base == 5 and mod == 0:
                    base, size = S.ZERO, 4
                elif mod:
                    size = 1 if mod == 1 else 4
            else:
                base = S.EBX if rm < 2 or rm == 7 else S.EBP if rm < 4 or rm == 6 else S.ESI if rm == 4 else S.EDI
                if rm < 4:
                    index, scale = (S.EDI if rm & 1 else S.ESI), 0
                stack_based = base == S.EBP
                if rm == 6 and mod == 0:
                    base, size, stack_based = S.ZERO, 2, False
                elif mod:
                    size = mod
            if size:
                d[DISP] = word(code, p, size, True)
                p += size
            if stack_based and segment < 0:
                d[SEG] = S.SS
            d[EA], d[EBASE], d[EINDEX] = scale + 1, base, index
    if r[AT_EDI]:
        d[EA], d[EBASE], d[EINDEX] = 0, S.EDI, S.ZERO
    d[MEM] = 1 if memory or r[AT_EDI] else 0
    for which in range(2):
        source = r[DST] if which == 0 else r[SRC]
        byte = wi == 0 or (which == 1 and r[SRC8] == 1)
        k, x = NONE, 0
        if source == 1 and memory:
            k = MEMORY
        elif source == 5:
            k = IMMEDIATE
        elif source == 7:
            k = COUNT
        elif source == 8:
            k = MEMORY
        elif source == 9:
            k, x = REG, S.SELECTORS + reg
            if reg > S.GS:
                return UNDEFINED
        elif source == 10:
            k, x = REG, r[SRC_WORD]
        elif source == 11:
            k, x = LOW if byte else REG, S.TMP
        elif 1 <= source <= 4:
            x = rm if source == 1 else reg if source == 2 else o & 7 if source == 3 else 0
            k = REG
            file = r[DST_FILE] if which == 0 else r[SRC_FILE]
            if file:
                k, x = VECTOR, file + 2 * x
            elif byte:
                k, x = LOW + (x >> 2), x & 3
        if which == 0:
            d[DK], d[RA] = k, x
        else:
            d[SK], d[RB] = k, x
    if r[KERNEL] and r[STRING] == 0:                                       # kernels get the plain numbers
        d[RA], d[RB] = reg, -1 if memory else rm
        if r[SRC_WORD]:
            d[IMM] = r[SRC_WORD] - S.SELECTORS                             # LES...: which segment
            if not r[MODRM]:
                d[RA] = d[IMM]                                             # POP ES...
    for which in range(2):
        kind, v = r[IMM_KIND] if which == 0 else r[IMM2_KIND], 0
        if kind == 0:
            break
        if kind == 1 or kind == 2:
            v = word(code, p, 1, kind == 2)
            p += 1
        elif kind == 3 or kind == 7:
            v = word(code, p, 2 if wi == 1 else 4, kind == 3)
            p += 2 if wi == 1 else 4
            if kind == 7:
                d[IMM2] = word(code, p, 2, False)
                p += 2
        elif kind == 4:
            v = 1
        elif kind == 5:
            v = word(code, p, 2, False)
            p += 2
        elif kind == 6:                                                    # an offset: an address without a base
            size = 4 if address32 else 2
            d[EA], d[EBASE], d[EINDEX], d[DISP], d[MEM] = 0, S.ZERO, S.ZERO, word(code, p, size, True), 1
            p += size
            break
        if which == 0:
            d[IMM] = v
        else:
            d[IMM2] = v
    if r[SELECT]:
        d[IMM] &= r[SELECT]
    if p > 15:
        return TOO_LONG
    if p > n:
        return MORE
    d[LEN] = p
    if lock and not (r[LOCK] and d[MEM]):
        return UNDEFINED
    return OK


@kernel
def size_of(d, r):
    """Bytes that the memory operand of a row takes."""
    if r[SIZE] and (d[SK] == MEMORY or r[WIDE] or r[FPU]):
        return r[SIZE]
    return 1 << d[WI]


@kernel
def handler_of(sid, d, r, flags, cc):
    """The number of the handler for a decoded instruction, or -1."""
    if r[WIDE]:
        return sid[r[SID_AT] + 8 * d[DK] + d[SK]]
    second = d[STACKED] if r[STACK] else d[AW] if r[LOOP] else 0
    at = ((((d[WI] * 7 + d[DK]) * 7 + d[SK]) * 5 + flags) * 2 + second) * r[SID_CC] + cc
    return sid[r[SID_AT] + at]

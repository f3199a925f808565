"""Blocks: decode, drop dead flags, choose handlers, paste them.   Compiled with the dispatcher; no Python involved.

    guest instructions -> d[]  (decode)  -> plan[]  (which handlers, with which operands)  -> records, and machine code

A block is known by physical address, EIP and mode.  It ends with its page; an instruction that lies across two pages is a
block of its own, which is never linked to, because what its second page shows can change.

    arena    |hot: pasted handlers, block after block ->          |cold: the far stubs of their exits ->          |
"""
from numba.extending import register_jitable as kernel

from . import decode as D
from . import state as S
from .access import bits_between
from .code import ARENA, BLOCKS, BUCKETS, COLD_AT, LONGEST_BLOCK, PLAN, RECORDS
from .debug import may_break
from .emit import (
    ASKS_FLAGS,
    FIXED_T,
    FIXED_U,
    INDEX_HOST,
    LEAVES_SOME,
    OPERANDS,
    OWN_SHIFT,
    PUTS_OFF,
    RA_TO_T,
    RA_TO_U,
    RB_IN_X,
    RB_TO_U,
    SETS_FLAGS,
    T_HOST,
    T_TO_RA,
    U_HOST,
    U_TO_RA,
    U_TO_RB,
    USES_T,
    WRITES_SHIFT,
)
from .exceptions import GP, UD, fault
from .fetch import fetch, fetch_page
from .forms import SPECIAL_NAMES
from .isa.opcodes import KERNELS, OPCODES
from .kernels import PUSHF
from .live_flags import live_flags
from .paste import E_GONE, FIRST_EXIT, jump_at, paste, stub
from .raw import num, peek, poke
from .records import RECORD, SEGMENT_STRIDE

# numbers of special handlers, and of exits
HEAD, GOTO, HOP, TO_PYTHON, KERNEL = (SPECIAL_NAMES.index(n) for n in ("head", "goto", "hop", "python", "kernel"))
EA16, EA32 = SPECIAL_NAMES.index("ea16_None"), SPECIAL_NAMES.index("ea32_None")
EA32_OF_NOTHING = SPECIAL_NAMES.index("ea32_None_of_nothing")
LAST_EA = SPECIAL_NAMES.index("align_ea32_3")
T_FROM, U_FROM, T_TO, U_TO = (SPECIAL_NAMES.index(n) for n in ("t_from_0", "u_from_0", "t_to_0", "u_to_0"))
ALIGN_EA16, ALIGN_EA32 = SPECIAL_NAMES.index("align_ea16_None"), SPECIAL_NAMES.index("align_ea32_None")
SEGMENT_EA16, SEGMENT_EA32 = SPECIAL_NAMES.index("segment_ea16_None"), SPECIAL_NAMES.index("segment_ea32_None")
LOAD_TMP, ADVANCE = SPECIAL_NAMES.index("load_tmp8"), SPECIAL_NAMES.index("advance16_si")      # by width; by what D.STRING says of a row, then 32
POP_TO_MEMORY = SPECIAL_NAMES.index("pop_to_memory16_16")                 # then 16_32, 32_16, 32_32
REG0, TMP_WORD, RECORD_SIZE = S.offset("reg"), S.TMP, RECORD.itemsize
TLB, HALF = S.offset("tlb"), S.TLB_SIZE * S.TLB.itemsize
BASE0, READ0, WRITE0 = (S.offset("segment", f) for f in ("base", "read", "write"))

XCHG_BYTES, = (i for i, r in enumerate(OPCODES) if r.encoding == "86 /r")
XCHG_EAX, = (i for i, r in enumerate(OPCODES) if r.encoding == "90+r")
POP_EV, = (i for i, r in enumerate(OPCODES) if r.encoding == "8F /0")
MOV_SEGMENT_R, MOV_SEGMENT_M = SPECIAL_NAMES.index("mov_segment_r"), SPECIAL_NAMES.index("mov_segment_m")
POP_SEGMENT = SPECIAL_NAMES.index("pop_segment16_16")                     # then 16_32, 32_16, 32_32
SWAP_HALVES = SPECIAL_NAMES.index("swap_halves")
SETTLE, SETTLE_CARRY, FORGET = (SPECIAL_NAMES.index(n) for n in ("settle", "settle_carry", "forget"))
LOAD_FAR, CLI, STI = (SPECIAL_NAMES.index(n) for n in ("load_far_pointer", "cli", "sti"))
BIT_STRING = SPECIAL_NAMES.index("bit_string16_16")                       # then 16_32, 32_16, 32_32
MOV_SEGMENT_KERNEL, POP_SEGMENT_KERNEL, LOAD_FAR_KERNEL, CLI_KERNEL, STI_KERNEL = (
    KERNELS.index(n) + 1 for n in ("mov_segment", "pop_segment", "load_far_pointer", "cli", "sti"))
SOME, ALL = 1, 2                                         # put off
PUSHF_ROW, = (i for i, r in enumerate(OPCODES) if r.name == "pushf")


# THE PLAN

@kernel
def put(t, k, sid, d, left, imm, ra, rb, target):
    """One more handler; in native code with its temporaries renamed to the registers they stand for, or with what moves those.
    Answers how many there are."""
    moves = t.moves[sid]
    if moves & OPERANDS == 0:
        return put_one(t, k, sid, d, left, imm, ra, rb, target)
    if d[D.ROW] == XCHG_BYTES and ra == rb and d[D.DK] != D.MEMORY and d[D.DK] != d[D.SK]:
        sid = t.special[SWAP_HALVES]                    # XCHG AL, AH
        moves = t.moves[sid]
    stores_a, stores_b = moves & (T_TO_RA | U_TO_RA), moves & U_TO_RB
    if (stores_a and stores_b and ra == rb and d[D.WI] == 0) or (
            (stores_a and ra < 8 and moves >> WRITES_SHIFT + ra & 1) or (stores_b and rb < 8 and moves >> WRITES_SHIFT + rb & 1)):
        return put_one(t, k, t.special[TO_PYTHON], d, left, 0, 0, 0, 0)    # XADD AL, AH; POP ESP: two halves of one, for the plain reader
    both = moves & RB_TO_U and ra == rb                 # one register for two: only one of them may be written, and not through both names
    in_t = moves & USES_T != 0
    names = 0
    if moves & (RA_TO_T | RA_TO_U | T_TO_RA | U_TO_RA) and ra < 8 and not (both and stores_b):
        if moves & (FIXED_T if in_t else FIXED_U) == 0 and moves >> OWN_SHIFT + ra & 1 == 0:
            names = t.host[ra] ^ T_HOST if in_t else (t.host[ra] ^ U_HOST) << 4
            moves &= ~(RA_TO_T | RA_TO_U | T_TO_RA | U_TO_RA)
    if moves & (RB_TO_U | U_TO_RB) and rb < 8 and not (both and (stores_a or stores_b)):
        if moves & FIXED_U == 0 and moves >> OWN_SHIFT + rb & 1 == 0:
            names |= (t.host[rb] ^ U_HOST) << 4
            moves &= ~(RB_TO_U | U_TO_RB)
    if moves & RB_IN_X:
        names |= (t.host[rb] ^ INDEX_HOST) << 8
    if moves & RA_TO_T:
        k = put_move(t, k, T_FROM, d, left, ra)
    if moves & RA_TO_U:
        k = put_move(t, k, U_FROM, d, left, ra)
    if moves & RB_TO_U:
        k = put_move(t, k, U_FROM, d, left, rb)
    k = put_one(t, k, sid, d, left, imm, ra, rb, target)
    t.plan[k - 1].names = names
    if moves & U_TO_RB:                                 # first: of XADD EAX, EAX the sum stays
        k = put_move(t, k, U_TO, d, left, rb)
    if moves & T_TO_RA:
        k = put_move(t, k, T_TO, d, left, ra)
    if moves & U_TO_RA:
        k = put_move(t, k, U_TO, d, left, ra)
    return k


@kernel
def put_move(t, k, which, d, left, register):
    return put_one(t, k, t.special[which + min(register, 8)], d, left, 0, register, 0, 0)


@kernel
def main_of(t, k):
    """The handler put last, before the moves behind it."""
    while t.special[T_TO] <= t.plan[k - 1].sid <= t.special[U_TO + 8]:
        k -= 1
    return k - 1


@kernel
def put_one(t, k, sid, d, left, imm, ra, rb, target):
    q = t.plan[k]
    q.sid, q.imm, q.ra, q.rb, q.eip, q.left, q.target = sid, imm, ra, rb, d[D.EIP], left, target
    q.base = q.window = q.last = q.what = q.next = q.immediate2 = q.local = q.names = 0
    q.row = d[D.ROW]
    return k + 1


@kernel
def is_flat(mode, s):
    return ((s == S.DS and mode & S.FLAT_DS != 0) or (s == S.SS and mode & S.FLAT_SS != 0) or (s == S.ES and mode & S.FLAT_ES != 0))


@kernel
def put_address(t, k, mode, d, left, s, wide, scale, base, index, disp, size, write, linear):
    """The handler that computes an address: linear, checked against its segment, or a bare offset."""
    if not linear or (is_flat(mode, s) and mode & S.ALIGN == 0):
        first = EA16 if not wide else EA32_OF_NOTHING if base == S.ZERO else EA32
        k = put(t, k, t.special[first + scale], d, left, disp, base, index, 0)
        t.plan[k - 1].base = BASE0 + s * SEGMENT_STRIDE                    # whose it is, should the access wrap at 4 GiB
        return k
    if mode & S.ALIGN:
        first = ALIGN_EA32 if wide else ALIGN_EA16
    else:
        first = SEGMENT_EA32 if wide else SEGMENT_EA16
    k = put(t, k, t.special[first + scale], d, left, disp, base, index, 0)
    q = t.plan[k - 1]
    q.base = BASE0 + s * SEGMENT_STRIDE
    q.window = (WRITE0 if write else READ0) + s * SEGMENT_STRIDE
    q.last = size - 1
    return k


@kernel
def put_stack(t, k, mode, d, left, r):
    """The address of the new top of the stack, of the old one, or of the frame."""
    wide, size = 1 if mode & S.B32 else 0, 2 if d[D.WI] == 1 else 4
    base = S.EBP if r[D.STACK] == D.FRAME else S.ESP
    down = r[D.STACK] == D.DOWN
    return put_address(t, k, mode, d, left, S.SS, wide, 0, base, S.ZERO, -size if down else 0, size, down, True)


@kernel
def pack(d, number, of):
    """What a kernel is to know, in a word that is not 0."""
    return number | d[D.WI] << 8 | d[D.AW] << 10 | d[D.REP] << 11 | (of & 15) << 13 | d[D.OPCODE] << 17


@kernel
def plan_kernel(t, k, cpu, d, r, left):
    """An instruction that the dispatcher does: its operands go into the record as they are."""
    if d[D.EA] >= 0:
        k = put_address(t, k, 0, d, left, 0, d[D.AW], d[D.EA], d[D.EBASE], d[D.EINDEX], d[D.DISP], 1, False, False)
    k = put(t, k, t.special[KERNEL], d, left, d[D.IMM], d[D.RA], d[D.RB], 0)
    q = t.plan[k - 1]
    number = PUSHF if d[D.ROW] == PUSHF_ROW else r[D.KERNEL] - 1
    of = d[D.SEG] if d[D.MEM] or r[D.MODRM] == 0 else -1
    q.what = pack(d, number, of)
    q.immediate2 = d[D.IMM2]
    q.next = (d[D.EIP] + d[D.LEN]) & 0xFFFFFFFF
    q.ra, q.rb = d[D.RA], d[D.RB]
    return k


@kernel
def is_simple(d, r, mode, last):
    """Instructions with kernels that have handlers here: x87 without unmasked exceptions; MOVS, STOS, LODS and SCAS without REP; CLI and STI;
    outside protected mode loads of segment registers.  Interrupts wait for the instruction after STI and a load of SS: within a block they
    do, and what is the last of its block is done by the kernel."""
    if r[D.FPU]:
        return mode & S.FPU != 0
    k = r[D.KERNEL]
    if r[D.STRING] or k == CLI_KERNEL:
        return d[D.REP] == 0 or k == CLI_KERNEL
    if k == STI_KERNEL:
        return not last and mode & S.BREAKS == 0
    if mode & S.UNPROTECTED == 0 or mode & S.ALIGN:
        return False
    if k == MOV_SEGMENT_KERNEL or k == POP_SEGMENT_KERNEL:
        return d[D.RA] == S.ES or S.DS <= d[D.RA] <= S.GS or (d[D.RA] == S.SS and not last)
    return k == LOAD_FAR_KERNEL and d[D.WI] == 1 and d[D.IMM] != S.SS


@kernel
def plan_x87(t, k, mode, d, r, left):
    """A handler that can still become a kernel, of which the record knows what it would ask: the address is then a linear one.
    `window` is its EIP, for FIP."""
    if d[D.EA] >= 0:
        k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], d[D.EA], d[D.EBASE], d[D.EINDEX], d[D.DISP], r[D.SIZE], r[D.FPU] == 2, True)
    k = put(t, k, D.handler_of(t.sid, d, r, 1 if mode & S.FPU_DOUBLE else 0, 0), d, left, d[D.IMM], 0, REG0 + 8 * (S.SELECTORS + d[D.SEG]), 0)
    q = t.plan[k - 1]
    q.base, q.window = BASE0 + d[D.SEG] * SEGMENT_STRIDE, d[D.EIP]
    q.what, q.immediate2 = pack(d, r[D.KERNEL] - 1, d[D.SEG]), 1
    q.next = (d[D.EIP] + d[D.LEN]) & 0xFFFFFFFF
    return k


@kernel
def plan_string(t, k, mode, d, r, left):
    """The first operand to TMP if there are two in memory, a MOV or a CMP, and the indices: what can fault comes before what changes."""
    size, where = 1 << d[D.WI], r[D.STRING]
    if where & D.AT_SI:
        k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], 0, S.ESI, S.ZERO, 0, size, False, True)
    if where == D.AT_SI | D.AT_DI:
        k = put(t, k, t.special[LOAD_TMP + d[D.WI]], d, left, 0, 0, 0, 0)
    if where & D.AT_DI:
        writes = d[D.DK] == D.MEMORY and r[D.KEEP] != 0
        k = put_address(t, k, mode, d, left, S.ES, d[D.AW], 0, S.EDI, S.ZERO, 0, size, writes, True)
    k = put(t, k, D.handler_of(t.sid, d, r, d[D.FL], 0), d, left, 0, d[D.RA], d[D.RB], 0)
    return put(t, k, t.special[ADVANCE + 3 * d[D.AW] + where - 1], d, left, size, 0, 0, 0)


@kernel
def plan_simple(t, k, mode, d, r, left):
    if r[D.FPU]:
        return plan_x87(t, k, mode, d, r, left)
    kernel, segment, other = r[D.KERNEL], d[D.RA], max(d[D.RB], 0)
    if r[D.STRING]:
        return plan_string(t, k, mode, d, r, left)
    if kernel == CLI_KERNEL or kernel == STI_KERNEL:
        k = put(t, k, t.special[CLI if kernel == CLI_KERNEL else STI], d, left, 0, 0, 0, 0)
        q = t.plan[k - 1]
        q.what, q.next = pack(d, kernel - 1, d[D.SEG]), (d[D.EIP] + d[D.LEN]) & 0xFFFFFFFF
        return k
    if kernel == POP_SEGMENT_KERNEL:
        wide, size = 1 if mode & S.B32 else 0, 2 if d[D.WI] == 1 else 4
        k = put_address(t, k, mode, d, left, S.SS, wide, 0, S.ESP, S.ZERO, 0, size, False, True)
        sid = t.special[POP_SEGMENT + (2 if d[D.WI] == 2 else 0) + wide]
    elif d[D.MEM]:
        far = kernel == LOAD_FAR_KERNEL
        size = 4 if far else 2
        k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], d[D.EA], d[D.EBASE], d[D.EINDEX], d[D.DISP], size, False, True)
        sid = t.special[LOAD_FAR] if far else t.special[MOV_SEGMENT_M]
        if far:
            segment, other = d[D.IMM], d[D.RA]
    else:
        sid = t.special[MOV_SEGMENT_R]
    k = put(t, k, sid, d, left, 0, S.SELECTORS + segment, other, 0)
    t.plan[main_of(t, k)].base = BASE0 + segment * SEGMENT_STRIDE
    return k


@kernel
def may_link(cpu, d, target):
    """Whether a direct jump may be tied to its target: always without paging, else within the page."""
    return cpu.cr0 & S.PG == 0 or (cpu.segment[S.CS].base + d[D.EIP] ^ cpu.segment[S.CS].base + target) >> 12 == 0


@kernel
def translate(cpu, t, eip, physical, cap, keep):
    """A block of at most `cap` instructions at CS:eip.  Answers its first record; raises what the first instruction raises.
    Kept blocks can be found again."""
    mode, n, p = cpu.mode, 0, eip
    room = 4096 - (physical & 4095)
    second, used = -1, 0
    while n < cap and n < LONGEST_BLOCK and used < room:
        d = t.d[n]
        limit_left = cpu.segment[S.CS].limit - p + 1
        if n > 0 and (limit_left <= 0 or (mode & S.BREAKS and may_break(cpu, p))):
            break
        got = fetch(cpu, p, t.source, False)
        answer = D.decode(t.source, got, 1 if mode & S.D32 else 0, 1 if mode & S.B32 else 0, t.look, t.rows, d)
        if answer == D.MORE:
            if n > 0:
                break                                   # across the page: a block of its own
            got = fetch(cpu, p, t.source, True)
            answer = D.decode(t.source, got, 1 if mode & S.D32 else 0, 1 if mode & S.B32 else 0, t.look, t.rows, d)
            second = fetch_page(cpu, (cpu.segment[S.CS].base + p + room) & 0xFFFFFFFF)
        if answer != D.OK:
            if n > 0:
                break
            fault(cpu, GP if answer == D.TOO_LONG or answer == D.MORE else UD, 0)
        d[D.EIP] = p
        p += d[D.LEN]
        used += d[D.LEN]
        n += 1
        r = t.rows[d[D.ROW]]
        if (r[D.ENDS] and not is_simple(d, r, mode, n == cap)) or (d[D.ROW] == PUSHF_ROW and mode & S.V86):
            break
    p &= 0xFFFFFFFF
    live_flags(t, n, mode)
    k = plan_block(cpu, t, n, eip, p)
    first = install(t, k)
    t.translated += n
    watch(cpu, t, physical, min(used, room))
    if second >= 0:
        watch(cpu, t, second << 12, used - room)
    if keep:
        register(t, physical, eip, mode, n, first, used, second)
    return first


@kernel
def plan_block(cpu, t, n, eip, after_last):
    mode = cpu.mode
    t.tlb_base = TLB + (mode >> S.WHO_SHIFT & 3) * HALF
    k = put(t, 0, t.special[HEAD], t.d[0], n + 1, n, 0, 0, 0)
    i, ended = 0, False
    open_, begun = ALL, k                               # what flags may have been put off; where an instruction begins
    while i < n:
        open_, k = settled(t, begun, k, open_, i - 1)
        begun = k
        d = t.d[i]
        r = t.rows[d[D.ROW]]
        left, after = n - i, (d[D.EIP] + d[D.LEN]) & 0xFFFFFFFF
        e = r[D.ENDS]
        size = D.size_of(d, r)
        if is_simple(d, r, mode, i + 1 == n):
            k = plan_simple(t, k, mode, d, r, left)
            i += 1
            continue
        if e == D.KERNEL_END or (d[D.ROW] == PUSHF_ROW and mode & S.V86):
            k = plan_kernel(t, k, cpu, d, r, left)
            ended = True
            break
        if d[D.ROW] == XCHG_EAX and d[D.RA] == d[D.RB]:                    # NOP
            i += 1
            continue
        if r[D.UNIT] & ~mode:                          # the plain reader raises #UD, #NM or #MF
            k = put(t, k, t.special[TO_PYTHON], d, left, 0, 0, 0, 0)
            ended = True
            break
        if d[D.EA] >= 0:
            if r[D.STACK] == D.UP and d[D.ROW] == POP_EV:
                k = put_stack(t, k, mode, d, left, r)
                k = put(t, k, t.special[LOAD_TMP + d[D.WI]], d, left, 0, 0, 0, 0)
                disp = d[D.DISP] + (size if d[D.EBASE] == S.ESP else 0)    # "computed after ESP is incremented"
                k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], d[D.EA], d[D.EBASE], d[D.EINDEX], disp, size, True, True)
                which = POP_TO_MEMORY + (2 if d[D.WI] == 2 else 0) + (1 if mode & S.B32 else 0)
                k = put(t, k, t.special[which], d, left, 0, 0, 0, 0)
                i += 1
                continue
            write = (d[D.DK] == D.MEMORY and r[D.KEEP] != 0) or r[D.STORES] != 0
            k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], d[D.EA], d[D.EBASE], d[D.EINDEX], d[D.DISP], size, write,
                            r[D.NO_ACCESS] == 0 and r[D.BIT_STRING] == 0)
            if r[D.BIT_STRING]:                         # by way of TMP too
                k = put(t, k, t.special[BIT_STRING + (2 if d[D.WI] == 2 else 0) + d[D.AW]], d, left, 0, 0, d[D.RB], 0)
                k = put_address(t, k, mode, d, left, d[D.SEG], d[D.AW], 0, S.TMP, S.ZERO, 0, size, write, True)
            if r[D.STACK]:                              # PUSH, CALL m: by way of TMP
                k = put(t, k, t.special[LOAD_TMP + d[D.WI]], d, left, 0, 0, 0, 0)
                d[D.SK], d[D.RB] = D.REG, TMP_WORD
        if r[D.STACK]:
            k = put_stack(t, k, mode, d, left, r)
        target = (after + d[D.IMM]) & 0xFFFFFFFF
        if d[D.WI] == 1:
            target &= 0xFFFF
        if r[D.FUSE] and i + 1 < n and t.rows[t.d[i + 1, D.ROW]][D.ENDS] == D.BRANCH and t.rows[t.d[i + 1, D.ROW]][D.HAS_CC]:
            j = t.d[i + 1]
            s = t.fused[d[D.ROW], d[D.WI], d[D.DK], d[D.SK], 1, j[D.CC]]
            after = (j[D.EIP] + j[D.LEN]) & 0xFFFFFFFF
            target = (after + j[D.IMM]) & (0xFFFF if j[D.WI] == 1 else 0xFFFFFFFF)
            if s >= 0 and target <= cpu.segment[S.CS].limit:
                k = put(t, k, s, d, left, d[D.IMM], d[D.RA], d[D.RB], target)
                k = put_ends(cpu, t, k, j, after, target)
                ended = True
                break
            target = (d[D.EIP] + d[D.LEN] + d[D.IMM]) & 0xFFFFFFFF
            after = (d[D.EIP] + d[D.LEN]) & 0xFFFFFFFF
        cc = d[D.CC]
        if e == D.INDIRECT:
            limit = cpu.segment[S.CS].limit
            cc = 0 if limit == S.FLAT_LIMIT or (limit == 0xFFFF and d[D.WI] == 1) else 1
        s = D.handler_of(t.sid, d, r, d[D.FL], cc)
        if s < 0:                                       # that cannot be put off, or is always done
            s = D.handler_of(t.sid, d, r, 1, cc)
        if s < 0:                                       # no such handler: the plain reader does it
            k = put(t, k, t.special[TO_PYTHON], d, left, 0, 0, 0, 0)
            ended = True
            break
        if (e == D.JUMP or e == D.BRANCH) and target > cpu.segment[S.CS].limit:
            k = put(t, k, t.special[TO_PYTHON], d, left, 0, 0, 0, 0)       # the plain reader raises #GP at the right moment
            ended = True
        elif e == D.JUMP or e == D.BRANCH or e == D.INDIRECT:
            imm = d[D.IMM] if e == D.INDIRECT and r[D.IMM_KIND] else after
            k = put(t, k, s, d, left, imm, d[D.RA], d[D.RB], target)
            if e != D.INDIRECT:
                k = put_ends(cpu, t, k, d, after if e == D.BRANCH else -1, target)
            ended = True
        else:
            k = put(t, k, s, d, left, d[D.IMM], d[D.RA], d[D.RB], target)
            if r[D.WIDE]:                               # XMM registers by their numbers
                q = t.plan[main_of(t, k)]
                q.last, q.window = (d[D.RA] - S.XMM) >> 1 & 7, (d[D.RB] - S.XMM) >> 1 & 7
        i += 1
    open_, k = settled(t, begun, k, open_, min(i, n - 1))
    if not ended:
        k = put(t, k, t.special[GOTO], t.d[n - 1], 0, 0, 0, 0, after_last)
        k = put_ends(cpu, t, k, t.d[n - 1], -1, after_last)
    return k


@kernel
def settled(t, begun, k, open_, i):
    """Before an instruction that asks for flags, those put off are made up for; behind one that sets them, forgotten.
    Answers what may be put off behind it, and how many handlers there are: ALL of them, or SOME, those that nobody asks for (live_flags.py).
    `open_`: the same, before it.  i: the instruction's number."""
    what = 0
    for j in range(begun, k):
        what |= t.moves[t.plan[j].sid]
    if what & ASKS_FLAGS and open_ == ALL:
        for j in range(k, begun, -1):
            t.plan[j] = t.plan[j - 1]
            if t.plan[j].local:
                t.plan[j].local += 1
        d = t.d[i]
        r = t.rows[d[D.ROW]]
        carry_only = r[D.USES] == 1 and d[D.MEM] == 0 and r[D.FAULTS] == 0
        q = t.plan[begun]
        left, eip, row = q.left, q.eip, q.row
        put_one(t, begun, t.special[SETTLE_CARRY if carry_only else SETTLE], t.d[0], left, 0, 0, 0, 0)
        q.eip, q.row = eip, row
        open_, k = 0, k + 1
    if what & PUTS_OFF:
        return SOME if what & LEAVES_SOME else ALL, k
    if what & SETS_FLAGS and open_:                     # behind it, for it may fault
        return 0, put_one(t, k, t.special[FORGET], t.d[0], 0, 0, 0, 0, 0)
    return open_, k


@kernel
def put_ends(cpu, t, k, d, after, target):
    """What follows a jump: the way on if it is not taken (`after`), and the hop for a target that may not be linked."""
    jump = k - 1
    fall = -1
    if after >= 0:
        fall = k
        k = put(t, k, t.special[GOTO], d, 0, 0, 0, 0, after)
    if not may_link(cpu, d, target):
        t.plan[jump].local = k
        k = put(t, k, t.special[HOP], d, 0, target, 0, 0, target)
    if fall >= 0 and not may_link(cpu, d, after):
        t.plan[fall].local = k
        k = put(t, k, t.special[HOP], d, 0, after, 0, 0, after)
    return k


@kernel
def hop_to(t, eip):
    """A record that jumps to `eip` by way of the recent targets: for links to what may not be linked to."""
    return install(t, put(t, 0, t.special[HOP], t.d[0], 0, eip, 0, 0, eip))


@kernel
def install(t, k):
    """The plan as records, and as machine code.  Answers the first record."""
    first, hot = t.nrec, t.hot
    for j in range(k):
        q, r = t.plan[j], t.records[first + j]
        r.handler, r.link, r.code = t.handler[q.sid], 0, hot
        word = q.what == 0                              # kernels take register numbers, handlers take places in the state
        r.ra, r.rb = (REG0 + 8 * q.ra, REG0 + 8 * q.rb) if word else (q.ra, q.rb)
        r.imm, r.base, r.window, r.last = q.imm, q.base, q.window, q.last
        r.eip, r.target, r.next, r.immediate2 = q.eip, q.target, q.next, q.immediate2
        r.left, r.sid, r.row, r.what, r.twin, r.local = q.left, q.sid, q.row, q.what, 0, q.local
        if t.native:
            hot = paste(t, q.sid, first + j, hot, q.names)
    for j in range(k):
        r = t.records[first + j]
        if r.local:
            to = first + r.local
            if t.native:
                if r.link:                              # else LLVM has seen that it is never taken: TEST with JB
                    poke(t.arena + r.link, 4, t.records[to].code - (r.link + 4))
            else:
                r.link = t.records_at + to * RECORD_SIZE
    t.nrec, t.hot = first + k, hot
    return first


# FINDING AND DROPPING

@kernel
def bucket(physical, eip, mode):
    return ((physical * 0x9E3779B1) ^ (eip * 0x85EBCA6B) ^ (mode * 0xC2B2AE35)) >> 7 & (BUCKETS - 1)


@kernel
def find(t, physical, eip, mode):
    """The living block of this key, or 0.  Tombstones on the way are taken out: a program that goes on changing its code leaves many."""
    h = bucket(physical, eip, mode)
    b, before = num(t.buckets[h]), 0
    while b:
        k = t.blocks[b]
        if k.alive:
            if k.physical == physical and k.eip == eip and k.mode == mode:
                return b
            before = b
        elif before:
            t.blocks[before].chain = k.chain
        else:
            t.buckets[h] = k.chain
        b = num(k.chain)
    return 0


@kernel
def register(t, physical, eip, mode, n, first, size, second):
    b = t.nblock
    t.nblock = b + 1
    k = t.blocks[b]
    k.physical, k.eip, k.mode, k.n, k.rec, k.size, k.second = physical, eip, mode, n, first, size, second
    k.code, k.alive, k.of = t.records[first].code, 1, 0
    h = bucket(physical, eip, mode)
    k.chain = t.buckets[h]
    t.buckets[h] = b
    k.next = t.page_first[physical >> 12]
    t.page_first[physical >> 12] = b
    if second >= 0:                                     # and one that the second page knows it by
        a = t.nblock
        t.nblock = a + 1
        other = t.blocks[a]
        other.physical, other.size, other.of, other.alive, other.second = second << 12, size - (4096 - (physical & 4095)), b, 1, -1
        other.next = t.page_first[second]
        t.page_first[second] = a


@kernel
def set_bits_of_code(cpu, physical, size):
    first, last = physical, min(physical + size - 1, physical | 4095)
    for word in range(first >> 6, (last >> 6) + 1):
        at = cpu.code_bits + 8 * word
        poke(at, 8, peek(at, 8) | bits_between(max(first - 64 * word, 0), min(last - 64 * word, 63)))


@kernel
def clear_bits_of_code(cpu, page):
    for word in range(S.CODE_WORDS):
        poke(cpu.code_bits + 8 * (page * S.CODE_WORDS + word), 8, 0)


@kernel
def watch(cpu, t, physical, size):
    """Code was translated from here: writes to the page must be looked at from now on."""
    page = physical >> 12
    poke(cpu.page_flags + page, 1, peek(cpu.page_flags + page, 1) | S.CODE)
    forget_writes(cpu, page)                            # also those to a stretch of the page in which there was no code yet
    set_bits_of_code(cpu, physical, size)


@kernel
def forget_writes(cpu, page):
    """No TLB entry may let writes to this physical page pass."""
    flags = peek(cpu.page_flags + page, 1)
    if flags & S.OPEN == 0:
        return                                          # none does
    poke(cpu.page_flags + page, 1, flags & ~S.OPEN)
    frame = peek(cpu.read_frame + 4 * page, 4)
    host = cpu.host + ((frame - 1) << 12)
    for i in range(3 * S.TLB_SIZE):
        entry = cpu.tlb[i]
        if entry.host + (entry.first & 0xFFFFF000) == host:
            entry.room = 0


@kernel
def drop(t, b):
    """A block becomes a tombstone, which sends whoever jumps there to the dispatcher."""
    if t.blocks[b].of:                                  # the other half of one across two pages
        t.blocks[b].alive = 0
        b = t.blocks[b].of
    k = t.blocks[b]
    if k.alive == 0:
        return
    k.alive = 0
    t.dropped += 1
    r = t.records[k.rec]
    r.handler = t.handler[t.special[FIRST_EXIT + E_GONE]]
    if t.native:
        jump_at(t, k.code, stub(t, k.rec, E_GONE))


@kernel
def drop_written(cpu, t, physical, size):
    """These bytes, on a line with code, were written: drop the blocks that cover one.  Those beside them stay: DOS keeps its
    data between its code."""
    page = physical >> 12
    b, keep = num(t.page_first[page]), 0
    clear_bits_of_code(cpu, page)
    while b:
        k = t.blocks[b]
        following = k.next
        if k.alive and (k.of == 0 or t.blocks[k.of].alive):
            if k.physical < physical + size and physical < k.physical + k.size:
                drop(t, b)
            else:
                set_bits_of_code(cpu, k.physical, k.size)
                k.next = keep
                keep = b
        b = following
    t.page_first[page] = keep
    if keep == 0:
        flags = peek(cpu.page_flags + page, 1)
        poke(cpu.page_flags + page, 1, flags & ~S.CODE)


@kernel
def full(t):
    """No room for the largest block, and the tombstone of each block there is."""
    return (t.nrec + PLAN > RECORDS or t.nblock + 2 >= BLOCKS or t.hot + t.margin > COLD_AT
            or t.cold + t.margin + 64 * BLOCKS > ARENA)


@kernel
def flush(cpu, t):
    """Forget all code."""
    t.flushes += 1
    for b in range(1, t.nblock):
        k = t.blocks[b]
        page = k.physical >> 12
        t.page_first[page] = 0
        if k.of == 0:
            t.buckets[bucket(k.physical, k.eip, k.mode)] = 0
        flags = peek(cpu.page_flags + page, 1)
        poke(cpu.page_flags + page, 1, flags & ~S.CODE)
        clear_bits_of_code(cpu, page)
    for i in range(S.JUMPS_SIZE):
        cpu.jumps[i].tag = -1
    t.nblock, t.nrec, t.hot, t.cold = 1, 1, t.hot0, COLD_AT

"""The loop around the code: find or make a block, enter it, do what it came back for.  No Python until it must.

Leaving a block gives back the ticks of what it has not done (`left`), so `end - budget` is the time at every exit.  An access
that the TLB does not cover is filled in and tried again in place; one that is no plain access (a device, across two pages, to
a page with code) is done by the *twin* of the instruction, a block of it alone, whose TLB entry leads to a bounce buffer.
"""
from numba.extending import register_jitable as kernel

from . import blocks as B
from . import decode as D
from . import records as R
from . import state as S
from .access import DEVICE, DONE, asks_python, device_read, device_write, fill, is_user
from .attend import attend
from .code import CODE, LONGEST_BLOCK
from .debug import breaks_here, may_break, note_access, trap_due
from .emit_x87 import WANTED
from .exceptions import AC, DIVIDE, GP, NEEDS_PYTHON, SS
from .fetch import fetch_page, is_global
from .isa import flags as F
from .kernels import ends_single_step
from .out_of_line import raise_exception, try_kernel
from .paging import translate
from .paste import jump_at
from .raw import enter, num, peek, poke, record_at
from .reasons import GO_ON, PYTHON_STEP, TRIPLE_FAULT
from .strings import AGAIN

BOUNCE, RECORD_SIZE = S.offset("bounce"), R.RECORD.itemsize
code_at = record_at(CODE)
FAULTED = -1
ASKS_PYTHON = -2                                        # as a record: Python must do the instruction
TWIN = -1                                               # `left` of a record in a twin, which gives back one tick
KEPT, APART, GUARDED, SCRATCH = range(4)
NO_CONTEXT = 1 << 62
SS_BASE = B.BASE0 + S.SS * R.SEGMENT_STRIDE


# WITH EXCEPTIONS TURNED INTO ANSWERS

@kernel
def try_find(cpu):
    """The physical address of CS:EIP, or FAULTED."""
    segment = cpu.segment[S.CS]
    if cpu.eip > segment.limit:
        cpu.vector, cpu.error = GP, 0
        return FAULTED
    linear = (segment.base + cpu.eip) & 0xFFFFFFFF
    try:
        page = fetch_page(cpu, linear)
    except Exception:
        return FAULTED
    return page << 12 | linear & 4095


@kernel
def try_translate(cpu, t, physical, cap, keep):
    try:
        rec = B.translate(cpu, t, cpu.eip, physical, cap, keep)
    except Exception:
        return FAULTED
    return rec


@kernel
def try_fill(cpu, linear, size, write, user):
    try:
        answer = fill(cpu, linear, size, write, user)
    except Exception:
        return FAULTED
    return answer


@kernel
def try_physical(cpu, linear, write, user):
    try:
        physical = translate(cpu, linear, write, user)
    except Exception:
        return FAULTED
    return physical


# CONTEXTS: recent targets are known by EIP and by what EIP means

@kernel
def find_context(cpu):
    """`context` for jumps under this CS base, mode, privilege and address space."""
    cpu.moved = 0
    base, mode = cpu.segment[S.CS].base, cpu.mode
    entry = cpu.known_contexts[(base >> 4 ^ base >> 12 ^ mode ^ mode >> 8 ^ mode >> 16) & (S.CONTEXTS - 1)]
    if entry.base != base or entry.mode != mode or entry.id >> 32 != cpu.era & 0x7FFFFFFF:
        cpu.contexts = cpu.contexts + 1 & 0x7FFFFFFF
        entry.base, entry.mode, entry.id = base, mode, (cpu.era & 0x7FFFFFFF) << 32 | cpu.contexts
        if cpu.contexts == 0:                           # used up: old tags could be taken for new ones
            for i in range(S.JUMPS_SIZE):
                cpu.jumps[i].tag = -1
    cpu.context = (entry.id & 0x7FFFFFFF) << 32
    cpu.tlb_at = (mode >> S.WHO_SHIFT & 3) * B.HALF


@kernel
def drop_stale(cpu, t):
    """Kernels, the page walk or Python have written where code was translated from."""
    if cpu.stales == S.STALE:
        B.flush(cpu, t)
    else:
        for i in range(cpu.stales):
            B.drop_written(cpu, t, cpu.stale[i] & 0xFFFFFFFF, cpu.stale[i] >> 32)
    cpu.stales = 0


# ACCESSES THAT THE TLB DOES NOT COVER

@kernel
def user_entry(cpu, linear, user):
    return cpu.tlb[(linear >> 12 & (S.TLB_SIZE - 1)) + user * S.TLB_SIZE]


@kernel
def begin_bounce(cpu, t, at, linear, size, write, user):
    """Lay the operand of record `at` into the bounce buffer, by words of at most 4 bytes, and lead the TLB there.  The record to
    go on at, in the twin of the instruction; or FAULTED, or ASKS_PYTHON."""
    r = t.records[at]
    n = min(size, 4096 - (linear & 4095))
    first = try_physical(cpu, linear, write, user)
    second = 0
    if n < size and first != FAULTED:                   # a fault of the first page is the only one
        second = try_physical(cpu, (linear + n) & 0xFFFFFFFF, write, user)
    if first == FAULTED or second == FAULTED:
        return FAULTED
    if asks_python(cpu, first) or (n < size and asks_python(cpu, second)):
        return ASKS_PYTHON
    note_access(cpu, linear, size, write)
    into = at
    if num(r.left) != TWIN:
        into = twin_of(cpu, t, at)
        if into == FAULTED:
            return FAULTED
    if write == 0 or t.rows[r.row][D.READS]:
        cpu.budget -= 1                                 # the time of an access is that after its instruction
        if n == size:
            for i in range(0, size, 4):
                poke(t.state_at + BOUNCE + i, min(4, size - i), device_read(cpu, first + i, min(4, size - i)))
        else:
            for i in range(size):
                poke(t.state_at + BOUNCE + i, 1, device_read(cpu, first + i if i < n else second + i - n, 1))
        cpu.budget += 1
    entry, tag = user_entry(cpu, linear, user), (linear + size - 1) & 0xFFFFF000
    cpu.saved_read, cpu.saved_first, cpu.saved_host, cpu.saved_room = entry.read, entry.first, entry.host, entry.room
    entry.read, entry.first, entry.room, entry.host = tag, linear, size if write else 0, t.state_at + BOUNCE - linear
    cpu.bounced, cpu.bounce_first, cpu.bounce_second = 2 if write else 1, first, second
    cpu.bounce_linear, cpu.bounce_size = linear, size
    return into


@kernel
def end_bounce(cpu, t, done):
    """The buffer to where it belongs, if the instruction wrote it, and the TLB entry as it was."""
    linear, size = cpu.bounce_linear, cpu.bounce_size
    entry = user_entry(cpu, linear, is_user(cpu))
    entry.read, entry.first, entry.host, entry.room = cpu.saved_read, cpu.saved_first, cpu.saved_host, cpu.saved_room
    if cpu.bounced == 2 and done:
        n, buffer = min(size, 4096 - (linear & 4095)), t.state_at + BOUNCE
        if n == size:
            for i in range(0, size, 4):
                device_write(cpu, cpu.bounce_first + i, min(4, size - i), peek(buffer + i, min(4, size - i)))
        else:
            for i in range(size):
                device_write(cpu, cpu.bounce_first + i if i < n else cpu.bounce_second + i - n, 1, peek(buffer + i, 1))
    cpu.bounced = 0


@kernel
def twin_of(cpu, t, at):
    """The record that does in the twin what `at` does in its block; the twin is made when it is first wanted."""
    r = t.records[at]
    start = at                                          # the first record of the instruction
    while num(t.records[start - 1].eip) == num(r.eip) and num(t.records[start - 1].left) == num(r.left):
        start -= 1
    twin = num(t.records[start].twin)
    if twin == 0:
        saved, cpu.eip = cpu.eip, num(r.eip)
        physical = try_find(cpu)
        if physical != FAULTED:
            twin = try_translate(cpu, t, physical, 1, False)
        cpu.eip = saved
        if physical == FAULTED or twin == FAULTED:
            return FAULTED
        t.records[start].twin = twin
        for k in range(twin, t.nrec):
            t.records[k].left = TWIN
    done = 0                                            # handlers before it, not counting moves, of which the twin may need others
    while start < at:
        done += 0 if is_move(t, start) else 1
        start += 1
    at = twin + 1                                       # after the head
    while done:
        done -= 0 if is_move(t, at) else 1
        at += 1
    while t.special[B.T_TO] <= num(t.records[at].sid) <= t.special[B.U_TO + 8]:
        at += 1
    return at


@kernel
def is_move(t, at):
    """Of registers, or of flags."""
    return t.special[B.SETTLE] <= num(t.records[at].sid) <= t.special[B.U_TO + 8]


@kernel
def loads_ss(t, at):
    """MOV SS or POP SS with a handler: alone, as in a twin, it is done by the kernel."""
    r = t.records[at]
    return t.rows[r.row][D.KERNEL] != 0 and num(r.ra) == B.REG0 + 8 * (S.SELECTORS + S.SS)


@kernel
def restart_at(t, at):
    """The record to try again: where the computation of its address begins, if there is one."""
    return before_moves(t, address_of(t, at))


@kernel
def before_moves(t, at):
    """The first of the moves that `at` needs; `at` if there are none."""
    while t.special[B.T_FROM] <= num(t.records[at - 1].sid) <= t.special[B.U_FROM + 8]:
        at -= 1
    return at


@kernel
def address_of(t, at):
    """The record that computes the address for this one; `at` if there is none."""
    before = before_moves(t, at) - 1
    a, b = t.records[before], t.records[at]
    same = num(a.eip) == num(b.eip) and num(a.left) == num(b.left) and t.special[B.EA16] <= num(a.sid) <= t.special[B.LAST_EA]
    return before if same else at


# THE LOOP

@kernel
def entry_of(t, rec):
    """Where to enter at a record: its code, or for threaded code its address."""
    return t.runs_at + t.records[rec].code if t.native else t.records_at + rec * RECORD_SIZE


@kernel
def go(cpu, t, at):
    """Enter the handlers; the reason they come back for."""
    t.entered += 1
    why = enter(t.enter, t.state_at, at, t.state_at + B.TLB + cpu.tlb_at, at if t.native else peek(at, 8))
    if cpu.kind:
        if cpu.kind >= F.SHL:
            cpu.cf, cpu.carries, cpu.result = F.put_off_shift(cpu.kind_a, cpu.kind_b, cpu.kind)
        else:
            cpu.cf, cpu.carries, cpu.result = F.put_off(cpu.kind_a, cpu.kind_b, cpu.kind)
        cpu.kind = 0
    return why


@kernel
def set_instruction(cpu, t, rec):
    """What a kernel needs to know, from its record.  Answers the kernel's number."""
    r = t.records[rec]
    what = num(r.what)
    cpu.eip, cpu.next = num(r.eip), num(r.next)
    cpu.width = 8 << (what >> 8 & 3)
    cpu.address_width = 32 if what >> 10 & 1 else 16
    cpu.repeat, cpu.opcode = what >> 11 & 3, what >> 17 & 255
    of = what >> 13 & 15
    cpu.of_segment = -1 if of == 15 else of
    cpu.register, cpu.place = num(r.ra), num(r.rb)
    cpu.immediate, cpu.immediate2, cpu.offset = num(r.imm), num(r.immediate2), cpu.address
    return what & 255


@kernel
def second_page(cpu):
    """The physical page after that of CS:EIP, or -1."""
    linear = (cpu.segment[S.CS].base + cpu.eip + 4096) & 0xFFFFF000
    try:
        page = fetch_page(cpu, linear)
    except Exception:
        return -1
    return page


@kernel
def tie(t, link, rec):
    """A direct jump goes straight to its block from now on."""
    r = t.records[link]
    if t.native:
        poke(t.arena + r.link, 4, t.records[rec].code - (r.link + 4))
    else:
        r.link = t.records_at + rec * RECORD_SIZE


@kernel
def remember(cpu, t, rec):
    """EIP's code is at this record: for jumps whose target is computed."""
    jump = cpu.jumps[cpu.eip & (S.JUMPS_SIZE - 1)]
    jump.tag = cpu.context | cpu.eip
    jump.code = entry_of(t, rec)
    linear = (cpu.segment[S.CS].base + cpu.eip) & 0xFFFFFFFF
    if not is_global(cpu, linear) or (cpu.found == APART and not is_global(cpu, linear + 4096)):
        if cpu.locals < S.LOCALS:
            cpu.local[cpu.locals] = cpu.eip & (S.JUMPS_SIZE - 1)
        cpu.locals = min(cpu.locals + 1, S.LOCALS + 1)


@kernel
def may_stop(cpu):
    return cpu.mode & S.BREAKS != 0 and may_break(cpu, cpu.eip)


@kernel
def locate(cpu, t, alone):
    """A record to enter at CS:EIP, or FAULTED.  cpu.found: KEPT (a block that may be linked), APART (one across two pages, which is
    looked up each time), GUARDED (by a breakpoint), or SCRATCH (cut to one instruction or to the budget, to be forgotten)."""
    physical = try_find(cpu)
    if physical == FAULTED:
        return FAULTED
    b = 0 if alone else B.find(t, physical, cpu.eip, cpu.mode)
    if b and t.blocks[b].second >= 0 and second_page(cpu) != t.blocks[b].second:
        B.drop(t, b)
        b = 0
    if b and t.blocks[b].n <= cpu.budget:
        cpu.found = GUARDED if may_stop(cpu) else APART if t.blocks[b].second >= 0 else KEPT
        return t.blocks[b].rec
    if alone or b or cpu.budget < LONGEST_BLOCK:
        cpu.found = SCRATCH
        return try_translate(cpu, t, physical, 1 if alone else cpu.budget, False)
    rec = try_translate(cpu, t, physical, LONGEST_BLOCK, True)
    cpu.found = GUARDED if may_stop(cpu) else APART if t.blocks[t.nblock - 1].of else KEPT
    return rec


@kernel
def run(cpu, t):
    """Until something needs Python, or the run is over: a reason (reasons.py)."""
    resume, link, forward = -1, -1, -1                  # a record to go on at; who wants to be tied to the block found next
    stepping = False                                    # TF was set before the instruction
    records, hot, cold = -1, 0, 0                       # where to cut back to after a scratch block
    at, crowded, cut = 0, False, False                  # cut: the budget ends within the block at EIP
    single = False                                      # the instruction at EIP is to be a block of its own
    while True:
        if resume >= 0:
            at, resume = entry_of(t, resume), -1
        else:
            if records >= 0:
                t.nrec, t.hot, t.cold = records, hot, cold
                records = -1
            if cpu.stales:
                drop_stale(cpu, t)
                link = forward = -1
            if cpu.budget <= 0 or cpu.attention:
                why = attend(cpu)
                link = forward = -1
                if why != GO_ON:
                    return why
            elif cpu.mode & S.BREAKS == 0:
                cpu.shadow = 0                          # nothing waits for the end of it
            if B.full(t) or crowded:
                B.flush(cpu, t)
                link, forward, crowded = -1, -1, False
            if cpu.moved:
                find_context(cpu)
            stepping, held_off = cpu.eflags & F.TF != 0, cpu.eflags & F.RF
            if breaks_here(cpu):
                link = forward = -1
                if not raise_exception(cpu):
                    return TRIPLE_FAULT
                continue
            alone, single = stepping or single or cpu.shadow != 0 or cpu.hits != 0, False
            jump = cpu.jumps[cpu.eip & (S.JUMPS_SIZE - 1)]
            if jump.tag == cpu.context | cpu.eip and link < 0 and forward < 0 and not (alone or cut):
                at = jump.code
            else:
                records, hot, cold = t.nrec, t.hot, t.cold
                rec = locate(cpu, t, alone)
                if rec == FAULTED:
                    link = forward = -1
                    if not raise_exception(cpu):
                        return TRIPLE_FAULT
                    continue
                at = entry_of(t, rec)
                if cpu.moved:                           # by the instruction fetch
                    find_context(cpu)
                if cpu.found != SCRATCH:
                    records = -1
                if cpu.found == KEPT:
                    if link >= 0:
                        tie(t, link, rec)
                    if forward >= 0 and t.native:
                        jump_at(t, t.records[forward].code, t.records[rec].code)
                elif cpu.found == APART and link >= 0:
                    tie(t, link, B.hop_to(t, cpu.eip))
                if cpu.found <= APART:
                    remember(cpu, t, rec)
                link = forward = -1
            cpu.eflags &= ~F.RF
            if cpu.shadow:
                cpu.shadow = 0
                cpu.attention = 1                       # what waits may come after this instruction
        context = cpu.context
        if records >= 0 or cpu.bounced or cpu.hits:
            cpu.context = NO_CONTEXT                    # jumps out of here come back here
        why = go(cpu, t, at)
        cpu.context = context
        t.left_by[why] += 1
        cut = why == R.OUT_OF_BUDGET
        at = cpu.pc if t.native else (cpu.pc - t.records_at) // RECORD_SIZE
        r = t.records[at]
        left = num(r.left)
        twin = left == TWIN
        if twin:
            left = 1
        faulted, stepped, done, number = False, stepping, True, -1
        if cpu.bounced:
            end_bounce(cpu, t, why == R.LINK or why == R.INDIRECT)
        if why == R.LINK:
            cpu.eip = num(r.target)
            if records < 0 and not twin:
                link = at
        elif why == R.INDIRECT:
            pass                                        # EIP is in the state
        elif why == R.OUT_OF_BUDGET or why == R.GONE:
            cpu.eip = num(r.eip)
            done = False
            if why == R.GONE:
                forward = at
            else:
                cpu.budget += num(r.imm)                # the head has paid for all of the block
        elif why == R.KERNEL or why == R.FPU:           # of the second kind there is more in the block
            cpu.budget += left - 1
            number = set_instruction(cpu, t, at)
            t.kernels[number] += 1
            if try_kernel(cpu, number):
                cpu.eip = cpu.next
            else:
                cpu.budget += 1
                stepped = stepping and cpu.vector == AGAIN         # an iteration is a step too
                if cpu.vector == NEEDS_PYTHON:
                    cpu.eflags |= held_off
                    return PYTHON_STEP
                faulted = cpu.vector != AGAIN           # TF traps after each element of a repeated instruction
        elif why == R.X87:                              # to be gone on with, with the FPU's registers where it wants them
            cpu.x87 = cpu.access * WANTED
            resume = restart_at(t, at)
            continue
        elif why == R.READ or why == R.WRITE:
            linear, size, write, user = cpu.address, cpu.access, 1 if why == R.WRITE else 0, is_user(cpu)
            answer = DEVICE if (linear & 4095) + size > 4096 else try_fill(cpu, linear, size, write, user)
            before = t.records[address_of(t, at)]
            if linear + size > 1 << 32 and num(before.sid) < t.special[B.SEGMENT_EA16]:
                answer, cpu.error = FAULTED, 0          # beyond the limit of a flat segment
                cpu.vector = SS if num(before.base) == SS_BASE else GP
            if answer == DONE and cpu.stales == 0:
                resume = restart_at(t, at)
                continue
            t.slow += 1
            cpu.budget += left
            cpu.eip = num(r.eip)
            if answer == DONE:                          # the walk marked a page table entry that is code too: decode again
                cpu.eflags |= held_off
                continue
            if answer != FAULTED and B.full(t):         # no room for a twin: once more, from a fresh block
                crowded = True
                cpu.eflags |= held_off
                continue
            if answer != FAULTED and loads_ss(t, at):
                single = True
                cpu.eflags |= held_off
                continue
            if answer != FAULTED:
                answer = begin_bounce(cpu, t, at, linear, size, write, user)
            if answer == FAULTED:
                faulted = True
            elif answer == ASKS_PYTHON:
                cpu.eflags |= held_off
                return PYTHON_STEP
            else:
                cpu.budget -= 1                         # the twin is entered behind its head
                resume = restart_at(t, answer)
                continue
        else:
            cpu.eip = num(r.eip)
            cpu.budget += left
            if why == R.TO_PYTHON:
                cpu.eflags |= held_off
                return PYTHON_STEP
            faulted = True
            cpu.error = 0
            cpu.vector = GP
            if why == R.DIVIDE_ERROR:
                cpu.vector = DIVIDE
            elif why == R.MISALIGNED:
                cpu.vector = AC
            elif why == R.SEGMENT_FAULT and num(r.base) == SS_BASE:
                cpu.vector = SS
        if faulted:
            cpu.hits = 0
        elif done:
            faulted = trap_due(cpu, stepped and not ends_single_step(number))
        if faulted:
            link = forward = -1
            if not raise_exception(cpu):
                return TRIPLE_FAULT

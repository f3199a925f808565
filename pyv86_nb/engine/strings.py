"""String instructions.   SDM vol. 2: MOVS CMPS STOS LODS SCAS INS OUTS with REP, REPE, REPNE; XLAT.

Registers are up to date after every element, so a fault or an interrupt leaves a state to go on from.  An element of a
repeated instruction takes a tick; when the ticks of the slice are used up the instruction is left, to be begun again.

    elements are done while   count > 0 and budget >= 0      (the budget is that after the instruction itself)
    it is finished if         count = 0 and budget >= 0

With TF set one element is done: the trap comes after each of them (vol. 3, 17.3.1.4).  So it is of one that hits a breakpoint.
An instruction to be begun again has RF set, so that a breakpoint on it is not met again (17.3.1.1).
"""
from numba.extending import register_jitable as kernel

from . import state as S
from .access import DONE, fill, host_address, is_user, load, logical, misaligned, probe, room_from, store, write
from .debug import ON_IO, armed
from .exceptions import fault
from .io import check_port, port_read, port_write
from .isa import alu
from .isa import flags as F
from .raw import BURST_READ, BURST_WRITE, copy, io, poke, set_bytes

AGAIN = -2                                              # as a "fault": the instruction is not finished, its ticks are used up
REPNE, REPE = 2, 3                                      # `repeat`: the prefix F2 or F3; 0: none


@kernel
def step(cpu, register, size):
    """SI or DI after an element, up or down by DF."""
    mask = 0xFFFFFFFF if cpu.address_width == 32 else 0xFFFF
    by = -size if cpu.eflags & F.DF else size
    cpu.reg[register] = (cpu.reg[register] & ~mask) | ((cpu.reg[register] + by) & mask)


@kernel
def index(cpu, register):
    return cpu.reg[register] & (0xFFFFFFFF if cpu.address_width == 32 else 0xFFFF)


@kernel
def take_one(cpu, n):
    """n elements are done: count and ticks."""
    mask = 0xFFFFFFFF if cpu.address_width == 32 else 0xFFFF
    cpu.reg[S.ECX] = (cpu.reg[S.ECX] & ~mask) | ((cpu.reg[S.ECX] - n) & mask)
    cpu.budget -= n
    cpu.extra += n
    cpu.elements += n


@kernel
def early(cpu):
    """It is done with a tick that the slice has not; the next slice pays."""
    if cpu.budget < 0:
        cpu.budget += 1
        cpu.extra -= 1


@kernel
def finish(cpu, over):
    """Leave the instruction: done, or to be begun again."""
    if over and (cpu.eflags & F.TF or cpu.hits):
        early(cpu)                                      # the trap is one of the instruction, not of one begun again for nothing
    if cpu.repeat and not (over and cpu.budget >= 0):
        cpu.eflags |= F.RF
        fault(cpu, AGAIN, 0)


@kernel
def running(cpu, left):
    """left: what the count was at the beginning."""
    count = index(cpu, S.ECX)
    return count != 0 and cpu.budget >= 0 and (count == left or not (cpu.eflags & F.TF or cpu.hits))


@kernel
def movs_one(cpu, size):
    store(cpu, S.ES, index(cpu, S.EDI), size, load(cpu, cpu.of_segment, index(cpu, S.ESI), size))
    step(cpu, S.ESI, size)
    step(cpu, S.EDI, size)


@kernel
def stos_one(cpu, size):
    store(cpu, S.ES, index(cpu, S.EDI), size, cpu.reg[S.EAX] & ((1 << 8 * size) - 1))
    step(cpu, S.EDI, size)


@kernel
def lods_one(cpu, size):
    mask = (1 << 8 * size) - 1
    cpu.reg[S.EAX] = (cpu.reg[S.EAX] & ~mask) | load(cpu, cpu.of_segment, index(cpu, S.ESI), size)
    step(cpu, S.ESI, size)


@kernel
def shift_of(size):
    """log2 of a size of 1, 2 or 4."""
    return size >> 1


@kernel
def room(cpu, register, size, s, writing):
    """How many elements upwards from here stay in the segment, the count and the ticks that are left."""
    segment, at = cpu.segment[s], index(cpu, register)
    first, last = segment.read.first, segment.read.last
    if writing:
        first, last = segment.write.first, segment.write.last
    if at < first:
        return 0
    if cpu.address_width == 16:
        last = min(last, 0xFFFF)
    n = (last + 1 - at) >> shift_of(size)
    return min(n, min(index(cpu, S.ECX), cpu.budget + 1))


@kernel
def again(at, done, whole):
    """`done` bytes repeated behind themselves until they are `whole`."""
    while done < whole:
        more = min(done, whole - done)
        copy(at + done, at, more)
        done += more


@kernel
def repeat(to, size, v, n):
    """n elements of one value."""
    whole, byte = n * size, v & 255
    if v == byte * (0x01010101 & (1 << 8 * size) - 1):
        set_bytes(to, byte, whole)
        return
    done = min(n, 16) * size
    for at in range(0, done, size):
        poke(to + at, size, v)
    again(to, done, whole)


@kernel
def plain_memory(cpu, linear, size, write, who):
    """Where `size` bytes of plain memory are, or 0.   #PF if the access is not allowed."""
    if (linear & 4095) + size > 4096:
        return 0
    at = host_address(cpu, linear, size, write, who)
    if at == 0 and fill(cpu, linear, size, write, who) == DONE:
        at = host_address(cpu, linear, size, write, who)
    return at


@kernel
def reach(cpu, linear, at, most, write, who):
    """How many bytes, up to `most`, follow those of `plain_memory` on the host as well, as far as the TLB knows."""
    n = room_from(cpu, linear) if write else 4096 - (linear & 4095)
    while n < most and (linear + n) & 4095 == 0:
        if host_address(cpu, (linear + n) & 0xFFFFFFFF, 4096, write, who) != at + n:
            break
        n += 4096
    return min(n, most)


@kernel
def bulk(cpu, size, moving):
    """Elements of MOVS or STOS as far as memory is plain, many at a time; whether there were any.  Not those across pages, nor where one
    overlaps the place it is copied to."""
    if cpu.eflags & (F.DF | F.TF):
        return False
    n = room(cpu, S.EDI, size, S.ES, True)
    to, source, value = (cpu.segment[S.ES].base + index(cpu, S.EDI)) & 0xFFFFFFFF, 0, cpu.reg[S.EAX] & ((1 << 8 * size) - 1)
    if moving:
        n = min(n, room(cpu, S.ESI, size, cpu.of_segment, False))
        source = (cpu.segment[cpu.of_segment].base + index(cpu, S.ESI)) & 0xFFFFFFFF
    if n < 4 or (cpu.mode & S.ALIGN and (to | source) & misaligned(size)):
        return False
    who, left = is_user(cpu), n
    while left > 0:
        whole, origin = left * size, 0
        if moving:
            origin = plain_memory(cpu, source, size, 0, who)
            if origin == 0:
                break
            whole = reach(cpu, source, origin, whole, 0, who)
        at = plain_memory(cpu, to, size, 1, who)         # may take the source's entry of the TLB, not its place
        if at == 0:
            break
        whole = reach(cpu, to, at, whole, 1, who) & -size
        if moving:
            distance = at - origin
            if 0 < distance < size:
                break
            if 0 < distance < whole:                     # each element feeds a later one: what lies between, again and again
                copy(at, origin, distance)
                again(at, distance, whole)
            else:
                copy(at, origin, whole)
            source = (source + whole) & 0xFFFFFFFF
            cpu.reg[S.ESI] = advance(cpu, S.ESI, whole)
        else:
            repeat(at, size, value, whole >> shift_of(size))
        to = (to + whole) & 0xFFFFFFFF
        cpu.reg[S.EDI] = advance(cpu, S.EDI, whole)
        take_one(cpu, whole >> shift_of(size))
        left -= whole >> shift_of(size)
    return left < n


@kernel
def advance(cpu, register, by):
    mask = 0xFFFFFFFF if cpu.address_width == 32 else 0xFFFF
    return (cpu.reg[register] & ~mask) | ((cpu.reg[register] + by) & mask)


@kernel
def compare(cpu, a, b, w):
    r, cf, c = alu.sub(a, b, 0, w)
    cpu.cf, cpu.carries, cpu.result = cf, F.widen_carries(c, w) & 0xFFFFFFFF, F.of_result(r, w)


@kernel
def cmps_one(cpu, size):
    a, b = load(cpu, cpu.of_segment, index(cpu, S.ESI), size), load(cpu, S.ES, index(cpu, S.EDI), size)
    compare(cpu, a, b, 8 * size)
    step(cpu, S.ESI, size)
    step(cpu, S.EDI, size)


@kernel
def scas_one(cpu, size):
    compare(cpu, cpu.reg[S.EAX] & ((1 << 8 * size) - 1), load(cpu, S.ES, index(cpu, S.EDI), size), 8 * size)
    step(cpu, S.EDI, size)


@kernel
def ins_one(cpu, size):
    """The destination is checked before the port is read: a device must not lose a datum to a fault."""
    linear = logical(cpu, S.ES, index(cpu, S.EDI), size, 1)
    probe(cpu, linear, size, 1, is_user(cpu))
    write(cpu, linear, size, port_read(cpu, cpu.reg[S.EDX] & 0xFFFF, size), is_user(cpu))
    step(cpu, S.EDI, size)


@kernel
def outs_one(cpu, size):
    v = load(cpu, cpu.of_segment, index(cpu, S.ESI), size)
    port_write(cpu, cpu.reg[S.EDX] & 0xFFFF, size, v)
    step(cpu, S.ESI, size)


@kernel
def burst(cpu, size, reading):
    """Many elements between a port and a page of plain memory, as far as the chip has the bytes at hand (bus.burst); 0: none.
    It never takes the chip's last one, which does more than pass."""
    register, s = S.ESI, cpu.of_segment
    if reading:
        register, s = S.EDI, S.ES
    if cpu.eflags & (F.DF | F.TF) or armed(cpu, ON_IO):
        return 0
    linear = logical(cpu, s, index(cpu, register), size, 1 if reading else 0)
    n = min(room(cpu, register, size, s, reading), (4096 - (linear & 4095)) >> shift_of(size))
    if n < 4:
        return 0
    here = host_address(cpu, linear, size, 1 if reading else 0, is_user(cpu))
    if here == 0:
        return 0
    if reading:
        n = min(n, room_from(cpu, linear) >> shift_of(size))
    n = io(cpu, BURST_READ if reading else BURST_WRITE, cpu.reg[S.EDX] & 0xFFFF | n << 16, size, here)
    if n:
        cpu.reg[register] = advance(cpu, register, n * size)
        take_one(cpu, n)
    return n


# THE LOOP

MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS = range(7)


@kernel
def one(cpu, what, size):
    if what == MOVS:
        movs_one(cpu, size)
    elif what == STOS:
        stos_one(cpu, size)
    elif what == LODS:
        lods_one(cpu, size)
    elif what == CMPS:
        cmps_one(cpu, size)
    elif what == SCAS:
        scas_one(cpu, size)
    elif what == INS:
        ins_one(cpu, size)
    else:
        outs_one(cpu, size)


@kernel
def string(cpu, what):
    size, left, stop = cpu.width >> 3, index(cpu, S.ECX), False
    if what >= INS:
        check_port(cpu, cpu.reg[S.EDX] & 0xFFFF, size)
    if cpu.repeat == 0:
        one(cpu, what, size)
        return
    compares = what == CMPS or what == SCAS
    while running(cpu, left) and not stop:
        at_once = 0
        if what <= STOS:
            at_once = bulk(cpu, size, what == MOVS)
        elif what >= INS:
            at_once = burst(cpu, size, what == INS)
        if at_once == 0:
            one(cpu, what, size)
            take_one(cpu, 1)
        stop = compares and (F.zero(cpu.result) == 1) == (cpu.repeat == REPNE)
    if stop:                                            # the condition is in the flags, and would be forgotten: this element's tick
        cpu.budget += 1                                 # is the instruction's own, so that it never needs one that the slice has not
        cpu.extra -= 1
    finish(cpu, stop or index(cpu, S.ECX) == 0)


@kernel
def movs(cpu):
    string(cpu, MOVS)


@kernel
def stos(cpu):
    string(cpu, STOS)


@kernel
def lods(cpu):
    string(cpu, LODS)


@kernel
def cmps(cpu):
    string(cpu, CMPS)


@kernel
def scas(cpu):
    string(cpu, SCAS)


@kernel
def ins(cpu):
    string(cpu, INS)


@kernel
def outs(cpu):
    string(cpu, OUTS)


@kernel
def xlat(cpu):
    mask = 0xFFFFFFFF if cpu.address_width == 32 else 0xFFFF
    al = load(cpu, cpu.of_segment, (cpu.reg[S.EBX] + (cpu.reg[S.EAX] & 255)) & mask, 1)
    cpu.reg[S.EAX] = (cpu.reg[S.EAX] & 0xFFFFFF00) | al


KERNELS = {"movs": movs, "cmps": cmps, "stos": stos, "lods": lods, "scas": scas, "ins": ins, "outs": outs, "xlat": xlat}

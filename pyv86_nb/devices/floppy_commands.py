"""Commands of the 82077AA: their length, those without data, how a sector is found.   Data sheet 290166-007, 5.

    find a sector:  disk turning? side and cylinder recorded? rate right? --no--> MA, after two turns
                    C the head's cylinder, H its side, N 512 bytes, R on the track? --no--> ND (and WC), after two turns
                    yes: the end of its data, as the disk turns

All kernels, called by fdc_82077.py (which see; Not emulated: listed there).
"""
from __future__ import annotations

from .chip import NEVER, kernel
from .floppy_drive import coming, next_id, slot, span, step, ticks_of, ticks_of_logic, turn, turning

COMMAND, EXECUTION, RESULT = 0, 1, 2
ABNORMAL = 0x40                                          # ST0 interrupt code 01
MA, NW, ND, WC, BC = 1, 2, 4, 0x10 << 8, 2 << 8          # ST1; ST2 one byte up
SETTLE_US = 100                                          # a seek that moves nothing still takes a moment


@kernel
def set_interrupt(fdc, on):
    fdc.intr = on
    fdc.IRQ = 1 if on and fdc.dor >> 3 & 1 else 0


@kernel
def kbits(fdc): return 500 if fdc.rate == 0 else 300 if fdc.rate == 1 else 250 if fdc.rate == 2 else 1000


@kernel
def is_read(fdc):
    """Whether the data of the command at work goes to the host."""
    op = fdc.cmd[0] & 31
    return op == 2 or op == 6 or op == 12


@kernel
def length(v):
    """Bytes of the command that begins with v; 1 for one that is not there."""
    op = v & 31
    if op == 5 or op == 9:                               # WRITE, WRITE DELETED: no SK
        return 9 if v & 0x20 == 0 else 1
    if op == 6 or op == 12 or op == 22 or op == 17 or op == 25 or op == 29: return 9
    if op == 2: return 9 if v & 0x80 == 0 else 1         # READ TRACK: no MT
    if op == 15: return 3 if v & 0x60 == 0 or v & 0xC0 == 0xC0 else 1
    if op == 13: return 6 if v & 0xA0 == 0 else 1
    if op == 10: return 2 if v & 0xA0 == 0 else 1
    if v == 3: return 3
    if v == 4 or v == 7 or v == 18: return 2
    if v == 19: return 4
    return 1


@kernel
def answer(fdc, n):
    """The result phase begins, with n bytes in `result`."""
    fdc.phase, fdc.given, fdc.left = RESULT, 0, n


# THE END OF A DATA COMMAND

@kernel
def sides_and_sector(fdc):
    """C, H, R go on to what comes next (table 5-5); 0 when that is beyond the end of the command."""
    multi = fdc.cmd[0] >> 7
    if fdc.r != fdc.eot:
        fdc.r = fdc.r + 1 & 0xFF
        return 1
    fdc.r = 1
    if multi == 0:
        fdc.c = fdc.c + 1 & 0xFF
        return 0
    fdc.h ^= 1
    if fdc.side == 0:
        fdc.side = 1
        return 1
    fdc.c = fdc.c + 1 & 0xFF
    return 0


@kernel
def finish(fdc, code, st1, st2, now):
    """The result phase: ST0 ST1 ST2 C H R N, and the interrupt."""
    fdc.result[0] = code | fdc.moved << 5 | fdc.head << 2 | fdc.unit
    fdc.result[1], fdc.result[2] = st1, st2
    fdc.result[3], fdc.result[4], fdc.result[5], fdc.result[6] = fdc.c, fdc.h, fdc.r, fdc.n
    fdc.sector, fdc.size, fdc.at, fdc.final = NEVER, 0, 0, 0
    fdc.unload = now + ticks_of(fdc.drive[fdc.unit], 8_000_000 * (fdc.hut if fdc.hut else 16) // kbits(fdc))
    answer(fdc, 7)
    set_interrupt(fdc, 1)


@kernel
def last_byte(fdc, now):
    """The host has read the last sector from the FIFO.  READ DATA has no TC here, so it ends beyond EOT (EN)."""
    if fdc.cmd[0] & 31 == 6: finish(fdc, ABNORMAL, 0x80, 0, now)
    else: finish(fdc, 0, fdc.late & 0xFF, fdc.late >> 8, now)


# FINDING A SECTOR

@kernel
def head_down(fdc, d, now):
    """When the head is loaded: HLT after the first use (2 ms units at 500 kbit/s; 0 is 128)."""
    if now < fdc.unload: return now
    return now + ticks_of(d, 1_000_000 * (fdc.hlt if fdc.hlt else 128) // kbits(fdc))


@kernel
def recorded(fdc, d):
    """Whether the head can read what is under it: side and cylinder exist, rate and MFM are right."""
    if d.cylinder >= d.cylinders or fdc.side >= d.heads or fdc.cmd[0] & 0x40 == 0: return 0
    k = kbits(fdc)
    # 360K in a 1.2M drive: 360 rpm
    return 1 if k == d.media_rate or k == 300 and d.media_rate == 250 and d.cylinders == 40 else 0


@kernel
def locate(fdc, now):
    """Set `sector` to when the sector at work will have passed, or to when the search will have failed (`fate`)."""
    d, op = fdc.drive[fdc.unit], fdc.cmd[0] & 31
    fdc.fate = 0
    at = turning(d, now)
    if at == NEVER or recorded(fdc, d) == 0: fdc.fate = MA
    elif (op == 5 or op == 9 or op == 13) and d.protected: fdc.fate = NW
    elif op == 10:                                       # READ ID: the next one
        fdc.c, fdc.h, fdc.r, fdc.n = d.cylinder, fdc.side, next_id(d, at), 2
        fdc.sector = coming(d, slot(d, fdc.r - 1), at) + max(span(d) // 10, 1)
        return
    elif op == 13:                                       # FORMAT: from index to index
        fdc.sector = coming(d, 0, at) + turn(d)
        return
    elif op == 2:                                        # READ TRACK: as they come after the index
        if fdc.count > d.sectors: fdc.fate = ND
        else:
            fdc.sector = coming(d, slot(d, fdc.count - 1), at) + span(d)
            return
    elif fdc.c != d.cylinder: fdc.fate = ND | (BC if fdc.c == 0xFF else WC)
    elif fdc.h != fdc.side or fdc.n != 2 or fdc.r < 1 or fdc.r > d.sectors: fdc.fate = ND
    else:
        fdc.sector = coming(d, slot(d, fdc.r - 1), at) + span(d)
        return
    fdc.sector = now + 1 if fdc.fate == NW else (now if at == NEVER else at) + 2 * turn(d)


# SEEKING

@kernel
def seek_ticks(fdc, d, n):
    """Ticks of n steps: SRT, in ms at 500 kbit/s."""
    return ticks_of(d, n * 500_000 * (16 - fdc.srt) // kbits(fdc)) + ticks_of_logic(d, SETTLE_US)


@kernel
def seek(fdc, i, target, steps, recalibrate, now):
    d = fdc.drive[i]
    d.target, d.steps, d.recalibrating, d.done = target & 0xFF, steps, recalibrate, 0
    d.arrival = now + seek_ticks(fdc, d, steps)
    fdc.step = min(fdc.step, d.arrival)


@kernel
def next_arrival(fdc):
    t = NEVER
    for i in range(4): t = min(t, fdc.drive[i].arrival)
    return t


@kernel
def moving(fdc, i):
    """The seek of drive i is through."""
    d = fdc.drive[i]
    d.done, d.st0 = 1, 0x20 | i
    if d.recalibrating:
        step(d, d.cylinder - d.steps)
        d.pcn = 0
        if d.present == 0 or d.cylinder: d.st0 = 0x70 | i        # no track 0 after 79 steps: equipment check
    else:
        step(d, d.cylinder + d.steps if d.target > d.pcn else d.cylinder - d.steps)
        d.pcn = d.target


# COMMANDS

@kernel
def data_command(fdc, now):
    fdc.phase, fdc.moved, fdc.late, fdc.at, fdc.size, fdc.final = EXECUTION, 0, 0, 0, 0, 0
    op, d, fdc.head = fdc.cmd[0] & 31, fdc.drive[fdc.unit], fdc.side
    if op != 10 and op != 13:
        fdc.c, fdc.h, fdc.r, fdc.n = int(fdc.cmd[2]), int(fdc.cmd[3]), int(fdc.cmd[4]), int(fdc.cmd[5])
        fdc.eot = int(fdc.cmd[6])
        fdc.count = 1 if op == 2 else int(fdc.cmd[8])
    if op == 13: fdc.n = int(fdc.cmd[2])
    when = head_down(fdc, d, now)
    if fdc.eis and op != 10 and op != 13 and fdc.c != d.pcn:
        when += seek_ticks(fdc, d, abs(fdc.c - d.pcn))
        step(d, d.cylinder + fdc.c - d.pcn)
        d.pcn, fdc.moved = fdc.c, 1
    locate(fdc, when)
    if fdc.nd and is_read(fdc) == 0 and op != 10 and op != 22 and fdc.fate == 0:     # the host may fill the FIFO now
        fdc.size, fdc.asked = 4 * int(fdc.cmd[3]) & 0x1FF if op == 13 else 512, now
        set_interrupt(fdc, 1)


@kernel
def sense_interrupt(fdc):
    for i in range(4):
        d = fdc.drive[i]
        if d.done:
            d.done = 0
            fdc.result[0], fdc.result[1] = d.st0, d.pcn
            answer(fdc, 2)
            more = 0  # another seek keeps the line up; the polls after a reset do not
            for k in range(4):
                if fdc.drive[k].done and fdc.drive[k].st0 < 0xC0: more = 1
            set_interrupt(fdc, more)
            return
    invalid(fdc)


@kernel
def invalid(fdc):
    fdc.result[0] = 0x80
    answer(fdc, 1)


@kernel
def sense_drive(fdc, now):
    d, side = fdc.drive[fdc.unit], fdc.side
    wp, track0 = d.media and d.protected, d.present and d.cylinder == 0
    fdc.result[0] = 0x28 | (0x40 if wp else 0) | (0x10 if track0 else 0) | side << 2 | fdc.unit
    answer(fdc, 1)


@kernel
def dumpreg(fdc):
    for i in range(4): fdc.result[i] = fdc.drive[i].pcn
    fdc.result[4], fdc.result[5] = fdc.srt << 4 | fdc.hut, fdc.hlt << 1 | fdc.nd
    fdc.result[6] = fdc.eot
    fdc.result[7] = fdc.lock << 7 | fdc.perpendicular & 0x3F
    fdc.result[8] = fdc.eis << 6 | fdc.efifo << 5 | fdc.nopoll << 4 | fdc.fifothr
    fdc.result[9] = fdc.pretrk
    answer(fdc, 10)


@kernel
def start(fdc, now):
    """All bytes of the command are there."""
    v, b = int(fdc.cmd[0]), int(fdc.cmd[1])
    op = v & 31
    fdc.have = 0
    if length(v) > 1 and op != 3 and op != 18 and op != 19: fdc.unit, fdc.side = b & 3, b >> 2 & 1
    if length(v) == 9 or op == 13 and length(v) == 6 or op == 10 and length(v) == 2: data_command(fdc, now)
    elif v == 3:
        fdc.srt, fdc.hut, fdc.hlt, fdc.nd = b >> 4, b & 15, int(fdc.cmd[2]) >> 1, int(fdc.cmd[2]) & 1
    elif v == 4: sense_drive(fdc, now)
    elif v == 7: seek(fdc, b & 3, 0, min(79, fdc.drive[b & 3].cylinder) if fdc.drive[b & 3].present else 79, 1, now)
    elif v == 8: sense_interrupt(fdc)
    elif v == 14: dumpreg(fdc)
    elif op == 15 and length(v) == 3:
        pcn, to = fdc.drive[b & 3].pcn, int(fdc.cmd[2])
        if v & 0x80: to = min(pcn + to, 255) if v & 0x40 else max(pcn - to, 0)
        seek(fdc, b & 3, to, abs(to - pcn), 0, now)
    elif v == 16:
        fdc.result[0] = 0x90                             # VERSION: an enhanced controller
        answer(fdc, 1)
    elif v == 18: fdc.perpendicular = b if b & 0x80 else fdc.perpendicular & 0x3C | b & 3
    elif v == 19:
        w = int(fdc.cmd[2])
        fdc.eis, fdc.efifo, fdc.nopoll, fdc.fifothr = w >> 6 & 1, w >> 5 & 1, w >> 4 & 1, w & 15
        fdc.pretrk = int(fdc.cmd[3])
    elif op == 20 and v & 0x60 == 0:
        fdc.lock = v >> 7
        fdc.result[0] = fdc.lock << 4
        answer(fdc, 1)
    else: invalid(fdc)

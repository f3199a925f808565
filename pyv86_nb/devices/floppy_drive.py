"""Floppy disk drive, 3.5" or 5.25".   Sony MPF920 specification; IBM PC/AT Technical Reference (1984).

    motor   up to speed 300 ms after it is switched on; the disk then turns at 300 (360) rpm
    turn    index, then the sectors 1..n at equal distances: |ID+data, gap|ID+data, gap|...   ID and data are 580 bytes
    head    a step moves it by one cylinder; track 0 is a switch, cylinder 84 a stop
    change  set when a disk is taken out or the drive gets power, cleared by a step while there is a disk

Where the disk is in its turn is a function of time, so nothing ticks.  A part of the floppy controller
(fdc_82077.py), which keeps the time.

Not emulated: the time the motor needs to stop, head settling, recording faults.  The disk in the drive is held by the
controller, outside the state; here is what its format is.
"""
from __future__ import annotations

from .chip import NEVER, Chip, field, keep, kernel

SPIN_UP_US = 300_000
SECTOR_BYTES = 580                                       # sync, ID, gap 2, sync, 512 data bytes, CRC
LAST_CYLINDER = 84


@kernel
def ticks_of(d, us):
    """Ticks of so many microseconds of mechanics."""
    return max(d.ips * us // 1_000_000 // d.haste, 1)


@kernel
def ticks_of_logic(d, us):
    """Ticks of so many microseconds of the controller's own, which haste leaves alone."""
    return max(d.ips * us // 1_000_000, 1)


@kernel
def turn(d):
    """Ticks of one turn."""
    return max(d.ips * 60 // d.rpm // d.haste, 1)


@kernel
def slot(d, k):
    """Ticks from the index to the ID of sector k + 1."""
    return turn(d) * k // d.sectors


@kernel
def span(d):
    """Ticks from the beginning of a sector's ID to the end of its data."""
    return max(min(d.ips * SECTOR_BYTES * 8 // (d.media_rate * 1000) // d.haste, slot(d, 1) - 1), 1)


@kernel
def coming(d, phase, now):
    """The first tick from now on at which the disk is `phase` ticks after its index."""
    t = now - now % turn(d) + phase
    return t if t >= now else t + turn(d)


@kernel
def next_id(d, now):
    """The number of the sector whose ID comes next, from 1."""
    for k in range(d.sectors):
        if slot(d, k) >= now % turn(d): return k + 1
    return 1


@kernel
def turning(d, now):
    """When the disk is up to speed; NEVER without disk or motor."""
    if d.present == 0 or d.media == 0 or d.motor == 0: return NEVER
    return max(now, d.up_to_speed)


@kernel
def set_motor(d, on, now):
    if on and d.motor == 0: d.up_to_speed = now + ticks_of(d, SPIN_UP_US)
    d.motor = on


@kernel
def step(d, cylinder):
    """The head goes to a cylinder, or as far as it can."""
    cylinder = max(min(cylinder, LAST_CYLINDER), 0)
    if d.present == 0: return
    if cylinder != d.cylinder and d.media: d.changed = 0
    d.cylinder = cylinder


class FloppyDrive(Chip):
    """floppy disk drive"""
    ips = field(63, "instructions per guest second", reset=keep(0))
    haste = field(16, "mechanics so many times faster than real ones", reset=keep(1))
    present = field(1, "the drive is there", reset=keep(0))
    media = field(1, "a disk is in it", reset=keep(0))
    protected = field(1, "it is write protected", reset=keep(0))
    cylinders = field(8, "its cylinders", reset=keep(80))
    heads = field(2, "its sides", reset=keep(2))
    sectors = field(8, "its sectors on a track", reset=keep(18))
    media_rate = field(10, "its data rate, kbit/s", reset=keep(500))
    rpm = field(10, "its turns a minute", reset=keep(300))
    changed = field(1, "disk change line", reset=keep(1))
    cylinder = field(7, "where the head is", reset=keep(0))
    motor = field(1, "motor on")
    up_to_speed = field(63, "instruction at which the motor has its speed")
    pcn = field(8, "PCN: where the controller thinks the head is")
    target = field(8, "cylinder of the seek under way")
    recalibrating = field(1, "the seek under way looks for track 0")
    steps = field(9, "steps of the seek under way")
    arrival = field(63, "instruction at which it ends, if one is under way", reset=NEVER)
    done = field(1, "a SENSE INTERRUPT is owed for this drive")
    st0 = field(8, "ST0 that it will report")

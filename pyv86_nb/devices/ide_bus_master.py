"""Bus-master DMA of an IDE channel.   Data sheet: Programming Interface for Bus Master IDE Controller 1.0, chapters 1 to 3.

    a descriptor    31 .............. 1 0     region: physical address, even       The table lies within 64 KiB and is aligned to 4 bytes.
                    EOT | reserved | count    bytes, even; 0 is 64 KiB             A region does not cross 64 KiB.

Sectors go from the disk to memory as the table says, or through the channel's buffer from memory to the disk; descriptors are read up to
64 ahead.  When the table is used up
BMISX's active bit falls; when the drive is through it interrupts.  Either may come first: a short table leaves the drive waiting, a long
one leaves the active bit standing.

A call moves at most 1 MiB and follows at most 512 descriptors; the rest waits for the channel's next deadline, so a guest that lets its
table run in circles, or to addresses where nothing answers (FFh is read, writes vanish), keeps only its own command busy.

Not emulated: regions that are other chips' memory, PCI aborts (BMISX error is set for nothing but by them).
"""
from __future__ import annotations

import struct
from collections.abc import Iterator

from .ide_drive import DRDY, DSC, ERR
from .ide_protocol import ACTIVE, BLOCK_US, BUFFER, DMA_IN, START, TO_MEMORY, after, finish

MOST_BYTES, MOST_DESCRIPTORS, AHEAD = 1 << 20, 512, 64


def begin(ch, phase: int, now: int) -> None:
    """The drive is ready to move its data.  If the bus master has started already, it goes on at once."""
    ch.phase = phase
    ch.at = ch.filled = ch.stop = 0
    move(ch, ch.disks[ch.active], now)


def move(ch, disk, now: int) -> None:
    """Move data until the command or the table is through, or it is enough for now."""
    inward, budget, descriptors = ch.phase == DMA_IN, MOST_BYTES, MOST_DESCRIPTORS
    if bool(ch.bm_command & TO_MEMORY) != inward: return                 # the wrong direction: the drive waits
    while True:
        running = ch.bm_command & START and ch.bm_status & ACTIVE        # else until the host starts it, or starts it again
        if ch.at == ch.filled:
            if inward and running and budget >= ch.unit and descriptors and ch.left:
                moved, used = stream(ch, disk, min(ch.left, budget // ch.unit), descriptors)
                budget, descriptors = budget - moved, descriptors - used
                continue
            if not turn(ch, disk, inward): return
        if not running: return
        if budget <= 0 or descriptors <= 0:
            ch.work = after(ch, BLOCK_US, now)
            return
        regions, n, used = follow(ch, min(ch.filled - ch.at, budget), descriptors)
        if inward: ch.memory.scatter(regions, ch.data[ch.at:ch.at + n])
        else: ch.data[ch.at:ch.at + n] = ch.memory.gather(regions)
        ch.at, budget, descriptors = ch.at + n, budget - n, descriptors - used


def stream(ch, disk, sectors: int, descriptors: int) -> tuple[int, int]:
    """Sectors from the disk to memory, past the buffer.  Of one that the table takes in part the rest waits in the buffer.  Answers how
    many bytes and descriptors that were."""
    if disk is None: raise OSError("the medium was taken out")
    data = memoryview(disk.read(ch.lba, sectors))
    regions, n, used = follow(ch, len(data), descriptors)
    ch.memory.scatter(regions, data[:n])
    whole, part = divmod(n, ch.unit)
    ch.lba, ch.left = ch.lba + whole, ch.left - whole
    if part:
        turn(ch, disk, True)
        ch.at = part
    return n, used


def follow(ch, most: int, descriptors: int) -> tuple[list[tuple[int, int]], int, int]:
    """The next regions of the table for up to `most` bytes, how many those are, and how many descriptors were used.  A descriptor's
    address counts within 64 KiB."""
    region, left, last, at = ch.region, ch.region_left, ch.last_region, ch.descriptor
    regions: list[tuple[int, int]] = []
    n = used = 0
    ahead: Iterator[tuple[int, ...]] = iter(())
    while n < most and (left or not last):
        if left == 0:
            if used == descriptors: break
            entry = next(ahead, None)
            if entry is None:
                ahead = struct.iter_unpack("<IHH", ch.memory.read(at, 8 * max(min(AHEAD, (0x10000 - (at & 0xFFFF)) // 8), 1)))
                entry = next(ahead)
            region, left, last = entry[0] & ~1, entry[1] & ~1 or 0x10000, entry[2] >> 15
            at, used = at & 0xFFFF0000 | at + 8 & 0xFFFF, used + 1
        k = min(most - n, left)
        regions.append((region, k))
        region, left, n = region + k & 0xFFFFFFFF, left - k, n + k
    ch.region, ch.region_left, ch.last_region, ch.descriptor = region, left, last, at
    if last and left == 0: ch.bm_status &= ~ACTIVE & 0xFF
    return regions, n, used


def turn(ch, disk, inward: bool) -> bool:
    """The buffer has passed: fill it anew or empty it.  False: the command is over."""
    if not inward and ch.filled: disk.write(ch.lba - ch.filled // ch.unit, bytes(ch.data[:ch.filled]))
    n = min(ch.left, BUFFER // ch.unit)
    if n == 0:
        finish(ch, DRDY | DSC | (ERR if ch.fault else 0), ch.fault)
        return False
    if disk is None: raise OSError("the medium was taken out")
    if inward: ch.data[:n * ch.unit] = disk.read(ch.lba, n)
    ch.at, ch.filled, ch.lba, ch.left = 0, n * ch.unit, ch.lba + n, ch.left - n
    return True

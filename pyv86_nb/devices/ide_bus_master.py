"""Bus-master DMA of an IDE channel.   Data sheet: Programming Interface for Bus Master IDE Controller 1.0, chapters 1 to 3.

    a descriptor    31 .............. 1 0     region: physical address, even       The table lies within 64 KiB and is aligned to 4 bytes.
                    EOT | reserved | count    bytes, even; 0 is 64 KiB             A region does not cross 64 KiB.

Sectors go between disk and memory as the table says; of one that it names in part the rest waits in the channel's buffer.  Descriptors are
read up to 128 ahead, and a kernel goes through them.  When the table is used up BMISX's active bit falls; when the drive is through it
interrupts.  Either may come first: a short table leaves the drive waiting, a long one leaves the active bit standing.

A call moves at most 1 MiB and follows at most 512 descriptors; the rest waits for the channel's next deadline, so a guest that lets its
table run in circles, or to addresses where nothing answers (FFh is read, writes vanish), keeps only its own command busy.

Not emulated: regions that are other chips' memory, PCI aborts (BMISX error is set for nothing but by them).
"""
from __future__ import annotations

import numpy as np

from .chip import kernel
from .ide_drive import DRDY, DSC, ERR
from .ide_protocol import ACTIVE, BLOCK_US, BUFFER, DMA_IN, START, TO_MEMORY, after, finish

MOST_BYTES, MOST_DESCRIPTORS, AHEAD = 1 << 20, 512, 128
LIST = np.dtype([("descriptors", "<i8", (AHEAD,)), ("regions", "i8", (AHEAD, 2)), ("bytes", "i8"), ("region", "i8"), ("left", "i8"),
                 ("last", "i8")])


@kernel
def read_ahead(table, some, most, now):
    """The regions, address and bytes, of up to `some` descriptors, as far as the table goes or `most` bytes; answers how many.  Of the
    last one `left` bytes remain, at `region`."""
    k = n = at = size = last = 0
    while k < some and n < most and last == 0:
        d = int(table.descriptors[k])
        at, size, last = d & 0xFFFFFFFE, d >> 32 & 0xFFFE, 1 if d < 0 else 0
        if size == 0: size = 1 << 16
        table.regions[k, 0], table.regions[k, 1] = at, min(size, most - n)
        n += size
        k += 1
    table.bytes, table.left, table.last = min(n, most), max(n - most, 0), last
    table.region = at + size - table.left & 0xFFFFFFFF
    return k


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
            if not inward: empty(ch, disk)
            if running and budget >= ch.unit and descriptors and ch.left:
                moved, used = (take if inward else give)(ch, disk, min(ch.left, budget // ch.unit), descriptors)
                budget, descriptors = budget - moved, descriptors - used
                continue
            if not turn(ch, disk, inward): return
        if not running: return
        if budget <= 0 or descriptors <= 0:
            ch.work = after(ch, BLOCK_US, now)
            return
        regions, n, used, place = follow(ch, min(ch.filled - ch.at, budget), descriptors)
        if inward: ch.memory.scatter(regions, ch.data[ch.at:ch.at + n])
        else: ch.data[ch.at:ch.at + n] = ch.memory.gather(regions)
        went(ch, place)
        ch.at, budget, descriptors = ch.at + n, budget - n, descriptors - used


def take(ch, disk, sectors: int, descriptors: int) -> tuple[int, int]:
    """Sectors from the disk to memory, past the buffer.  Of one that the table takes in part the rest waits in the buffer.  Answers how
    many bytes and descriptors that were."""
    if disk is None: raise OSError("the medium was taken out")
    regions, n, used, place = follow(ch, sectors * ch.unit, descriptors)
    whole, part = divmod(n, ch.unit)
    if part: ch.memory.scatter(regions, disk.read(ch.lba, whole + 1)[:n])
    else: ch.memory.receive(regions, lambda buffers: disk.read_into(ch.lba, buffers))
    went(ch, place)
    ch.lba, ch.left = ch.lba + whole, ch.left - whole
    if part:
        turn(ch, disk, True)
        ch.at = part
    return n, used


def give(ch, disk, sectors: int, descriptors: int) -> tuple[int, int]:
    """Sectors from memory to the disk, past the buffer, where one waits of which the table has given a part.  Answers as `take`."""
    regions, n, used, place = follow(ch, sectors * ch.unit, descriptors)
    data = memoryview(ch.memory.gather(regions))
    whole, part = divmod(n, ch.unit)
    if whole: disk.write(ch.lba, data[:n - part])
    went(ch, place)
    ch.lba, ch.left = ch.lba + whole, ch.left - whole
    if part:
        turn(ch, disk, False)
        ch.data[:part] = data[n - part:]
        ch.at = part
    return n, used


def follow(ch, most: int, descriptors: int):
    """The next regions of the table for up to `most` bytes, how many those are, how many descriptors were used, and where in the table
    that ends, for `went`.  A descriptor's address counts within 64 KiB.  The regions are good until the next call."""
    region, left, last, at, ahead = ch.region, ch.region_left, ch.last_region, ch.descriptor, ch.ahead
    n, used = min(left, most), 0
    found = [np.array([(region, n)])] if n or last else []
    region, left = region + n & 0xFFFFFFFF, left - n
    while n < most and not last and used < descriptors:
        some = min(AHEAD, descriptors - used, max((0x10000 - (at & 0xFFFF)) // 8, 1))
        if found: found[-1] = found[-1].copy()
        ahead["descriptors"][:some] = np.frombuffer(ch.memory.read(at, 8 * some), np.int64)
        k = ahead(some, most - n)
        found.append(ahead["regions"][:k])
        n, used, at = n + ahead["bytes"], used + k, at & 0xFFFF0000 | at + 8 * k & 0xFFFF
        region, left, last = ahead["region"], ahead["left"], ahead["last"]
    return found[0] if len(found) == 1 else np.concatenate(found), n, used, (region, left, last, at)


def went(ch, place: tuple[int, int, int, int]) -> None:
    """The table has been followed to there."""
    ch.region, ch.region_left, ch.last_region, ch.descriptor = place
    if ch.last_region and ch.region_left == 0: ch.bm_status &= ~ACTIVE & 0xFF


def empty(ch, disk) -> None:
    """The buffer to the disk."""
    if ch.filled: disk.write(ch.lba - ch.filled // ch.unit, bytes(ch.data[:ch.filled]))
    ch.at = ch.filled = 0


def turn(ch, disk, inward: bool) -> bool:
    """The buffer has passed: fill it anew, or make room for what comes.  False: the command is over."""
    n = min(ch.left, BUFFER // ch.unit)
    if n == 0:
        finish(ch, DRDY | DSC | (ERR if ch.fault else 0), ch.fault)
        return False
    if disk is None: raise OSError("the medium was taken out")
    if inward: ch.data[:n * ch.unit] = disk.read(ch.lba, n)
    ch.at, ch.filled, ch.lba, ch.left = 0, n * ch.unit, ch.lba + n, ch.left - n
    return True

"""Bus-master DMA of an IDE channel.   Data sheet: Programming Interface for Bus Master IDE Controller 1.0, chapters 1 to 3.

    a descriptor    31 .............. 1 0     region: physical address, even       The table lies within 64 KiB and is aligned to 4 bytes.
                    EOT | reserved | count    bytes, even; 0 is 64 KiB             A region does not cross 64 KiB.

The channel's buffer is filled from the disk and moved by the table, or filled by the table and moved to the disk.  When the table is used up
BMISX's active bit falls; when the drive is through it interrupts.  Either may come first: a short table leaves the drive waiting, a long
one leaves the active bit standing.

A call moves at most 256 KiB and follows at most 512 descriptors; the rest waits for the channel's next deadline, so a guest that lets its
table run in circles, or to addresses where nothing answers (FFh is read, writes vanish), keeps only its own command busy.

Not emulated: regions that are other chips' memory, PCI aborts (BMISX error is set for nothing but by them).
"""
from __future__ import annotations

from .ide_drive import DRDY, DSC, ERR
from .ide_protocol import ACTIVE, BLOCK_US, BUFFER, DMA_IN, START, TO_MEMORY, after, finish

MOST_BYTES, MOST_DESCRIPTORS = 256 << 10, 512
EOT = 0x8000


def begin(ch, phase: int, now: int) -> None:
    """The drive is ready to move its data.  If the bus master has started already, it goes on at once."""
    ch.phase = phase
    ch.at = ch.filled = ch.stop = 0
    move(ch, ch.disks[ch.active], now)


def move(ch, disk, now: int) -> None:
    """Move data until the command or the table is through, or it is enough for now."""
    inward, budget, descriptors = ch.phase == DMA_IN, MOST_BYTES, MOST_DESCRIPTORS
    if bool(ch.bm_command & TO_MEMORY) != inward: return                 # the wrong direction: the drive waits
    while ch.at < ch.filled or turn(ch, disk, inward):
        if not ch.bm_command & START or not ch.bm_status & ACTIVE: return            # until the host starts it, or starts it again
        if budget <= 0 or descriptors == 0:
            ch.work = after(ch, BLOCK_US, now)
            return
        if ch.region_left == 0:
            load(ch)
            descriptors -= 1
        n = min(ch.filled - ch.at, ch.region_left)
        if inward: ch.memory.write(ch.region, ch.data[ch.at:ch.at + n])
        else: ch.data[ch.at:ch.at + n] = ch.memory.read(ch.region, n)
        ch.at, ch.region, ch.region_left, budget = ch.at + n, ch.region + n & 0xFFFFFFFF, ch.region_left - n, budget - n
        if ch.region_left == 0 and ch.last_region: ch.bm_status &= ~ACTIVE & 0xFF


def load(ch) -> None:
    """The next descriptor.  Its address counts within 64 KiB."""
    raw = ch.memory.read(ch.descriptor, 8)
    ch.region = int.from_bytes(raw[:4], "little") & ~1
    ch.region_left = (int.from_bytes(raw[4:6], "little") & ~1) or 0x10000
    ch.last_region = int(bool(int.from_bytes(raw[6:8], "little") & EOT))
    ch.descriptor = ch.descriptor & 0xFFFF0000 | ch.descriptor + 8 & 0xFFFF


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

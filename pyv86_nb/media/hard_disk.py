"""Hard disks: what their images must be, and the geometry that old software sees.   ATA/ATAPI-6, clause 6.2; PC partition tables.

    geometry(disk)      (cylinders, heads, sectors) for IDENTIFY and the BIOS: 16 heads of 63 sectors, unless the partition
                        table in the image was made for a smaller translation, which then still holds
"""
from __future__ import annotations

from .disk import Disk

SECTOR = 512
HEADS, SECTORS, MOST_CYLINDERS = 16, 63, 16383           # "16383 for a disk above 16,514,064 sectors"


def geometry(disk: Disk) -> tuple[int, int, int]:
    """Cylinders, heads and sectors of a disk's default translation."""
    heads, sectors = partitioned(disk) or (HEADS, SECTORS)
    if heads > HEADS:                                    # a BIOS translation: the drive itself has never more than 16
        heads, sectors = HEADS, SECTORS
    cylinders = disk.sectors // (heads * sectors)
    if not cylinders:                                    # less than a cylinder: one that is as narrow as it must be
        heads, sectors = 1, min(disk.sectors, SECTORS)
        cylinders = disk.sectors // sectors
    return min(cylinders, MOST_CYLINDERS), heads, sectors


def partitioned(disk: Disk) -> tuple[int, int] | None:
    """(heads, sectors) that the first partition's end was written for: partitions end with a cylinder."""
    table = disk.read(0, 1)
    if table[510:] != b"\x55\xAA":
        return None
    for i in range(4):
        entry = table[446 + 16 * i:462 + 16 * i]
        head, sector, size = entry[5], entry[6] & 63, int.from_bytes(entry[12:16], "little")
        if size and sector and entry[0] & 0x7F == 0:
            n = (head + 1) * sector
            start = int.from_bytes(entry[8:12], "little")
            if (start + size) % n == 0 and n <= disk.sectors:
                return head + 1, sector
    return None

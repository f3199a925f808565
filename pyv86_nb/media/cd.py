"""CDs: images of sectors of 2048 bytes.   ECMA-119 (ISO 9660), 8.4: the primary volume descriptor is sector 16.

    check(disk)     ValueError for an image that ends before its volume does
"""
from __future__ import annotations

from .disk import Disk

SECTOR, DESCRIPTOR = 2048, 16


def check(disk: Disk) -> None:
    """Refuse an image that was cut off, as a broken download is."""
    if disk.sectors <= DESCRIPTOR:
        return                                           # too small for a file system: a disc with something else on it
    volume = disk.read(DESCRIPTOR, 1)
    if volume[:6] != b"\1CD001":
        return
    blocks, block = int.from_bytes(volume[80:84], "little"), int.from_bytes(volume[128:130], "little")
    if blocks * block > disk.size:
        raise ValueError(f"the CD image {disk.name} is cut short: its volume has {blocks * block:,} bytes and the file {disk.size:,}; get it again")

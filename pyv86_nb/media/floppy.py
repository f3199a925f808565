"""Floppy formats by the size of their image.   IBM PC/AT and PS/2 Technical References; ISO 8630, 8860, 9529.

    geometry(1_474_560)     Geometry(cylinders=80, heads=2, sectors=18, ...)
"""
from __future__ import annotations

from dataclasses import dataclass

SECTOR = 512


@dataclass(frozen=True)
class Geometry:
    """How a floppy is recorded, and the drive that it belongs to."""

    cylinders: int
    heads: int
    sectors: int
    rate: int                                            # kbit/s (MFM)
    rpm: int
    cmos_type: int                                       # as in CMOS byte 10h: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self.cylinders * self.heads * self.sectors * SECTOR

    @property
    def name(self) -> str:
        """As people call it: "1.44M"."""
        kib = self.size // 1024
        return f"{kib}K" if kib < 1000 else f"{kib / 1000:.3g}M"

    def lba(self, cylinder: int, head: int, sector: int) -> int:
        """The number of a sector in the image; sectors count from 1."""
        return (cylinder * self.heads + head) * self.sectors + sector - 1


FORMATS = {g.size: g for g in (
    Geometry(40, 1, 8, 250, 300, 1),                     # 160K   5.25" single sided, DOS 1
    Geometry(40, 1, 9, 250, 300, 1),                     # 180K
    Geometry(40, 2, 8, 250, 300, 1),                     # 320K   5.25" double density
    Geometry(40, 2, 9, 250, 300, 1),                     # 360K
    Geometry(80, 2, 9, 250, 300, 4),                     # 720K   3.5" double density, read by a 1.44M drive
    Geometry(80, 2, 15, 500, 360, 2),                    # 1.2M   5.25" high density
    Geometry(80, 2, 18, 500, 300, 4),                    # 1.44M  3.5" high density
    Geometry(80, 2, 21, 500, 300, 4),                    # 1.68M  3.5" with narrow gaps (DMF)
    Geometry(82, 2, 21, 500, 300, 4),                    # 1.72M
    Geometry(80, 2, 36, 1000, 300, 5),                   # 2.88M  3.5" extra density
)}


def geometry(size: int) -> Geometry:
    """The format of an image of `size` bytes.

    Raises
    ------
    ValueError
        For a size that no floppy has.
    """
    if size in FORMATS:
        return FORMATS[size]
    known = ", ".join(f"{g.name} ({s:,})" for s, g in FORMATS.items())
    raise ValueError(f"an image of {size:,} bytes is not a floppy; floppies have {known} bytes")

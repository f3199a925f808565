"""Disks: sectors over an image that is never changed.

    d = Disk("freedos.img")         # a path (also packed, or qcow2: image.py), bytes or a bytearray
    d.read(0, 1)                    # sector 0: bytes
    d.write(0, bytes(512))          # goes to a layer in memory
    d.save("mine.img")              # the whole disk as it is now, raw
    d.changes()                     # {block: bytes}: what a snapshot keeps; d.restore(changes) puts it back

The layer has room for 1 GiB, or for `room`; a write beyond fails, the guest's disk reports it, and a warning says so once.
"""
from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from .image import Image, bytes_in, open_image, spread

BLOCK = 4096                                             # the layer of changes is kept in blocks of this size
ROOM = 1 << 30
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
BUSES = "ide", "virtio"


class DiskFull(OSError):
    """The layer of changes has no room for a write; nothing was written."""


class Disk:
    """A disk image, copy-on-write.

    Parameters
    ----------
    source : str, os.PathLike, bytes or bytearray
        The image.  A file is read as it is needed and never written; it must stay as it is while the disk is used.
    write_protect : bool
        Whether the disk refuses writes, like a floppy with its tab moved.
    sector_size : int
        Bytes in a sector: 512, or 2048 for a CD.
    bus : {"ide", "virtio"}
        How a hard disk is connected: to the IDE channel, or as a virtio-blk device, which is faster and needs a driver.
    room : int or str
        Bytes that the layer of changes may take, such as "4G".

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A directory, an empty image, a size that is not a whole number of sectors, a damaged or unknown container.
    TypeError
        Something that is no image.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview | Image, *, write_protect: bool = False,
                 sector_size: int = 512, bus: str = "ide", room: int | str = ROOM) -> None:
        if bus not in BUSES:
            raise ValueError(f"bus={bus!r} is unknown; a disk is connected to {' or '.join(map(repr, BUSES))}")
        self.sector_size, self.write_protect, self.bus, self.room = sector_size, bool(write_protect), bus, _bytes(room)
        self._blocks: dict[int, bytes] = {}
        self._told = False
        self.base = source if isinstance(source, Image) else open_image(source)
        self.name, self.size = self.base.name, self.base.size
        if not self.size:
            raise ValueError(f"the disk image {self.name} is empty; give one of at least {sector_size} bytes")
        if self.size < sector_size:
            raise ValueError(f"the disk image {self.name} has {self.size:,} bytes, less than a sector of {sector_size}; give a whole image")
        if self.size % sector_size:
            raise ValueError(f"the disk image {self.name} has {self.size:,} bytes, which is not a whole number of "
                             f"{sector_size}-byte sectors; is it cut short?")

    @property
    def sectors(self) -> int:
        return self.size // self.sector_size

    @property
    def changed(self) -> bool:
        """Whether anything has been written to it."""
        return bool(self._blocks)

    def _block(self, k: int) -> bytes:
        b = self._blocks.get(k)
        return self.base.read(k * BLOCK, min(BLOCK, self.size - k * BLOCK)) if b is None else b

    def _check(self, lba: int, n: int) -> None:
        if lba < 0 or n < 0 or lba + n > self.sectors:
            raise ValueError(f"sectors {lba} to {lba + n - 1} are not on this disk, which has sectors 0 to "
                             f"{self.sectors - 1}")

    def read(self, lba: int, n: int = 1) -> bytes:
        """n sectors from sector lba on.  ValueError beyond the end."""
        self._check(lba, n)
        at, size = lba * self.sector_size, n * self.sector_size
        if self._as_it_was(at, size):
            return self.base.read(at, size)
        first, last = at // BLOCK, (at + size - 1) // BLOCK
        return b"".join(map(self._block, range(first, last + 1)))[at - first * BLOCK:][:size]

    def read_into(self, lba: int, buffers: Sequence[memoryview]) -> None:
        """Whole sectors from sector lba on into writable buffers, one after the other, as many as they have room for.  ValueError beyond
        the end or for part of a sector."""
        size = bytes_in(buffers)
        n, rest = divmod(size, self.sector_size)
        if rest:
            raise ValueError(f"read_into takes whole sectors of {self.sector_size} bytes, not {size} bytes")
        self._check(lba, n)
        if self._as_it_was(lba * self.sector_size, size):
            self.base.read_into(lba * self.sector_size, buffers)
        else:
            spread(self.read(lba, n), buffers)

    def _as_it_was(self, at: int, size: int) -> bool:
        """Whether nothing has been written here."""
        return not self._blocks or not any(k in self._blocks for k in range(at // BLOCK, (at + size - 1) // BLOCK + 1))

    def write(self, lba: int, data: bytes) -> None:
        """Whole sectors from sector lba on.  ValueError beyond the end, for part of a sector, or if write protected."""
        n, rest = divmod(len(data), self.sector_size)
        if rest:
            raise ValueError(f"write takes whole sectors of {self.sector_size} bytes, not {len(data)} bytes")
        self._check(lba, n)
        if self.write_protect:
            raise ValueError(f"the disk {self.name} is write protected; open it with write_protect=False")
        at, done = lba * self.sector_size, 0
        self._make_room(at // BLOCK, (at + len(data) - 1) // BLOCK)
        while done < len(data):
            k, skip = divmod(at + done, BLOCK)
            part = data[done:done + BLOCK - skip]
            old = self._block(k) if len(part) < BLOCK else b""
            self._blocks[k] = old[:skip] + bytes(part) + old[skip + len(part):]
            done += len(part)

    def _make_room(self, first: int, last: int) -> None:
        """DiskFull when the layer would outgrow its room."""
        n = len(self._blocks) + last + 1 - first
        if n * BLOCK <= self.room or (len(self._blocks) + sum(k not in self._blocks for k in range(first, last + 1))) * BLOCK <= self.room:
            return
        text = (f"the layer of changes of the disk {self.name} is full ({self.room:,} bytes), so the guest's writes fail; "
                "give it more with Disk(path, room=\"4G\")")
        if not self._told:
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        self._told = True
        raise DiskFull(errno.ENOSPC, text)

    def image(self) -> bytes:
        """The whole image as it is now."""
        return self.read(0, self.sectors)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole image as it is now to a raw file; the file appears complete or not at all.  Answers its path.

        Raises ValueError for a directory, FileNotFoundError when there is no such directory to put it in, OSError when the
        host has no room for it; nothing is left behind then.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"a disk is saved to a path, not to {path!r:.60}; give the path of a file")
        target = Path(path).expanduser()
        if target.is_dir():
            raise ValueError(f"{os.fspath(path)!r} is a directory; give the path of a file to save the disk to")
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no directory {target.absolute().parent}; make it, or save elsewhere")
        handle, temporary = tempfile.mkstemp(dir=target.absolute().parent, prefix=".saving-")
        try:
            with os.fdopen(handle, "wb") as f:
                step = (1 << 20) // self.sector_size
                for lba in range(0, self.sectors, step):
                    piece = self.read(lba, min(step, self.sectors - lba))
                    if piece.strip(b"\0"):
                        f.write(piece)
                    else:
                        f.seek(len(piece), os.SEEK_CUR)              # a hole
                f.truncate(self.size)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
        except OSError as e:
            Path(temporary).unlink(missing_ok=True)
            raise OSError(e.errno, f"the disk {self.name} could not be saved to {os.fspath(path)} ({e.strerror}); it has {self.size:,} bytes, "
                                   "save it where there is room") from None
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    def changes(self) -> dict[int, bytes]:
        """What was written, by block of 4096 bytes: the part of a snapshot that belongs to the disk."""
        return dict(self._blocks)

    def restore(self, changes: dict[int, bytes]) -> None:
        """Back to what `changes()` answered."""
        self._blocks = dict(changes)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return (f"<Disk {self.name}: {self.sectors:,} sectors of {self.sector_size} bytes"
                + ", write protected" * self.write_protect
                + f", {len(self._blocks)} blocks changed" * self.changed + ">")


def _bytes(given: int | str) -> int:
    """A number of bytes from an int or a text such as "4G"."""
    text = given.strip().upper() if isinstance(given, str) else None
    if text and text.rstrip("KMGT").isdigit() and text[len(text.rstrip("KMGT")):] in UNITS:
        return int(text.rstrip("KMGT")) * UNITS[text[len(text.rstrip("KMGT")):]]
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    raise ValueError(f"room={given!r} is not a size; write bytes as an int, or a text such as \"4G\"")

"""Disk images: sectors over a file or bytes that are never changed.

    d = Disk("freedos.img")         # a path (.gz and .xz are unpacked), bytes or a bytearray
    d.read(0, 1)                    # sector 0: bytes
    d.write(0, bytes(512))          # goes to a layer in memory
    d.save("mine.img")              # the whole image as it is now
    d.changes()                     # {block: bytes}: what a snapshot keeps; d.restore(changes) puts it back

A raw image is sector after sector, no header.  Not emulated: VHD, qcow2, IMD, TeleDisk and other containers.
"""
from __future__ import annotations

import gzip
import lzma
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 4096                                             # the layer of changes is kept in blocks of this size
PACKED: dict[bytes, Any] = {b"\x1F\x8B": gzip.open, b"\xFD7": lzma.open}


class Disk:
    """A raw disk image, copy-on-write.

    Parameters
    ----------
    source : str, os.PathLike, bytes or bytearray
        The image.  A file is read as it is needed and never written; it must stay as it is while the disk is used.
    write_protect : bool
        Whether the disk refuses writes, like a floppy with its tab moved.
    sector_size : int
        Bytes in a sector: 512, or 2048 for a CD.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A directory, an empty image, a size that is not a whole number of sectors, or a damaged archive.
    TypeError
        Something that is no image.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, write_protect: bool = False,
                 sector_size: int = 512) -> None:
        self.sector_size, self.write_protect = sector_size, bool(write_protect)
        self._file: BinaryIO | None = None
        self._data = b""
        self._blocks: dict[int, bytes] = {}
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name, self._data = f"{len(source):,} bytes in memory", bytes(source)
            self.size = len(self._data)
        elif isinstance(source, (str, os.PathLike)):
            self.name = os.fspath(source)
            self._open(Path(source).expanduser())
        else:
            raise TypeError(f"a disk image is a path, bytes or a bytearray, not {type(source).__name__}")
        if not self.size:
            raise ValueError(f"the disk image {self.name} is empty; give one of at least {sector_size} bytes")
        if self.size % sector_size:
            raise ValueError(f"the disk image {self.name} has {self.size:,} bytes, which is not a whole number of "
                             f"{sector_size}-byte sectors; give a raw image")

    def _open(self, path: Path) -> None:
        if path.is_dir():
            raise ValueError(f"{self.name} is a directory; give the path of a raw disk image")
        try:
            self._file = open(path, "rb")
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no disk image {self.name}; give the path of an existing file") from None
        except OSError as e:
            raise ValueError(f"the disk image {self.name} cannot be read: {e.strerror}; give another one") from None
        unpack = PACKED.get(self._file.read(2))
        if not unpack:
            self.size = self._file.seek(0, os.SEEK_END)
            return
        self._file.close()
        self._file = None
        try:
            with unpack(path) as f:
                self._data = f.read()
        except (OSError, EOFError, lzma.LZMAError, zlib.error):
            raise ValueError(f"the packed disk image {self.name} is damaged; give the raw image") from None
        self.size = len(self._data)

    @property
    def sectors(self) -> int:
        return self.size // self.sector_size

    @property
    def changed(self) -> bool:
        """Whether anything has been written to it."""
        return bool(self._blocks)

    def _original(self, at: int, n: int) -> bytes:
        if self._file is None:
            return self._data[at:at + n]
        self._file.seek(at)
        return self._file.read(n).ljust(min(n, self.size - at), b"\0")

    def _block(self, k: int) -> bytes:
        b = self._blocks.get(k)
        return self._original(k * BLOCK, BLOCK) if b is None else b

    def _check(self, lba: int, n: int) -> None:
        if lba < 0 or n < 0 or lba + n > self.sectors:
            raise ValueError(f"sectors {lba} to {lba + n - 1} are not on this disk, which has sectors 0 to "
                             f"{self.sectors - 1}")

    def read(self, lba: int, n: int = 1) -> bytes:
        """n sectors from sector lba on.  ValueError beyond the end."""
        self._check(lba, n)
        at, size = lba * self.sector_size, n * self.sector_size
        first, last = at // BLOCK, (at + size - 1) // BLOCK
        if not any(k in self._blocks for k in range(first, last + 1)):
            return self._original(at, size)
        return b"".join(map(self._block, range(first, last + 1)))[at - first * BLOCK:][:size]

    def write(self, lba: int, data: bytes) -> None:
        """Whole sectors from sector lba on.  ValueError beyond the end, for part of a sector, or if write protected."""
        n, rest = divmod(len(data), self.sector_size)
        if rest:
            raise ValueError(f"write takes whole sectors of {self.sector_size} bytes, not {len(data)} bytes")
        self._check(lba, n)
        if self.write_protect:
            raise ValueError(f"the disk {self.name} is write protected; open it with write_protect=False")
        at, done = lba * self.sector_size, 0
        while done < len(data):
            k, skip = divmod(at + done, BLOCK)
            part = data[done:done + BLOCK - skip]
            old = self._block(k) if len(part) < BLOCK else b""
            self._blocks[k] = old[:skip] + bytes(part) + old[skip + len(part):]
            done += len(part)

    def image(self) -> bytes:
        """The whole image as it is now."""
        return self.read(0, self.sectors)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole image as it is now to a raw file; the file appears complete or not at all.  Answers its path.

        Raises ValueError for a directory, FileNotFoundError when there is no such directory to put it in.
        """
        target = Path(path).expanduser()
        if target.is_dir():
            raise ValueError(f"{os.fspath(path)} is a directory; give the path of a file to save the disk to")
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no directory {target.absolute().parent}; make it, or save elsewhere")
        handle, temporary = tempfile.mkstemp(dir=target.absolute().parent, prefix=".saving-")
        try:
            with os.fdopen(handle, "wb") as f:
                step = (1 << 20) // self.sector_size
                for lba in range(0, self.sectors, step):
                    f.write(self.read(lba, min(step, self.sectors - lba)))
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
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

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._data, self.size = None, b"", 0

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return (f"<Disk {self.name}: {self.sectors:,} sectors of {self.sector_size} bytes"
                + ", write protected" * self.write_protect
                + f", {len(self._blocks)} blocks changed" * self.changed + ">")

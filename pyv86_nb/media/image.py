"""What a disk is read from: an image that is never changed.   Raw files, bytes, packed files, qcow2.

    open_image("linux.img.xz")      read(at, n): bytes;  size;  origin: the file that it was made from, or None

A raw file is read as it is needed.  A packed one (gzip, bzip2, xz, zstd) is unpacked once, above 16 MiB into a temporary file with holes.
zstd and qcow2 need a package each, from the extra "images": zstandard, libqcow-python.

Other containers (VHD, VHDX, VDI, VMDK, an encrypted qcow2) are known by their first bytes and refused: `qemu-img convert -O raw` unpacks them.
"""
from __future__ import annotations

import bz2
import ctypes
import errno
import gzip
import importlib
import io
import lzma
import os
import re
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

PIECE, IN_MEMORY = 1 << 20, 16 << 20
MOST_BUFFERS = 1024                                      # that POSIX hosts fill at once (IOV_MAX)
QCOW = b"QFI\xFB"
FOREIGN = {b"conectix": "a VHD", b"vhdxfile": "a VHDX", b"KDMV": "a VMDK", b"COWD": "a VMDK", b"# Disk D": "a VMDK", b"<<< ": "a VDI",
           b"QED\0": "a QED", b"WithoutF": "a Parallels disk", b"WithouFr": "a Parallels disk"}
REMEDY = "convert it with: qemu-img convert -O raw IMAGE disk.img"
EXTRA = 'install it with: pip install "pyv86_nb[images]"'


def _preadv() -> Callable[[int, int, int, int], int] | None:
    """The host's preadv(file, addresses and bytes, how many, at), where words have 64 bits; buffers listed in an array need no look at each."""
    if not hasattr(os, "preadv") or sys.maxsize < 1 << 32:
        return None
    f = ctypes.CDLL(None, use_errno=True).preadv
    f.argtypes, f.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64), ctypes.c_ssize_t

    def preadv(file: int, rows: int, n: int, at: int) -> int:
        while (done := f(file, rows, n, at)) < 0:
            if (e := ctypes.get_errno()) != errno.EINTR:
                raise OSError(e, os.strerror(e))
        return int(done)
    return preadv


PREADV = _preadv()


class Image:
    """Bytes in memory; the other kinds say how else they are read."""

    def __init__(self, data: bytes, name: str, origin: Path | None = None) -> None:
        self.data, self.size, self.name, self.origin = data, len(data), name, origin
        self.stamp = stamp(origin) if origin else None

    def read(self, at: int, n: int) -> bytes:
        """n bytes from `at` on; OSError where the host cannot."""
        return self.data[at:at + n]

    def read_into(self, at: int, buffers: Sequence[memoryview]) -> None:
        """The bytes from `at` on into writable buffers, one after the other; OSError where the host cannot.  Buffers may know
        their `size` in all, and where their addresses and bytes are listed, `rows_at`."""
        spread(self.read(at, bytes_in(buffers)), buffers)


class FileImage(Image):
    """A file, read as it is needed.  `origin` is the path a user gave, which may have been unpacked into this one."""

    def __init__(self, file: BinaryIO, name: str, origin: Path | None) -> None:
        super().__init__(b"", name, origin)
        self.file, self.lock = file, threading.Lock()    # machines in several threads may share an image
        self.size = file.seek(0, os.SEEK_END)

    def read(self, at: int, n: int) -> bytes:
        with self.lock:
            self.file.seek(at)
            data = self.file.read(n)
        if len(data) < n:
            raise self._shorter()
        return data

    def read_into(self, at: int, buffers: Sequence[memoryview]) -> None:
        if not hasattr(os, "preadv"):                    # nor has every host
            return super().read_into(at, buffers)
        if (rows_at := getattr(buffers, "rows_at", 0)) and PREADV and 0 < len(buffers) <= MOST_BUFFERS:
            if PREADV(self.file.fileno(), rows_at, len(buffers), at) == bytes_in(buffers):
                return None                             # else from the beginning, with looks
        left = list(buffers)
        while left:
            piece = left[:MOST_BUFFERS]
            n = os.preadv(self.file.fileno(), piece, at)
            if n == 0:
                raise self._shorter()
            at += n
            for i, buffer in enumerate(piece):           # how far that is
                if n < len(buffer):
                    left = [buffer[n:], *left[i + 1:]]
                    break
                n -= len(buffer)
            else:
                left = left[len(piece):]
        return None

    def _shorter(self) -> OSError:
        return OSError(f"the disk image {self.name} has become shorter while it was in use")


class QcowImage(Image):
    """A qcow2 file, through libqcow; a chain of backing files is opened beside it."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(b"", name, path)
        self.lock = threading.Lock()
        try:
            pyqcow: Any = importlib.import_module("pyqcow")
        except ImportError:
            raise ValueError(f"the disk image {name} is a qcow2, which needs the package libqcow-python; {EXTRA}") from None
        self.chain: list[Any] = []
        try:
            self.file = self._open(pyqcow, path)
            self.size = self.file.get_media_size()
            self.file.read_buffer_at_offset(min(512, self.size), 0)
        except OSError as e:
            raise ValueError(f"the qcow2 image {name} cannot be read ({reason(e)}); {REMEDY}") from None

    def _open(self, pyqcow: Any, path: Path) -> Any:
        if len(self.chain) > 16:
            raise OSError("its chain of backing files is too long")
        f = pyqcow.file()
        f.open(os.fspath(path))
        self.chain.append(f)
        if f.is_locked():
            raise OSError("it is encrypted")
        if backing := f.get_backing_filename():
            below = path.parent / backing
            with open(below, "rb") as b:
                if b.read(4) != QCOW:
                    raise OSError(f"its backing file {backing} is not a qcow2")
            f.set_parent(self._open(pyqcow, below))
        return f

    def read(self, at: int, n: int) -> bytes:
        with self.lock:
            return bytes(self.file.read_buffer_at_offset(n, at))


def reason(e: OSError) -> str:
    """Why a file cannot be read.  libqcow says that it could not, and then where, from the innermost of its functions out."""
    if e.strerror:
        return f"{e.filename}: {e.strerror}" if e.filename else e.strerror
    where = re.split(r"\. lib\w+: ", str(e).splitlines()[0])
    return where[min(len(where) - 1, 1)].rstrip(". ")


def bytes_in(buffers: Sequence[memoryview]) -> int:
    """Of all of them."""
    size: int = getattr(buffers, "size", -1)
    return sum(map(len, buffers)) if size < 0 else size


def spread(data: bytes, buffers: Sequence[memoryview]) -> None:
    """Bytes into buffers, one after the other."""
    at = 0
    for b in buffers:
        b[:] = data[at:at + len(b)]
        at += len(b)


def stamp(path: Path) -> tuple[int, int]:
    """What tells whether a file is still the same: its size and the time of its last change."""
    s = path.stat()
    return s.st_size, s.st_mtime_ns


def open_image(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Image:
    """The image of a path or of bytes.  Raises as `Disk` does."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, name = bytes(source), f"{len(source):,} bytes in memory"
        if what := container(data):
            raise ValueError(f"the disk image of {name} is {what}; {REMEDY}")
        if data.startswith(QCOW):
            raise ValueError(f"the disk image of {name} is a qcow2, which is read from a file; give its path")
        return unpacked(opener, io.BytesIO(data), name) if (opener := packing(data)) else Image(data, name)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"a disk image is a path, bytes or a bytearray, not {type(source).__name__}")
    name, path = os.fspath(source), Path(source).expanduser()
    if path.is_dir():
        raise ValueError(f"{name} is a directory; give the path of a disk image")
    try:
        file = open(path, "rb")
        head = file.read(8)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no disk image {name}; give the path of an existing file") from None
    except OSError as e:
        raise ValueError(f"the disk image {name} cannot be read: {e.strerror}; give another one") from None
    if what := container(head):
        raise ValueError(f"the disk image {name} is {what}; {REMEDY}")
    if head.startswith(QCOW):
        file.close()
        return QcowImage(path, name)
    if (opener := packing(head)) is None:
        return FileImage(file, name, path)
    file.seek(0)
    with file:
        return unpacked(opener, file, name, path)


def container(head: bytes) -> str | None:
    """The name of a container that is not read here."""
    return next((what for magic, what in FOREIGN.items() if head.startswith(magic)), None)


def packing(head: bytes) -> Any:
    """How a packed image is opened, or None."""
    return next((f for magic, f in PACKED.items() if head.startswith(magic)), None)


# PACKED FILES

class ZstdFile:
    """A file of zstd frames, through the package zstandard, which itself takes the end of the file for the end of the data."""

    def __init__(self, file: BinaryIO, package: Any) -> None:
        self.file, self.package, self.rest = file, package, b""
        self.frame: Any = None

    def __enter__(self) -> ZstdFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass                                             # as the others, which leave the file to whom it belongs

    def read(self, n: int) -> bytes:
        """Some bytes, about n at most; none at the end."""
        while True:
            piece = self.rest or self.file.read(n >> 4)
            self.rest = b""
            if not piece:
                if self.frame is not None:
                    raise EOFError("it ends in the middle of a frame")
                return b""
            if self.frame is None:
                self.frame = self.package.ZstdDecompressor().decompressobj()
            data = self.frame.decompress(piece)
            if self.frame.eof:
                self.rest, self.frame = self.frame.unused_data, None
            if data:
                return data


def zstd_open(file: BinaryIO) -> Any:
    try:
        return importlib.import_module("compression.zstd").open(file, "rb")      # Python 3.14 has its own
    except ImportError:
        pass
    try:
        return ZstdFile(file, importlib.import_module("zstandard"))
    except ImportError:
        raise ValueError(f"the disk image is packed with zstd, which needs the package zstandard; {EXTRA}") from None


PACKED: dict[bytes, Any] = {b"\x1F\x8B": gzip.open, b"\xFD7zXZ": lzma.open, b"BZh": bz2.open, b"\x28\xB5\x2F\xFD": zstd_open}


def unpacked(opener: Any, file: BinaryIO, name: str, origin: Path | None = None) -> Image:
    """The image in a packed file or in packed bytes: in memory, or in a temporary file that nobody sees, with holes where it is empty."""
    pieces: list[bytes] = []
    out, size = None, 0
    try:
        with opener(file) as f:
            while piece := f.read(PIECE):
                size += len(piece)
                if out is None:
                    pieces.append(piece)
                    if size <= IN_MEMORY:
                        continue
                    out, rest = temporary(), pieces
                else:
                    rest = [piece]
                for p in rest:
                    if p.strip(b"\0"):
                        out.write(p)
                    else:
                        out.seek(len(p), os.SEEK_CUR)
                pieces = []
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as e:
        raise ValueError(f"the packed disk image {name} is damaged ({e}); give the raw image") from None
    except ValueError:
        raise
    except Exception as e:
        if isinstance(e, OSError) and e.errno:
            raise ValueError(f"the packed disk image {name} cannot be unpacked: {e.strerror}; unpack it elsewhere and give the raw image") from None
        raise ValueError(f"the packed disk image {name} is damaged ({e}); give the raw image") from None
    if out is None:
        return Image(b"".join(pieces), name, origin)
    out.truncate(size)
    return FileImage(out, name, origin)


def temporary() -> Any:
    return tempfile.TemporaryFile(prefix="pyv86_nb-")

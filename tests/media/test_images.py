"""Images of other kinds.  Oracles: qemu-img, which made them; the packers of the standard library; the ATA standard for geometries."""
import bz2
import gzip
import importlib.util
import lzma
import random
import subprocess
import tracemalloc

import numpy as np
import pytest

from pyv86_nb.media import cd, image
from pyv86_nb.media.disk import Disk, DiskFull
from pyv86_nb.media.hard_disk import geometry


def content(mib=5): return random.Random(mib).randbytes(1 << 20) + bytes((mib - 2) << 20) + random.Random(9).randbytes(1 << 20)


def needs(module): return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def same(disk, data):
    assert disk.size == len(data)
    for at, n in ((0, 1), (0, 100), (2000, 300), (len(data) // 512 - 77, 77)): assert disk.read(at, n) == data[512 * at:512 * (at + n)]


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", pytest.param("zst", marks=needs("zstandard"))])
@pytest.mark.parametrize("mib", [5, 40])
def test_packed(tmp_path, kind, mib):
    data = content(mib)
    pack = {"gz": lambda d: gzip.compress(d, 1), "xz": lambda d: lzma.compress(d, preset=0), "bz2": lambda d: bz2.compress(d, 1),
            "zst": lambda d: importlib.import_module("zstandard").compress(d)}[kind]
    (tmp_path / "name-says-nothing").write_bytes(pack(data))
    same(Disk(tmp_path / "name-says-nothing"), data)
    same(Disk(pack(data)), data)                                           # bytes, as they come over the net
    (tmp_path / "cut").write_bytes(pack(data)[:-1000])
    with pytest.raises(ValueError, match="damaged") as e: Disk(tmp_path / "cut")
    assert "\n" not in str(e.value)


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(image.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    for magic, package in ((b"\x28\xB5\x2F\xFD", "zstandard"), (b"QFI\xFB", "libqcow-python")):
        (tmp_path / "x").write_bytes(magic + bytes(1000))
        with pytest.raises(ValueError, match=f"{package}.*pip install") as e: Disk(tmp_path / "x")
        assert "\n" not in str(e.value)


@needs("pyqcow")
def test_qcow2(tmp_path, command):
    """Plain, compressed, of the old version, and one upon another; changes stay above."""
    tool = lambda *args: subprocess.run([command("qemu-img"), *map(str, args)], check=True, capture_output=True)
    data = content()
    (tmp_path / "raw").write_bytes(data)
    tool("convert", "-f", "raw", "-O", "qcow2", tmp_path / "raw", tmp_path / "a")
    tool("convert", "-c", "-f", "raw", "-O", "qcow2", tmp_path / "raw", tmp_path / "c")
    tool("convert", "-f", "raw", "-O", "qcow2", "-o", "compat=0.10", tmp_path / "raw", tmp_path / "old")
    tool("create", "-f", "qcow2", "-b", "a", "-F", "qcow2", tmp_path / "upon")
    for name in ("a", "c", "old", "upon"):
        before = (tmp_path / name).read_bytes()
        d = Disk(tmp_path / name)
        same(d, data)
        d.write(5, b"!" * 512)
        assert d.image() == data[:2560] + b"!" * 512 + data[3072:] and (tmp_path / name).read_bytes() == before
    tool("create", "-f", "qcow2", "-b", "raw", "-F", "raw", tmp_path / "upon-raw")
    tool("create", "-f", "qcow2", "-b", "gone", "-F", "qcow2", "-u", tmp_path / "upon-gone", "8M")
    tool("create", "-f", "qcow2", "-o", "compression_type=zstd", tmp_path / "zstd", "8M")
    (tmp_path / "broken").write_bytes((tmp_path / "a").read_bytes()[:300])
    for name, why in (("upon-raw", "raw is not a qcow2"), ("broken", "header"), ("upon-gone", "gone: No such file"), ("zstd", "incompatible feature")):
        with pytest.raises(ValueError, match=why + ".*qemu-img convert") as e: Disk(tmp_path / name)
        assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="qcow2, which is read from a file"): Disk((tmp_path / "a").read_bytes())


@pytest.mark.parametrize("kind, word", [("vdi", "VDI"), ("vmdk", "VMDK"), ("vhdx", "VHDX"), ("vpc", "VHD"), ("qed", "QED"), ("parallels", "Parallels")])
def test_other_containers_are_refused_by_name(tmp_path, command, kind, word):
    subprocess.run([command("qemu-img"), "create", "-f", kind, str(tmp_path / "x"), "8M"], check=True, capture_output=True)
    with pytest.raises(ValueError, match=f"{word}.*qemu-img convert"): Disk(tmp_path / "x")


def test_a_large_image_is_not_read(tmp_path):
    with open(tmp_path / "large", "wb") as f:
        f.truncate(200 << 30)
        f.seek(150 << 30); f.write(b"here" + bytes(508))
    tracemalloc.start()
    d = Disk(tmp_path / "large")
    assert d.read(150 << 21)[:4] == b"here"
    d.write(199 << 21, b"z" * 512)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert geometry(d) == (16383, 16, 63)


def test_a_full_layer_changes_nothing():
    d = Disk(bytes(1 << 20), room="64K")
    d.write(0, b"a" * 65536)
    with pytest.warns(RuntimeWarning, match="full"), pytest.raises(DiskFull): d.write(1000, b"b" * 512)
    assert d.read(1000) == bytes(512)
    d.write(7, b"c" * 512)
    for wrong in ("many", -1, 1.5, True):
        with pytest.raises(ValueError, match="room="): Disk(bytes(512), room=wrong)
    with pytest.raises(ValueError, match="'ide' or 'virtio'"): Disk(bytes(512), bus="scsi")


def test_save_says_when_there_is_no_room(tmp_path, monkeypatch):
    def full(*args): raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="could not be saved.*No space left") as e: Disk(bytes(5120)).save(tmp_path / "x")
    assert "\n" not in str(e.value) and not list(tmp_path.iterdir())


def test_geometries():
    """ATA/ATAPI-6, 6.2: at most 16 heads of 63 sectors; a partition table made for fewer is honoured."""
    assert geometry(Disk(bytes(512 * 1008 * 20))) == (20, 16, 63)
    assert geometry(Disk(bytes(512))) == (1, 1, 1) and geometry(Disk(bytes(512 * 100))) == (1, 1, 63)
    table = bytearray(512 * 4 * 17 * 615)                # a 20 MB disk of its time: 615 cylinders, 4 heads, 17 sectors
    size = 4 * 17 * 615 - 17
    table[446:462] = bytes((0x80, 1, 1, 0, 4, 3, 17 | 0x80, 0x66)) + (17).to_bytes(4, "little") + size.to_bytes(4, "little")
    table[510:512] = b"\x55\xAA"
    assert geometry(Disk(bytes(table))) == (615, 4, 17)
    table[446 + 5] = 254                                 # a BIOS translation of 255 heads is not the drive's
    assert geometry(Disk(bytes(table)))[1:] == (16, 63)


def test_cds():
    cd.check(Disk(bytes(2048), sector_size=2048))
    cd.check(Disk(bytes(2048 * 50), sector_size=2048))


class Listed(list):
    """Buffers that tell their addresses and sizes, as those of guest memory do."""
    def __init__(self, buffers):
        super().__init__(buffers)
        self.rows = np.array([(np.frombuffer(b, np.uint8).ctypes.data, len(b)) for b in self], np.int64).reshape(-1, 2)
        self.rows_at, self.size = self.rows.ctypes.data, sum(map(len, self))


@pytest.mark.parametrize("kind", [list, Listed])
@pytest.mark.parametrize("vectors", [True, False])
def test_sectors_into_buffers(tmp_path, monkeypatch, vectors, kind):
    """Of any sizes, and more than a host takes at once; from memory, from a file, from the layer of changes; also on hosts without preadv."""
    if not vectors: monkeypatch.delattr(image.os, "preadv", raising=False)
    r, data = random.Random(3), bytearray(random.Random(2).randbytes(3000 * 512))
    (tmp_path / "raw").write_bytes(data)
    for d in (Disk(tmp_path / "raw"), Disk(bytes(data))):
        content = bytearray(data)
        for sizes in ([512], [1, 511], [4096] * 3, [512] * 2100, [1] * 1100 + [948], [], [0, 512, 0], [700, 836]):
            for _ in range(3):
                lba = r.randrange(3000 - sum(sizes) // 512)
                if r.randrange(2): d.write(lba, new := r.randbytes(512)); content[512 * lba:512 * (lba + 1)] = new
                room = bytearray(sum(sizes) + 8)
                at, buffers = 4, []
                for n in sizes: buffers.append(memoryview(room)[at:at + n]); at += n
                d.read_into(lba, kind(buffers))
                assert room == bytes(4) + content[512 * lba:512 * lba + sum(sizes)] + bytes(4)
        for lba, n in ((3000, 512), (0, 100)):
            with pytest.raises(ValueError, match="sectors"): d.read_into(lba, kind([memoryview(bytearray(n))]))


@pytest.mark.parametrize("kind", [list, Listed])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_file_that_becomes_shorter(tmp_path, monkeypatch, vectors, kind):
    if not vectors: monkeypatch.delattr(image.os, "preadv", raising=False)
    (tmp_path / "raw").write_bytes(bytes(1 << 20))
    d = Disk(tmp_path / "raw")
    with open(tmp_path / "raw", "r+b") as f: f.truncate(5000)
    for lba in (8, 9, 100):
        with pytest.raises(OSError, match="shorter"): d.read_into(lba, kind([memoryview(bytearray(1024))]))
        with pytest.raises(OSError, match="shorter"): d.read(lba, 2)
    d.read_into(0, kind([memoryview(bytearray(4096))]))

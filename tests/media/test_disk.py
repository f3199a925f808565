"""Disk images: what is refused, and a disk against a plain bytearray."""
import gzip
import lzma
import random

import pytest

from pyv86_nb.media.disk import Disk
from pyv86_nb.media.floppy import FORMATS, geometry


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and 20 < len(text) < 400
    return text


def test_what_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.img") as e: Disk(tmp_path / "nothing.img")
    one_sentence(e)
    with pytest.raises(ValueError, match="directory") as e: Disk(tmp_path)
    one_sentence(e)
    with pytest.raises(ValueError, match="empty") as e: Disk(b"")
    one_sentence(e)
    with pytest.raises(ValueError, match="1,000 bytes.*512-byte") as e: Disk(bytes(1000))
    one_sentence(e)
    with pytest.raises(TypeError, match="int"): Disk(5)
    (tmp_path / "bad.gz").write_bytes(gzip.compress(bytes(5120))[:-9])
    with pytest.raises(ValueError, match="damaged"): Disk(tmp_path / "bad.gz")
    with pytest.raises(ValueError, match="1,475,072 bytes is not a floppy; floppies have 160K") as e:
        geometry(1_475_072)
    one_sentence(e)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "path", "str", "gz", "xz"])
def test_a_disk_is_its_bytes_and_the_original_stays(tmp_path, kind):
    r = random.Random(kind)
    original = r.randbytes(512 * 61)                                       # the last block is not whole
    path = tmp_path / "disk.img"
    path.write_bytes({"gz": gzip.compress, "xz": lzma.compress}.get(kind, bytes)(original))
    stored, array = path.read_bytes(), bytearray(original)
    d = Disk({"bytes": original, "bytearray": array, "str": str(path)}.get(kind, path))
    oracle = bytearray(original)
    for _ in range(300):
        n = r.randrange(0, 20); lba = r.randrange(0, 62 - n)
        if r.random() < .3:
            data = r.randbytes(n * 512)
            d.write(lba, data); oracle[lba * 512:(lba + n) * 512] = data
        assert d.read(lba, n) == oracle[lba * 512:(lba + n) * 512]
    assert d.image() == oracle and d.changed and len(d) == len(oracle) and d.sectors == 61
    d.save(tmp_path / "new.img"); assert (tmp_path / "new.img").read_bytes() == oracle
    assert path.read_bytes() == stored and array == original
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.img", "new.img"]


def test_changes_can_be_put_back():
    d = Disk(bytes(8192)); d.write(1, b"a" * 512); before = d.changes()
    d.write(1, b"b" * 512); d.write(9, b"c" * 512); d.restore(before)
    assert d.read(1) == b"a" * 512 and d.read(9) == bytes(512)


def test_beyond_the_end_and_write_protect():
    d = Disk(bytes(2048), write_protect=True)
    for call in (lambda: d.read(4), lambda: d.read(-1), lambda: d.read(3, 2)):
        with pytest.raises(ValueError, match="sectors 0 to 3"): call()
    with pytest.raises(ValueError, match="write protected"): d.write(0, bytes(512))
    with pytest.raises(ValueError, match="whole sectors"): d.write(0, b"x")
    assert Disk(bytes(4096), sector_size=2048).read(1) == bytes(2048)


def test_save_refuses_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="directory"): Disk(bytes(512)).save(tmp_path)
    with pytest.raises(FileNotFoundError, match="no directory"): Disk(bytes(512)).save(tmp_path / "a" / "b.img")
    with pytest.raises(TypeError, match="saved to a path, not to 5"): Disk(bytes(512)).save(5)


def test_floppy_formats_are_told_by_size():                                # the sizes DOS and the drives' manuals give
    sizes = {"160K": 163840, "180K": 184320, "320K": 327680, "360K": 368640, "720K": 737280, "1.2M": 1228800,
             "1.44M": 1474560, "2.88M": 2949120}
    assert {g.name: s for s, g in FORMATS.items()} | sizes == {g.name: s for s, g in FORMATS.items()}
    g = geometry(1_474_560)
    assert (g.cylinders, g.heads, g.sectors, g.rate, g.rpm, g.cmos_type) == (80, 2, 18, 500, 300, 4)
    assert g.lba(0, 0, 1) == 0 and g.lba(0, 1, 1) == 18 and g.lba(79, 1, 18) == 2879

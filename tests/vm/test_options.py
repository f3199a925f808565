"""Bad input: one sentence that says what was given, what is expected, what to do; and nothing is left behind."""
import datetime
import errno

import pytest

from pyv86_nb import options
from pyv86_nb.vm import VM

BAD = [
    (dict(memory=0), ValueError, "1M to 3G"),
    (dict(memory="5G"), ValueError, "1M to 3G"),
    (dict(memory=5 << 30), ValueError, "1M to 3G"),
    (dict(memory="much"), ValueError, "\"64M\""),
    (dict(memory=-4096), ValueError, "1M to 3G"),
    (dict(memory=None), TypeError, "\"64M\""),
    (dict(memory=1.5), TypeError, "\"64M\""),
    (dict(memory=5_000_001), ValueError, "4K pages"),
    (dict(memory="256K"), ValueError, "1M to 3G"),
    (dict(memry="64M"), TypeError, "did you mean memory="),
    (dict(wibble=1), TypeError, "the options are"),
    (dict(tier="turbo"), ValueError, "\"native\""),
    (dict(cpu="z80"), ValueError, "\"max\""),
    (dict(clock="sundial"), ValueError, "\"wall\""),
    (dict(mips=0), ValueError, "out of range"),
    (dict(mips=float("nan")), ValueError, "out of range"),
    (dict(mips=100_000), ValueError, "to 50000"),
    (dict(mips="fast"), TypeError, "number of millions"),
    (dict(boot="x"), ValueError, "a (floppy)"),
    (dict(boot="aa"), ValueError, "at most once"),
    (dict(boot=1), TypeError, "letters"),
    (dict(rtc="noon"), ValueError, "1994-05-01"),
    (dict(rtc=5), TypeError, "datetime"),
    (dict(rtc="1970-01-01"), ValueError, "1980 to 2079"),
    (dict(seed="x"), TypeError, "int"),
    (dict(bare="naked"), ValueError, "\"real\""),
    (dict(bare="real", bios=b"x" * 65536), ValueError, "leave one"),
    (dict(kernel="no/vmlinuz"), FileNotFoundError, "does not exist"),
    (dict(cmdline="quiet"), ValueError, "without kernel="),
    (dict(hda="disk.img"), FileNotFoundError, "does not exist"),
    (dict(cdrom="cd.iso"), FileNotFoundError, "does not exist"),
    (dict(hda=bytes(100)), ValueError, "less than a sector"),
    (dict(hdc=bytes(1000)), ValueError, "512-byte sectors"),
    (dict(cdrom=bytes(3000)), ValueError, "2048-byte sectors"),
    (dict(hda=bytes(512), hdb=bytes(512), hdc=bytes(512), hdd=bytes(512), cdrom=bytes(2048)), ValueError, "room for four drives"),
    (dict(fda="no/such.img"), FileNotFoundError, "does not exist"),
    (dict(fda=b""), ValueError, "empty"),
    (dict(fda=bytes(1000)), ValueError, "512-byte sectors"),
    (dict(fda=5), TypeError, "path or bytes"),
    (dict(cdrom=""), ValueError, "empty text"),
    (dict(fda="\0"), ValueError, "zero character"),
    (dict(hda="x" * 5000), ValueError, "too long"),
    (dict(hdb="~nobody of this name/x"), FileNotFoundError, "does not exist"),
    (dict(kernel="/dev/null"), ValueError, "neither a file nor a disk"),
    (dict(bios="openbios"), FileNotFoundError, "\"seabios\""),
    (dict(bios="no/such.bin"), FileNotFoundError, "does not exist"),
]


@pytest.mark.parametrize("given, error, words", BAD, ids=lambda v: repr(v)[:40])
def test_bad_input_is_refused_in_one_sentence(given, error, words):
    with pytest.raises(error) as e:
        VM(**given)
    text = str(e.value)
    assert words in text and "\n" not in text
    assert any(str(name) in text for name in given) or any(repr(v) in text for v in given.values())


@pytest.mark.parametrize("name", ["on_port", "on_instruction", "breakpoints", "watchpoints", "back", "goto"])
def test_what_is_not_there_yet_is_refused_in_one_sentence(name):
    with VM(bare="real") as vm, pytest.raises(AttributeError, match=f"^vm.{name} does not exist in this version; [^\n]*$"):
        getattr(vm, name)


def test_a_directory_and_an_empty_file(tmp_path):
    with pytest.raises(ValueError, match="is a directory"):
        VM(fda=tmp_path)
    (tmp_path / "empty.img").touch()
    with pytest.raises(ValueError, match="empty"):
        VM(fda=tmp_path / "empty.img")
    (tmp_path / "odd.img").write_bytes(bytes(513))
    with pytest.raises(ValueError, match="sectors"):
        VM(fda=str(tmp_path / "odd.img"))


def test_a_file_that_is_not_ours_to_read(tmp_path, monkeypatch):
    (tmp_path / "secret.img").write_bytes(bytes(512))
    def refuse(*_): raise PermissionError(errno.EACCES, "Permission denied")         # a test may be run by root, who reads anything
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ValueError, match=r"^hda='.*secret.img' cannot be opened \(Permission denied\); [^\n]*$"):
        options.check(hda=tmp_path / "secret.img")


@pytest.mark.parametrize("given, n", [("64M", 64 << 20), ("1G", 1 << 30), ("4096k", 4 << 20), (1 << 20, 1 << 20), ("16MiB", 16 << 20)])
def test_memory_sizes(given, n):
    assert options.memory_size(given) == n


def test_what_is_given_is_kept_in_one_form():
    o = options.check(memory="2M", bare=True, rtc="1994-05-01 12:30", mips=2.5)
    assert (o.memory, o.bare, o.rtc, o.ticks_per_second) == (2 << 20, "flat", datetime.datetime(1994, 5, 1, 12, 30), 2_500_000)
    assert options.check(rtc=datetime.date(1994, 5, 1)).rtc == datetime.datetime(1994, 5, 1)


def test_what_a_serial_line_and_an_empty_drive_refuse():
    with VM(bare="real") as vm:
        for given in ("x", 5, None, 3.5, [1, 2]):                          # bytes(5) would be five zeros
            with pytest.raises(TypeError, match=r"write takes bytes, not"): vm.serial[0].write(given)
        with pytest.raises(ValueError, match="make a VM with hda="): vm.hda.save("x")
        with pytest.raises(ValueError, match="put one in with vm.cdrom.insert"): vm.cdrom.save("x")
        assert vm.input_log == []


def test_disks_are_named_where_the_machine_is():
    import pyv86_nb
    from pyv86_nb.media.disk import Disk
    assert pyv86_nb.Disk is Disk

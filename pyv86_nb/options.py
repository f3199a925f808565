"""What `VM(...)` may be given, and the one sentence it answers when it is given something else.

Nothing is built here, so a refused call leaves nothing behind.
"""
from __future__ import annotations

import datetime
import difflib
import math
import os
import re
import stat
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .media.disk import Disk

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
PAGE, LEAST, MOST = 1 << 12, 1 << 20, 3 << 30             # above 3 GiB begin the PCI devices and the BIOS
LEAST_MIPS = 1.2                                         # an 8254 pulse lasts one CLK of 1.193182 MHz; with fewer ticks a second it would vanish
MOST_MIPS = 50_000                                       # the chips' times, products of ticks and crystals of 100 MHz, stay within 64 bits
TIERS = ("auto", "python", "threaded", "native")
CLOCKS = ("auto", "virtual", "wall")
BARE = {False: "", True: "flat", "flat": "flat", "real": "real"}
CPUS = ("486", "pentium", "pentium3", "pentium4", "max")
MEDIA = ("fda", "fdb", "hda", "hdb", "hdc", "hdd", "cdrom")
BOOT_LETTERS = {"a": "floppy", "c": "disk", "d": "CD"}


@dataclass(frozen=True)
class Options:
    """The arguments of `VM`, checked and in one form each."""

    memory: int = 64 << 20
    bios: Any = None
    vga_bios: Any = None
    fda: Any = None
    fdb: Any = None
    hda: Any = None
    hdb: Any = None
    hdc: Any = None
    hdd: Any = None
    cdrom: Any = None
    boot: str = "cda"
    clock: str = "auto"
    mips: float = 100
    rtc: datetime.datetime | None = None
    seed: int = 0
    cpu: str = "max"
    tier: str = "auto"
    bare: Any = False
    kernel: Any = None
    initrd: Any = None                                   # (name, bytes) of each module
    cmdline: str = ""

    @property
    def ticks_per_second(self) -> int:
        return rate(self.mips)


NAMES = sorted(f.name for f in fields(Options))


def check(**given: Any) -> Options:
    """Options from the keywords of `VM`.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        With one sentence: what was given, what is expected, what to do.
    """
    for name in given:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean {near[0]}=" if near else "the options are " + ", ".join(NAMES)
            raise TypeError(f"VM() has no option {name}=; {hint}")
    o = Options(**given)
    made: dict[str, Any] = dict(
        memory=memory_size(o.memory), boot=boot_order(o.boot), clock=one_of("clock", o.clock, CLOCKS), tier=one_of("tier", o.tier, TIERS),
        cpu=one_of("cpu", o.cpu, CPUS), mips=rate(o.mips) / 1e6, rtc=moment(o.rtc), seed=whole("seed", o.seed), bare=bareness(o.bare))
    if made["bare"]:
        for name in ("bios", "vga_bios"):
            if getattr(o, name) is not None:
                raise ValueError(f"{name}= was given together with bare={o.bare!r}, which means no firmware; leave one of them out")
    made |= kernel_options(o)
    media = {name: source(name, getattr(o, name)) for name in ("bios", "vga_bios", *MEDIA)}
    return Options(**made, **media)


def kernel_options(o: Options) -> dict[str, Any]:
    """The kernel as bytes, its modules as (name, bytes), its command line."""
    if not isinstance(o.cmdline, str):
        raise TypeError(f"cmdline= takes a text, not {o.cmdline!r}")
    if o.kernel is None:
        for name, what in (("initrd", o.initrd), ("cmdline", o.cmdline)):
            if what:
                raise ValueError(f"{name}= was given without kernel=; name the kernel that it is for")
        return dict(kernel=None, initrd=(), cmdline="")
    if o.bare:
        raise ValueError(f"kernel= was given together with bare={o.bare!r}, which means no firmware; leave bare= out, or use vm.load()")
    given = o.initrd if isinstance(o.initrd, (list, tuple)) else [] if o.initrd is None else [o.initrd]
    modules = [m if isinstance(m, tuple) and len(m) == 2 else (module_name(m), m) for m in given]
    return dict(kernel=contents("kernel", o.kernel), initrd=tuple((name, contents("initrd", m)) for name, m in modules), cmdline=o.cmdline)


def module_name(given: Any) -> str:
    return Path(given).name if isinstance(given, (str, os.PathLike)) else "module"


def contents(name: str, given: Any) -> bytes:
    """The bytes of a file, or the bytes given."""
    found = source(name, given)
    return found.read_bytes() if isinstance(found, Path) else bytes(found)


def memory_size(given: int | str) -> int:
    """Bytes of RAM from an int or a text such as "640K", "64M", "1G"."""
    text = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", given.strip(), re.I) if isinstance(given, str) else None
    if isinstance(given, str) and text is None:
        raise ValueError(f"memory={given!r} is not a size; write bytes as an int, or a text such as \"64M\" or \"1G\"")
    if not isinstance(given, (int, str)) or isinstance(given, bool):
        raise TypeError(f"memory= takes an int of bytes or a text such as \"64M\", not {given!r}")
    n = int(text[1]) * UNITS[text[2].upper()] if text else int(given)
    if not LEAST <= n <= MOST:
        raise ValueError(f"memory={given!r} is {n:,} bytes; this PC takes from 1M to 3G")
    if n % PAGE:
        raise ValueError(f"memory={given!r} is not a whole number of 4K pages; the nearest is {max(n // PAGE * PAGE, LEAST)}")
    return n


def rate(mips: float) -> int:
    """Ticks per guest second from millions a second."""
    if isinstance(mips, bool) or not isinstance(mips, (int, float)):
        raise TypeError(f"mips= takes a number of millions of instructions a guest second, not {mips!r}")
    if not math.isfinite(mips) or not LEAST_MIPS <= mips <= MOST_MIPS:
        raise ValueError(f"mips={mips!r} is out of range; give a number from {LEAST_MIPS} (the timer's own clock) to {MOST_MIPS}; the default is 100")
    return round(mips * 1e6)


def boot_order(given: str) -> str:
    if not isinstance(given, str):
        raise TypeError(f"boot= takes letters in order, such as \"cda\", not {given!r}")
    if not given or len(set(given)) != len(given) or set(given) - set(BOOT_LETTERS):
        raise ValueError(f"boot={given!r} is not an order of boot devices; use each of a (floppy), c (disk), d (CD) at most once")
    return given


def one_of(name: str, given: str, allowed: tuple[str, ...]) -> str:
    if given in allowed:
        return given
    raise ValueError(f"{name}={given!r} is unknown; use " + " or ".join(f'"{a}"' for a in allowed))


def whole(name: str, given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{name}= takes an int, not {given!r}")
    return given


def bareness(given: bool | str) -> str:
    if isinstance(given, (bool, str)) and given in BARE:
        return BARE[given]
    raise ValueError(f"bare={given!r} is unknown; use False (firmware), \"real\" (real mode) or \"flat\" (32-bit protected mode)")


def moment(given: datetime.datetime | datetime.date | str | None) -> datetime.datetime | None:
    """Date and time at power-on: a datetime, or ISO text such as "1994-05-01 12:00"."""
    if given is None or isinstance(given, datetime.datetime):
        made = given
    elif isinstance(given, datetime.date):
        made = datetime.datetime(given.year, given.month, given.day)
    elif isinstance(given, str):
        try:
            made = datetime.datetime.fromisoformat(given)
        except ValueError:
            raise ValueError(f"rtc={given!r} is not a date and time; write it as \"1994-05-01 12:00:00\"") from None
    else:
        raise TypeError(f"rtc= takes a datetime or a text such as \"1994-05-01 12:00:00\", not {given!r}")
    if made is not None and not 1980 <= made.year <= 2079:
        raise ValueError(f"rtc={given!r} has the year {made.year}; a PC's clock holds 1980 to 2079")
    return made


def source(name: str, given: Any) -> Any:
    """A path that can be read, bytes, or an object that is a medium already; a word for firmware."""
    if given is None or isinstance(given, Disk):
        return given
    if isinstance(given, (bytes, bytearray, memoryview)):
        return sized(name, bytes(given), "the bytes given")
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"{name}= takes a path or bytes, not {type(given).__name__}")
    if name.endswith("bios") and isinstance(given, str) and os.sep not in given and not (given and os.path.exists(given)):
        if given == "seabios":
            return given
        raise FileNotFoundError(f"{name}={given!r} is neither a firmware known by that word (\"seabios\") nor an existing file")
    return file(name, given)


def file(name: str, given: str | os.PathLike[str]) -> Path:
    """The path of a readable file that is not empty."""
    what = f"{name}={str(given)!r:.200}"
    if not os.fspath(given):
        raise ValueError(f"{what} is an empty text; give the path of an image file, or leave {name}= out")
    path = Path(os.path.expanduser(os.fsdecode(given)))  # which leaves a ~ of nobody as it is
    if "\0" in str(path):
        raise ValueError(f"{what} holds a zero character, which no path has; give the path of an image file")
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ValueError(f"{what} is a directory; give the path of an image file")
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise ValueError(f"{what} is neither a file nor a disk of the host; give the path of an image file")
        with open(path, "rb") as f:
            size = f.seek(0, os.SEEK_END)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{what} does not exist (looked in {path.absolute().parent}); give the path of an image file") from None
    except OSError as e:
        raise ValueError(f"{what} cannot be opened ({e.strerror}); give the path of an image file that can be read") from None
    if not size:
        raise ValueError(f"{name}= is empty ({given} has 0 bytes); give an image with something in it")
    return path


def sized(name: str, data: bytes, what: str) -> bytes:
    if not data:
        raise ValueError(f"{name}= is empty ({what} has 0 bytes); give an image with something in it")
    return data

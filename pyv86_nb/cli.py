"""The command line: `pyv86-nb run` boots a PC without a screen, `pyv86-nb doctor` says what works on this machine, `pyv86-nb wiring` what is soldered
to what.

    pyv86-nb run --fda dos.img --until 'A:\\>' --type 'dir\\n' --until 'bytes free' --screenshot dir.png --json

Exit status of `run`: 0 when every `--until` was met (or none was given and the run came to its end), 1 when one was not,
2 for an option or a file that cannot be used, 130 when interrupted.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

MEDIA = ("fda", "fdb", "hda", "hdb", "hdc", "hdd", "cdrom", "kernel", "initrd")
BAD_OPTION, NOT_MET, INTERRUPTED = 2, 1, 130


class Step(argparse.Action):
    """`--until` and `--type` may be given several times; they are done in the order they stand in."""

    def __call__(self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, name: str | None = None) -> None:
        args.steps = [*args.steps, (self.dest, value)]


def keys(text: str) -> str:
    """The text of `--type`, in which \\n is Enter, \\t is Tab and \\\\ is one backslash."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")


def parser() -> argparse.ArgumentParser:
    """The options, as `--help` prints them."""
    top = argparse.ArgumentParser(prog="pyv86-nb", description="An x86 PC in Python.", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="run|doctor|wiring")
    run = commands.add_parser("run", help="boot a PC without a screen", allow_abbrev=False, epilog="Without a disk it boots the demonstration disk.")
    disks = run.add_argument_group("what is in it")
    disks.add_argument("--fda", metavar="FILE", help="floppy in the first drive")
    disks.add_argument("--fdb", metavar="FILE", help="floppy in the second drive")
    disks.add_argument("--hda", metavar="FILE", help="hard disk: a raw image or qcow2, also packed with gzip, xz or zstd")
    for other in ("hdb", "hdc", "hdd"):
        disks.add_argument(f"--{other}", metavar="FILE", help=argparse.SUPPRESS)
    disks.add_argument("--cdrom", metavar="FILE", help="CD: an ISO image")
    disks.add_argument("--kernel", metavar="FILE", help="Linux bzImage or multiboot ELF, loaded without a boot loader")
    disks.add_argument("--initrd", metavar="FILE")
    disks.add_argument("--append", metavar="TEXT", help="command line of the kernel")
    disks.add_argument("--bios", metavar="FILE", help="firmware (default: SeaBIOS)")
    disks.add_argument("--memory", metavar="SIZE", default="64M", help="RAM, such as 640K, 64M, 1G (default 64M)")
    disks.add_argument("--boot", metavar="ORDER", help="order of a floppy, c disk, d CD (default cda)")
    disks.add_argument("--tier", metavar="TIER", help="auto, python, threaded or native (default auto)")
    ends = run.add_argument_group("what it does", "until and type are done in the order they stand in")
    ends.set_defaults(steps=[])
    ends.add_argument("--until", metavar="TEXT", action=Step, help="run until TEXT is written to the text screen or COM1")
    ends.add_argument("--type", metavar="TEXT", action=Step, help="type TEXT; \\n is Enter")
    ends.add_argument("--timeout", metavar="S", type=float, help="give up after S seconds of host time")
    ends.add_argument("--seconds", metavar="S", type=float, help="end after S seconds of guest time")
    ends.add_argument("--instructions", metavar="N", type=int, help="end after N instructions")
    out = run.add_argument_group("what it leaves")
    out.add_argument("--screenshot", metavar="PNG", help="the screen at the end")
    out.add_argument("--serial", metavar="FILE", help="what was written to COM1; - is standard output")
    out.add_argument("--json", action="store_true", help="print one JSON object instead of the screen")
    doctor = commands.add_parser("doctor", help="say what is compiled, which tier works and which firmware was found", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    commands.add_parser("wiring", help="print the board's ports, interrupt lines and wires as Markdown", allow_abbrev=False)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """The console script.  Answers the exit status."""
    args = parser().parse_args(argv)
    try:
        return {"run": run, "doctor": doctor, "wiring": wiring}[args.command](args)
    except (ValueError, TypeError, OSError) as refusal:                # what the machine refuses is one sentence already
        if os.environ.get("PYV86_TRACEBACK"):
            raise
        print(f"pyv86-nb: {refusal}", file=sys.stderr)
        return BAD_OPTION
    except KeyboardInterrupt:
        print("pyv86-nb: interrupted", file=sys.stderr)
        return INTERRUPTED


# RUN

def run(args: argparse.Namespace) -> int:
    """`pyv86-nb run`: do the steps, leave what was asked for, answer the exit status."""
    for name in ("screenshot", "serial"):
        folder = os.path.dirname(getattr(args, name) or "") or "."
        if not os.path.isdir(folder):
            raise ValueError(f"--{name} {getattr(args, name)}: the folder {folder} does not exist; make it first")
    for name in ("timeout", "seconds", "instructions"):
        if (value := getattr(args, name)) is not None and not 0 <= value < float("inf"):
            raise ValueError(f"--{name} {value}: a number of 0 or more was expected")
    began = time.perf_counter()
    with progress(quiet=False):
        vm = machine(args)
    with vm:
        ready = time.perf_counter()
        first = vm.instructions
        stop, met, wanted = steps(vm, args, ready)
        wall = time.perf_counter() - ready
        if args.screenshot:
            with open(args.screenshot, "wb") as f:
                f.write(vm.screen.png())
        if args.serial == "-":
            sys.stdout.write(vm.serial[0].text)
        elif args.serial:
            with open(args.serial, "w", encoding="utf-8", newline="") as f:
                f.write(vm.serial[0].text)
        if args.json:
            mips = round((stop.instructions - first) / wall / 1e6, 1) if wall else 0.0
            print(json.dumps(dict(
                reason=stop.reason, instructions=stop.instructions, time=round(stop.time, 6), detail=stop.detail, met=met == wanted,
                wall=round(wall, 3), mips=mips, start=round(ready - began, 3), tier=vm.tier)))
        elif args.serial != "-":
            print("\n".join(row.rstrip() for row in vm.screen.text()).rstrip())
            print(f"-- {stop}", file=sys.stderr)
    return 0 if met == wanted and stop.reason not in ("triple-fault",) else NOT_MET


def machine(args: argparse.Namespace) -> Any:
    """The VM that the options describe; the demonstration disk where no disk is given."""
    from pyv86_nb import VM

    given = {name: getattr(args, name) for name in (*MEDIA, "bios", "boot", "tier") if getattr(args, name) is not None}
    if args.append is not None:
        given["cmdline"] = args.append
    if any(name in given for name in (*MEDIA, "cmdline")):
        return VM(memory=args.memory, **given)
    from pyv86_nb import demo

    print("pyv86-nb: no disk was given; booting the demonstration disk", file=sys.stderr)
    if "bios" in given:
        return VM(memory=args.memory, fda=demo.disk(), **given)
    vm = VM(memory=args.memory, bare="real", **given)
    vm.load(demo.ORIGIN, demo.program(), entry=demo.ORIGIN)
    return vm


def steps(vm: Any, args: argparse.Namespace, began: float) -> tuple[Any, int, int]:
    """Do `--until` and `--type` in order.  Answers the last `Stop`, how many untils were met and how many there were."""
    wanted, met, stop = sum(kind == "until" for kind, _ in args.steps), 0, None
    first, start = vm.instructions, vm.time
    for kind, text in args.steps:
        if kind == "type":
            vm.keyboard.type(keys(text))
            continue
        stop = go(vm, text, args, began, first, start)
        if stop.reason != "until":
            return stop, met, wanted
        met += 1
    an_end = args.seconds is not None or args.instructions is not None
    if stop is None or args.steps[-1][0] == "type" and an_end:
        stop = go(vm, None, args, began, first, start)
    return stop, met, wanted


def go(vm: Any, until: str | None, args: argparse.Namespace, began: float, first: int, start: float) -> Any:
    """Run towards one text within the limits of the whole command; a reset goes on."""
    while True:
        limits: dict[str, Any] = {}
        if args.timeout is not None:
            limits["timeout"] = max(args.timeout - (time.perf_counter() - began), 0)
        if args.seconds is not None:
            limits["seconds"] = max(args.seconds - (vm.time - start), 0)
        if args.instructions is not None:
            limits["instructions"] = max(args.instructions - (vm.instructions - first), 0)
        stop = vm.run(until=until, **limits)
        if stop.reason != "reset":
            return stop


# PROGRESS

class progress:
    """A context in which what has to be compiled shows a bar on standard error; nothing where all is cached."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.shown, self.began = quiet, False, time.perf_counter()
        self.bar: Any = None

    def __enter__(self) -> progress:
        from pyv86_nb.engine import cache

        self.before: Callable[[int, int, str], None] | None = cache.progress
        cache.progress = None if self.quiet else self.tell      # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        from pyv86_nb.engine import cache

        cache.progress = self.before                            # type: ignore[assignment]
        if self.bar is not None:
            self.bar.close()
        elif self.shown:
            print(f"\rpyv86-nb: compiled in {time.perf_counter() - self.began:.1f} s".ljust(70), file=sys.stderr)

    def tell(self, done: int, total: int, what: str) -> None:
        """The hook of engine/cache.py; nothing is shown in the first second, in which a cached start is over."""
        if not self.shown and time.perf_counter() - self.began < 1:
            return
        if not self.shown:
            self.shown = True
            try:
                from tqdm import tqdm

                bar = "{desc}: {percentage:3.0f}% {bar} {elapsed}"
                self.bar = tqdm(total=total, desc="compiling, once per machine", bar_format=bar, file=sys.stderr)
            except ImportError:
                self.bar = None
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
        else:
            print(f"\rpyv86-nb: compiling, once per machine: {done}/{total} {what}".ljust(70), end="", file=sys.stderr, flush=True)


# DOCTOR

COUNT = """
        mov     ecx, 10000000
1:      add     eax, ecx
        xor     edx, eax
        dec     ecx
        jnz     1b
        hlt
"""


def doctor(args: argparse.Namespace) -> int:
    """`pyv86-nb doctor`: compile what is not compiled yet, try each tier, look for firmware.  Answers the exit status."""
    import platform

    import llvmlite
    import numba
    import numpy

    from pyv86_nb.engine import cache

    began = time.perf_counter()
    with progress(quiet=args.json):
        tiers = {tier: try_tier(tier) for tier in ("native", "threaded", "python")}
    took = time.perf_counter() - began
    files = [p for p in cache.folder().rglob("*") if p.is_file()]
    found: dict[str, Any] = {
        "python": f"{platform.python_version()} on {platform.machine()}",
        "numba": f"{numba.__version__}, llvmlite {llvmlite.__version__}, numpy {numpy.__version__}",
        "cache": f"{cache.folder()} ({len(files)} files, {sum(p.stat().st_size for p in files) / 1e6:.1f} MB)",
        "compiled": f"{len(cache.misses)} parts now, in {took:.1f} s" if cache.misses else f"nothing now: all was cached ({took:.1f} s)",
        **{f"tier {name}": said for name, (_, said) in tiers.items()},
        "tier auto": next((name for name, (works, _) in tiers.items() if works), "none works"),
        **{what: look() for what, look in FIRMWARE.items()},
    }
    if args.json:
        print(json.dumps(found))
    else:
        width = max(map(len, found))
        for what, said in found.items():
            print(f"{what:{width}}  {said}")
    return 0 if tiers["threaded"][0] or tiers["native"][0] else NOT_MET


def wiring(args: argparse.Namespace) -> int:
    """`pyv86-nb wiring`: the page of board/wiring.py."""
    from .board.wiring import example, page

    with progress(quiet=True):
        board = example()
    print(page(board), end="")
    return 0


def try_tier(tier: str) -> tuple[bool, str]:
    """Whether this tier runs a loop of forty million instructions (as many as fit in a second), and how fast."""
    from pyv86_nb import VM, demo

    try:
        with VM(memory="1M", bare="flat", tier=tier) as vm:
            vm.load(0x1000, demo.assemble(COUNT, 0x1000, bits=32), entry=0x1000)
            vm.run(instructions=1000)
            start, first = time.perf_counter(), vm.instructions
            stop = vm.run(timeout=1)
            return True, f"works, {(stop.instructions - first) / (time.perf_counter() - start) / 1e6:.3g} MIPS on a small loop"
    except Exception as why:                                            # whatever it is, the report says so and goes on
        return False, f"does not work here: {type(why).__name__}: {why}"


def firmware(name: str) -> Callable[[], str]:
    """Says where a file of the seabios package is, or how to get it."""
    def look() -> str:
        path = f"/usr/share/seabios/{name}"
        return f"{path} ({os.path.getsize(path)} bytes)" if os.path.exists(path) else "not found; to install: apt-get install seabios"
    return look


FIRMWARE = {"SeaBIOS": firmware("bios.bin"), "VGA BIOS": firmware("vgabios-stdvga.bin")}

if __name__ == "__main__":
    sys.exit(main())

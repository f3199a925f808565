"""A PC for a notebook: `VM`.

    vm = VM(fda="freedos.img")
    vm.run(until="A:\\\\>")                # here and now, as fast as it goes; answers why it stopped
    vm.keyboard.type("dir\\n")
    vm                                    # as the last line of a cell: the screen;  vm.start() lets it run in the background

This file is the table of contents; the rooms are options (what may be given), assembly (memory, board, processor), runner (slices, clocks,
threads), inputs, watcher (`until`), and one file for each of `vm.regs`, `vm.memory`, `vm.screen`, ...
"""
from __future__ import annotations

import asyncio
import time as host_clock
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from . import assembly, disassembly, loader, options, snapshot, translate
from .drives import NAMES as DRIVES
from .drives import drives, medium
from .events import Events
from .inputs import Inputs
from .keyboard import Keyboard, Mouse, movements
from .memory_view import Memory
from .regs import Registers
from .runner import Goal, Runner, Waiter, interruptible
from .screen_view import Screen, view_state
from .serial import Serial
from .snapshot import Snapshot
from .stop import Stop
from .trace import Traces
from .watcher import Watcher

LONGEST = 1_000_000_000                                  # seconds that a run may be told to last
ABSENT = "on_port", "on_instruction", "breakpoints", "watchpoints", "back", "goto"     # names that are kept for a later version


class VM:
    """A PC.  Construction does not start it.

    Parameters
    ----------
    memory : int or str
        RAM in bytes, or "64M", "1G".
    bios, vga_bios : str, path or bytes, optional
        Firmware; None looks for SeaBIOS where Debian puts it.
    fda, fdb, hda, hdb, hdc, hdd, cdrom : path, bytes or Disk, optional
        Floppies, hard disks (raw, qcow2, or packed with gzip, xz or zstd) and a CD (ISO).  A file is never modified;
        `vm.hda.save(path)` writes the changed image.
    kernel, initrd, cmdline : path or bytes, path or bytes, str
        Started without a boot loader, before all disks: a Linux bzImage with its initial RAM disk, or a Multiboot kernel, for which initrd may
        be a list of modules.  An ELF file's symbols name addresses in `disassemble`.
    boot : str
        Boot order: a floppy, c disk, d CD.
    clock : {"auto", "virtual", "wall"}
        "virtual": as fast as the host can, deterministic.  "wall": real time.  "auto": virtual, but wall once displayed and started.
    mips : float
        Guest ticks per guest microsecond.
    rtc : datetime or str, optional
        Date and time at power-on; 2000-01-01 in virtual time, now in wall time.
    seed : int
        Everything random in the machine.
    cpu, tier : str
        CPU model: "486", "pentium", "pentium3", "pentium4", or "max", all that works; and which reader runs it: "auto", "python",
        "threaded", "native".
    bare : bool or {"flat", "real"}
        RAM and no firmware; see `load`.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        One sentence that says what was given, what was expected and what to do.
    """

    def __init__(self, memory: int | str = "64M", *, bios: Any = None, vga_bios: Any = None, fda: Any = None, fdb: Any = None,
                 hda: Any = None, hdb: Any = None, hdc: Any = None, hdd: Any = None, cdrom: Any = None, kernel: Any = None,
                 initrd: Any = None, cmdline: str = "", boot: str = "cda", clock: str = "auto", mips: float = 100, rtc: Any = None,
                 seed: int = 0, cpu: str = "max", tier: str = "auto", bare: bool | str = False, **unknown: Any) -> None:
        self._closed = True                              # until all went well
        self._options = o = options.check(
            memory=memory, bios=bios, vga_bios=vga_bios, fda=fda, fdb=fdb, hda=hda, hdb=hdb, hdc=hdc, hdd=hdd, cdrom=cdrom, kernel=kernel,
            initrd=initrd, cmdline=cmdline, boot=boot, clock=clock, mips=mips, rtc=rtc, seed=seed, cpu=cpu, tier=tier, bare=bare, **unknown)
        disks = [medium(n, getattr(o, n)) if getattr(o, n) is not None else (None, "") for n in DRIVES]
        self._machine = assembly.assemble(o, [d for d, _ in disks])
        self.regs, self.memory, self.screen = Registers(self), Memory(self), Screen(self)
        self.keyboard, self.mouse, self.serial = Keyboard(self), Mouse(self), Serial(self)
        self._drives = drives(self)
        self.fda, self.fdb, self.hda, self.hdb, self.hdc, self.hdd, self.cdrom = self._drives.values()
        for drive, (_, source) in zip(self._drives.values(), disks, strict=True):
            drive.source = source
        self.trace = Traces(self)
        self._machine.lines = [p.line for p in self.serial]
        self._events = Events(self)
        self._inputs = Inputs(self._events.apply, self._machine.keyboard_has_room)
        self._watcher = Watcher(self._machine.text_cells, self.serial[0].line)
        self._runner = Runner(self._machine, self._inputs, self._watcher, self.trace, self._machine.processor.tier)
        self._displayed = False
        self._closed = False

    # RUNNING

    def run(self, until: str | Callable[[VM], bool] | None = None, *, instructions: int | None = None, seconds: float | None = None,
            timeout: float | None = None) -> Stop:
        """Run here and now until the first of the given ends, and answer why it stopped.

        Parameters
        ----------
        until : str or callable, optional
            A text that appears on the text screen or COM1 in what is written from this call on, or since the last input if the guest has not
            answered it yet; a prompt that stood there before does not count (watcher.py says precisely).  Or `f(vm) -> bool`, asked at least
            every 10 ms of guest time.
        instructions : int, optional
            Retired instructions, exactly; a REP instruction is one.
        seconds : float, optional
            Guest time.
        timeout : float, optional
            Host time, in seconds.

        Raises
        ------
        RuntimeError
            While started, or closed.
        KeyboardInterrupt
            When interrupted: the machine is paused between two slices, and can go on.
        """
        self._check_at_rest("run")
        goal = self._goal(until, instructions, seconds, timeout)
        with interruptible(self._want_pause):
            return self._runner.foreground_run(goal)

    def step(self, n: int = 1) -> Stop:
        """Exactly n instructions."""
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"step({n!r}): give a number of instructions of 1 or more")
        self._check_at_rest("step")
        return self.run(instructions=int(n))

    def start(self) -> VM:
        """Run in the background; cells return at once.  Starting a started machine changes nothing."""
        self._check_open()
        if self._runner.foreground:
            raise RuntimeError("start() while run() is going on in another thread; wait for it, or pause()")
        if not self._runner.running:
            self._runner.start(lambda: self.clock == "wall")
        return self

    def pause(self) -> None:
        """Stop at the next slice boundary and wait until it stands still.  Nothing happens if it does."""
        self._check_open()
        self._runner.pause()

    def reset(self) -> None:
        """The reset button.  RAM and CMOS stay, as on a PC."""
        self._check_open()
        self._post("reset")
        self._settle_inputs()

    def power_button(self) -> None:
        """The power button, pressed and let go.  What follows is the guest's to do, if it has enabled ACPI's event (82371AB, PM1_STS bit 8);
        it is not held long enough to switch anything off by itself."""
        self._check_open()
        self._post("power_button")
        self._settle_inputs()

    def close(self) -> None:
        """Stop for good.  Every later call raises RuntimeError; closing twice does nothing."""
        if self._closed:
            return
        self._runner.pause()
        self._closed = True
        self._machine.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def __enter__(self) -> VM:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:
        def __getattr__(self, name):
            if name in ABSENT:
                raise AttributeError(f"vm.{name} does not exist in this version; vm.run(until=...), vm.step() and vm.snapshot() do")
            raise AttributeError(f"a VM has no attribute {name!r}")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._runner.pause_wanted = True

    async def wait_for(self, text: str, *, timeout: float | None = None) -> Stop:
        """Wait, without blocking the notebook, until the started machine shows `text` on the text screen or COM1.

        Counts what was written since the last input (power-on is one), whether or not the guest was quicker than this call, and uses up
        what it found: the next wait looks behind it.  Answers a `Stop` with reason "until", or "timeout" (host seconds), or why the
        machine stopped.

        Raises
        ------
        RuntimeError
            If the machine does not run and does not show the text.
        """
        self._check_open()
        self._check_text(text)
        self._check_time("timeout", timeout)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Stop] = loop.create_future()

        def answer(stop: Stop) -> None:
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(stop))

        waiter = Waiter(text, answer)
        with self._at_rest() as machine:
            self._watcher.look(machine.now)
            if not self._inputs.waiting and self._watcher.found(text, self._watcher.input, machine.now):
                return self._runner.stop_here("until")
            if not self._runner.running:
                why = f"; it stopped: {self._runner.last}" if self._runner.last else ""
                raise RuntimeError(f"wait_for({text!r}): the machine is not running, so it would wait for ever; start() it first{why}")
            self._runner.waiters.append(waiter)
        try:
            return await asyncio.wait_for(asyncio.shield(done), timeout)
        except TimeoutError:
            return self._runner.stop_here("timeout")
        finally:
            with self._runner.boundary(), suppress(ValueError):      # it may have been answered, and taken off the list
                self._runner.waiters.remove(waiter)

    # WHAT IT IS DOING

    @property
    def instructions(self) -> int:
        """Retired instructions since power-on."""
        self._check_open()
        return int(self._machine.processor.instructions)

    @property
    def time(self) -> float:
        """Guest seconds since power-on."""
        self._check_open()
        return self._machine.time

    @property
    def running(self) -> bool:
        """Whether it runs in the background."""
        return not self._closed and self._runner.running

    @property
    def state(self) -> str:
        """"running", "paused", "closed", or the reason of the last stop that needs attention: "halted", "triple-fault", "shutdown", "failed"."""
        if self._closed:
            return "closed"
        if self._runner.running or self._runner.foreground:
            return "running"
        if self._runner.failure is not None:
            return "failed"
        last = self._runner.last
        return last.reason if last and last.reason in ("halted", "triple-fault", "shutdown", "breakpoint", "watchpoint") else "paused"

    @property
    def last_stop(self) -> Stop | None:
        """How the last run ended, in the foreground or in the background."""
        return self._runner.last

    @property
    def clock(self) -> str:
        """The clock that `start()` uses now: "virtual" or "wall"."""
        chosen = self._options.clock
        return chosen if chosen != "auto" else "wall" if self._displayed else "virtual"

    @property
    def mips(self) -> float:
        """Guest ticks per guest microsecond.  Setting it is an input: guest time goes on without a jump."""
        self._check_open()
        return self._machine.ips / 1e6

    @mips.setter
    def mips(self, value: float) -> None:
        self._check_open()
        self._post("rate", options.rate(value))
        self._settle_inputs()

    @property
    def measured_mips(self) -> float:
        """Millions of instructions a host second, lately; 0 while it stands still."""
        return self._runner.measured_mips if self._runner.running or self._runner.foreground else 0.0

    @property
    def tier(self) -> str:
        """The reader that runs the processor."""
        return str(self._machine.processor.tier)

    @property
    def devices(self) -> dict[str, Any]:
        """The chips by name; a chip's fields have the names of its data sheet."""
        self._check_open()
        return dict(self._machine.chips)

    def timers(self) -> np.ndarray:
        """Structured array with a row for each PIT channel, the RTC, the ACPI PM timer, each HPET comparator, the APIC timer and the TSC.

        Fields: name, mode, reload, count, frequency (Hz of what it counts), period (s), next (guest s of the next output edge), output.
        """
        with self._at_rest() as machine:
            return machine.timers()

    @property
    def input_log(self) -> list[tuple[int, int, tuple[Any, ...]]]:
        """Every input applied: (tick, sequence, event)."""
        return list(self._inputs.log)

    # MEMORY AND CODE

    def load(self, addr: int | None, data: Any, *, entry: int | None = None) -> None:
        """Put bytes into memory at physical address `addr`, or an ELF file's segments (`addr=None`).

        Parameters
        ----------
        addr : int or None
        data : bytes, numpy array or path
        entry : int, optional
            The processor goes on at this offset of its code segment (EIP).  For an ELF file the default is its own.
        """
        self._check_open()
        pieces, start, symbols = loader.pieces(addr, data)
        for at, raw in pieces:
            if at < 0 or at + len(raw) > len(self.memory):
                raise ValueError(f"{len(raw):,} bytes at {at:#x} do not fit into {len(self.memory):,} bytes of memory; give the VM more with memory=")
        entry = start if entry is None else entry
        if entry is not None and (not isinstance(entry, int) or not 0 <= entry < 1 << 32):
            raise ValueError(f"entry={entry!r} is not an offset of 32 bits")
        for at, raw in pieces:
            self.memory.write(at, raw)
        if entry is not None:
            self.regs.eip = entry
        if symbols is not None:
            self._machine.symbols = symbols

    def translate(self, linear: int) -> translate.Walk:
        """The page walk of a linear address: `.physical`, each level's entry, or `.why` not."""
        with self._at_rest() as machine:
            get = machine.processor.get
            dword = lambda at: int.from_bytes(machine.memory.read(at, 4), "little")
            return translate.walk(int(linear), int(get("cr0")), int(get("cr3")), int(get("cr4")), dword)

    def disassemble(self, addr: int | None = None, n: int = 10) -> disassembly.Listing:
        """n instructions from linear address `addr` (default: CS:EIP), as rows with address, bytes, text, symbol.  Needs iced-x86."""
        with self._at_rest() as machine:
            return disassembly.listing(machine, self.translate, addr, n)

    # IN TIME

    def snapshot(self) -> Snapshot:
        """The whole machine at this instruction."""
        self._settle_inputs()
        with self._at_rest():
            return snapshot.take(self)

    def restore(self, s: Snapshot) -> None:
        """Go to where the snapshot was taken; the machine continues from there bit for bit.

        Raises
        ------
        ValueError
            For a snapshot of a machine with another memory size or firmware; this machine is unchanged.
        """
        if not isinstance(s, snapshot.Snapshot):
            raise TypeError(f"restore() takes a Snapshot, as vm.snapshot() or Snapshot.load(path) make it, not {s!r:.60}")
        with self._at_rest():
            self._inputs.waiting.clear()
            snapshot.put_back(self, s)

    @classmethod
    def from_snapshot(cls, s: Snapshot, *, tier: str = "auto") -> VM:
        """A new machine that continues where the snapshot was taken."""
        if not isinstance(s, snapshot.Snapshot):
            raise TypeError(f"from_snapshot() takes a Snapshot, as vm.snapshot() or Snapshot.load(path) make it, not {s!r:.60}")
        vm = cls(**snapshot.options_of(s), tier=tier, fdb=None)
        vm.restore(s)
        return vm

    # THE NOTEBOOK

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> Any:
        if self._closed:
            return {"text/plain": repr(self)}, {}
        from .notebook.pc_view import mimebundle

        self._displayed = True
        return mimebundle(self, include, exclude)

    def _view_state(self) -> dict[str, Any]:
        """What the screen is made of now, for a front end; see screen_view.view_state."""
        with self._at_rest() as machine:
            return view_state(machine)

    def __repr__(self) -> str:
        if self._closed:
            return "<VM: closed>"
        return f"<VM: {self._options.memory >> 10:,} KiB, {self.state}, {self.time:.3f} s, {self.instructions:,} instructions, {self.tier} tier>"

    # INPUTS: from any thread, applied between two slices

    def _post(self, event: str, *values: Any) -> None:
        """Queue an input; it is applied at a slice boundary, at once when the machine next runs, and logged with its tick."""
        self._check_open()
        if event not in self._events.KNOWN:
            raise ValueError(f"{event!r} is not an input of this machine; there are {', '.join(self._events.KNOWN)}")
        if event == "insert" and len(values) == 3 and isinstance(values[2], (bytes, bytearray, memoryview)):
            values = (values[0], values[1], medium(values[0], bytes(values[2]))[0])      # refused here, in the caller's thread
        if event == "paste":
            movements(values[0])
        self._inputs.post((event, *values))
        self._runner.wake()


    # RULES

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this VM is closed; make a new one with VM(...)")
        if self._runner.failure is not None:
            failure, self._runner.failure = self._runner.failure, None
            raise RuntimeError(f"the machine stopped in the background: {type(failure).__name__}: {failure}") from failure

    def _check_at_rest(self, what: str) -> None:
        self._check_open()
        if self._runner.running:
            raise RuntimeError(f"{what}() while the machine runs in the background; pause() it first, or await vm.wait_for(...)")
        if self._runner.foreground:
            raise RuntimeError(f"{what}() while another run() of this machine goes on; wait for it to end")

    @staticmethod
    def _check_text(text: Any) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a text to wait for is a str, not {text!r}")
        if not text.strip():
            raise ValueError(f"{text!r} has no visible character to wait for")

    @staticmethod
    def _check_time(name: str, value: Any) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LONGEST):
            given = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:20]}..."
            raise ValueError(f"{name}={given} is not a time; give a number of seconds from 0 to {LONGEST:,}, which is 31 years, or None for no end")

    def _goal(self, until: Any, instructions: Any, seconds: Any, timeout: Any) -> Goal:
        if instructions is not None and (isinstance(instructions, bool) or not isinstance(instructions, (int, np.integer)) or instructions < 0):
            raise ValueError(f"instructions={instructions!r} is not a count; give an int of 0 or more")
        self._check_time("seconds", seconds)
        self._check_time("timeout", timeout)
        goal, machine = Goal(wall=lambda: self._options.clock == "wall"), self._machine
        if isinstance(until, str):
            self._check_text(until)
            with self._at_rest():
                goal.text, goal.since = until, self._watcher.moment(machine.now, machine.ips, bool(self._inputs.waiting), bool(self._inputs.typing))
        elif callable(until):
            goal.ask = lambda: bool(until(self))
        elif until is not None:
            raise TypeError(f"until= takes a text or a callable f(vm) -> bool, not {until!r}")
        if instructions is not None:
            goal.instructions = int(machine.processor.instructions) + int(instructions)
        if seconds is not None:
            goal.tick = machine.now + round(seconds * machine.ips)
        if timeout is not None:
            goal.host = host_clock.perf_counter() + timeout
        return goal

    def _want_pause(self) -> None:
        self._runner.pause_wanted = True

    @contextmanager
    def _at_rest(self, *event: Any) -> Iterator[assembly.Machine]:
        """The machine between two slices; an `event` that the block carries out is logged when it has succeeded."""
        self._check_open()
        with self._runner.boundary():
            yield self._machine
            if event:
                self._inputs.note(self._machine.now, event)

    def _settle_inputs(self) -> None:
        """Apply what waits now, if nothing runs; a running machine does it by itself."""
        if not self._runner.running and not self._runner.foreground:
            with self._at_rest() as machine:
                if self._inputs.drain_posted(machine.now):
                    self._watcher.had_input(machine.now)

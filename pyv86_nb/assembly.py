"""A machine put together: memory, board and processor, and what the PC's rooms ask of them.

This is the only file of the VM that knows how the board names its chips.
"""
from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from . import compile
from . import screen as video
from .board import firmware, kernel_rom, timers
from .board.at_pc import at_pc
from .board.memory_map import store_bytes
from .board.rate import set_rate
from .devices.clock import Clock
from .devices.ide_drive import ATA, ATAPI, NO_DRIVE
from .devices.vga import Vga
from .engine import irq_trace, reasons
from .engine.memory import PAGE, PhysicalMemory
from .engine.models import offered
from .engine.processor import Processor, native_refused
from .media import hard_disk
from .media.elf import Symbols
from .media.floppy import geometry
from .options import Options

KEYS_IN_FLIGHT = 4                                       # typed text waits while more codes than this are on their way
NOTHING = np.zeros((0, 0), np.uint16)
SERIAL_LINES = 4
PATIENCE = 0.02                                          # host seconds after which a slice ends where chips have had to work in Python
NO_FIRMWARE = b"\xff" * 0x10000                          # what a socket without a ROM answers
DRIVES = {1: "360K", 2: "1.2M", 3: "720K", 4: "1.44M", 5: "2.88M"}
FLOPPIES, CD = 2, 6                                      # drives by number: fda, fdb, hda ... hdd, cdrom (drives.py)
CD_PLACES = 2, 3, 1, 0                                   # where the CD-ROM drive goes: secondary master, else the next free place
CS, D_BIT = 1, 0x4000                                    # engine/state.py, engine/segmentation.py


class Machine:
    """Memory, board, processor.  Everything here is called between two slices, by one thread at a time."""

    def __init__(self, memory: Any, board: Any, processor: Any) -> None:
        self.memory, self.board, self.processor = memory, board, processor
        self.chips = board.chips
        self.vga, self.keyboard, self.fdc = (self.chips.get(n) for n in ("vga", "kbc", "fdc"))
        self._glance = video.Glance(self.vga) if self.vga is not None else None
        self.uarts = [self.chips.get(f"com{n + 1}") for n in range(SERIAL_LINES)]
        self.watchable = [(chip, name) for chip, name in ((self.vga, "screen"), (self.uarts[0], "line")) if chip is not None]
        self.noticed = ""                                # "screen" or "line": what has ended the last slice
        self.places: dict[int, Any] = {}                 # drive number -> (chip, which of its drives)
        self.lines: list[Any] = []                       # watcher.Line of each serial port
        self.outgoing = [bytearray() for _ in range(SERIAL_LINES)]
        self.firmware = b"", b""                         # BIOS and VGA BIOS, for snapshots
        self.symbols = Symbols()                         # names of addresses, of the ELF file that was loaded last
        self.shift = 0                                   # what changes of the rate have taken from the board's count of ticks

    # TIME

    @property
    def now(self) -> int:
        """Ticks since power-on; they never run backwards."""
        return int(self.board.clock.now) + self.shift

    @property
    def ips(self) -> int:
        return int(self.board.clock.ips)

    @property
    def time(self) -> float:
        return int(self.board.clock.now) / self.ips

    def set_rate(self, ips: int) -> None:
        """Another number of ticks a guest second, from now on.  Guest time does not jump."""
        gone, cpu = set_rate(self.board, ips), self.processor.cpu
        self.processor.now = int(self.board.clock.now)
        cpu.tsc_offset += gone                           # what counts ticks goes on as if nothing had happened
        cpu.extra -= gone
        self.shift += gone

    @property
    def next_deadline(self) -> int:
        """The tick at which something falls due by itself."""
        return int(self.board.next_deadline()) + self.shift

    # RUNNING

    def run(self, ticks: int) -> str:
        """A slice.  Answers "" or a reason to stop, as `Stop` names it."""
        why = self.processor.run(ticks)
        self.noticed = self.lower_notice() if why == reasons.NOTICED else ""
        if why == reasons.HALTED:
            self.finish_sending()
        late = self.processor.now - int(self.board.clock.now)
        if late > 0:
            self.board.advance(late)
        return "" if why in (reasons.BUDGET, reasons.NOTICED) else reasons.NAMES[why]

    def finish_sending(self) -> None:
        """Nothing wakes the processor again; what it has given to its serial lines goes out all the same."""
        uarts = [u for n in range(SERIAL_LINES) if (u := self.uart(n)) is not None]
        while ends := [int(u.goes) for u in uarts if u.shifting]:
            wait = max(min(ends) - int(self.board.clock.now), 0)
            self.board.advance(wait)
            self.processor.cpu.extra += wait
            self.processor.now += wait

    def watch(self, on: bool) -> None:
        """End the slice in which the text screen or COM1 changes; once, then `noticed` says which of them it was."""
        for chip, _ in self.watchable:
            chip.watched = on

    def lower_notice(self) -> str:
        """The pin is lowered; who had raised it."""
        who = [name for chip, name in self.watchable if chip.NOTICE]
        for chip, _ in self.watchable:
            chip.NOTICE = 0
        self.board.settle()
        return who[0]

    def reset(self, why: str = "") -> None:
        """The reset button; or what the guest has asked for (why: "reset"), which may be the processor's alone."""
        whole = why != "reset" or self.board.reset_line()
        if why != "reset":
            self.board.reset()
        self.processor.reset(init=not whole)

    def press_power_button(self) -> None:
        for level in (1, 0): self.board.chips["pm"].pins.PWRBTN.set(level)

    @property
    def halted(self) -> bool:
        """In HLT, and nothing asks yet: no instruction is retired before the next deadline."""
        pins, words = self.board.pins, self.board.words
        return bool(self.processor.cpu.halted) and not words[pins["INTR"]] | words[pins["NMI"]]

    def detail(self, reason: str) -> str:
        """One sentence on a stop."""
        get = self.processor.get
        at = f"CS:EIP {int(get('cs')):04X}:{int(get('eip')):08X}"
        if reason == "triple-fault":
            return f"{', then '.join(self.processor.faults) or 'a fault that could not be delivered'} at {at}"
        if reason == "halted":
            return f"HLT with interrupts disabled, {at}; nothing can wake it but a reset"
        return at

    def close(self) -> None:
        self.outgoing = [bytearray() for _ in range(SERIAL_LINES)]

    # MEMORY, the windows of devices included

    def read(self, address: int, n: int) -> bytes:
        """n bytes as a read of the processor would show them; nothing changes by it."""
        out = bytearray(self.memory.read(address, n))
        for region, first, last in self._windows(address, n):
            out[first - address:last - address] = self.board.look(region, first, last - first)
        return bytes(out)

    def write(self, address: int, data: bytes) -> None:
        """Bytes as the processor would write them, one by one."""
        self.memory.write(address, data)
        for region, first, last in self._windows(address, len(data)):
            for i in range(first, last):
                self.board.memory_write(region, i, 1, data[i - address])

    def _windows(self, address: int, n: int) -> list[tuple[int, int, int]]:
        """(region, first, last) of what lies in device windows."""
        pages = range(address // PAGE, (address + n + PAGE - 1) // PAGE)
        found = [(int(self.memory.region[p]) - 1, p * PAGE) for p in pages if self.memory.region[p]]
        return [(region, max(at, address), min(at + PAGE, address + n)) for region, at in found]

    # CODE

    @property
    def code_base(self) -> int:
        return int(self.processor.cpu.segment[CS].base)

    @property
    def code_bits(self) -> int:
        return 32 if int(self.processor.cpu.segment[CS].rights) & D_BIT else 16

    # WHAT IS CONNECTED

    def text_cells(self) -> np.ndarray:
        """What `screen.text_cells` answers; the very same array while nothing has changed."""
        return self._glance() if self._glance is not None else NOTHING

    def key(self, code: str, down: bool) -> None:
        if self.keyboard is not None:
            (self.keyboard.press if down else self.keyboard.release)(code)

    def move_mouse(self, dx: int, dy: int, wheel: int) -> None:
        if self.keyboard is not None:
            self.keyboard.move_mouse(dx, dy, wheel)

    def mouse_button(self, n: int, down: bool) -> None:
        if self.keyboard is not None:
            self.keyboard.mouse_button(n, down)

    def scancodes(self, codes: bytes) -> None:
        if self.keyboard is not None:
            self.keyboard.scancodes(codes)

    def keyboard_has_room(self) -> bool:
        return self.keyboard is None or self.keyboard.room >= KEYS_IN_FLIGHT

    def uart(self, n: int) -> Any:
        return self.uarts[n]

    def collect(self) -> None:
        """Serial lines: what the guest sent, and what is on its way to it."""
        for n, uart in enumerate(self.uarts):
            if uart is None:
                continue
            data = uart.drain()
            if data:
                self.lines[n].came(bytes(data), self.now)
            if self.outgoing[n]:
                taken = uart.receive(bytes(self.outgoing[n]))
                del self.outgoing[n][:taken]

    def disk(self, number: int) -> Any:
        chip, n = self.place(number)
        return chip.disks[n] if chip is not None else None

    def place(self, number: int) -> tuple[Any, int]:
        """The chip and its drive that go by this number; None for a drive that is not there."""
        return (self.fdc, number) if number < FLOPPIES else self.places.get(number, (None, 0))

    def insert(self, number: int, disk: Any) -> None:
        """Change a medium, or build in a hard disk."""
        chip, n = self.place(number)
        if chip is None:
            raise ValueError(f"this machine has no {'floppy controller' if number < FLOPPIES else 'CD-ROM drive' if number == CD else 'such disk'}")
        if number == CD:
            chip.insert(n, disk)
        elif number >= FLOPPIES:
            chip.attach(n, disk, hard_disk.geometry(disk))
        elif disk is None:
            chip.eject(n)
        else:
            chip.insert(n, disk, geometry(disk.size))

    def put_disk(self, number: int, disk: Any) -> None:
        """A disk without the drive noticing: its fields come from a snapshot."""
        chip, n = self.place(number)
        if chip is not None:
            chip.disks[n] = disk

    # NUMBERS

    def timers(self) -> np.ndarray:
        return timers.table(self.board, int(self.board.clock.now) + int(self.processor.cpu.tsc_offset))


    # THE INTERRUPT TRACE: the board writes it

    def irq_ring(self, capacity: int) -> None:
        """Begin anew with a ring of `capacity` rows."""
        self.board.bus.resize_trace(capacity)
        self.irq_recording(True)

    def irq_recording(self, on: bool) -> None:
        self.board.bus.irq[irq_trace.ON] = on

    def irq_clear(self) -> None:
        self.board.bus.irq[irq_trace.HEAD] = 0


def assemble(o: Options, disks: list[Any]) -> Machine:
    """The PC that the options ask for, at power-on."""
    cd = cd_place(disks)
    tier = o.tier if o.tier != "auto" else "threaded" if native_refused() else "native"
    bios = NO_FIRMWARE if o.bare else firmware.bios(o.bios)
    vga_bios = b"" if o.bare else firmware.vga_bios(o.vga_bios)
    kernel = kernel_rom.kernel(o.kernel, list(o.initrd), o.cmdline, o.memory) if o.kernel is not None else None
    compile.prepare(tier)
    memory = PhysicalMemory(o.memory, store_bytes(bios, Vga))
    start = o.rtc or (datetime.datetime.now() if o.clock == "wall" else datetime.datetime(2000, 1, 1))
    hard = disks[FLOPPIES:CD]
    board = at_pc(memory, fda=drive_type(disks[0]) or "1.44M", fdb=drive_type(disks[1]),
                  ide=kinds(hard, cd), virtio=sum(on(d, "virtio") for d in hard),
                  disks=[hard_disk.geometry(d) if on(d, "ide") else None for d in hard], boot=o.boot, rtc_start=start, bios=bios,
                  vga_bios=vga_bios, local_apic="apic" in offered(o.cpu, True), kernel=kernel, clock=Clock(ips=o.ticks_per_second))
    processor = Processor(memory, tier, board, model=o.cpu, apic=True, seed=o.seed)
    processor.patience = PATIENCE
    if o.bare:
        (processor.flat if o.bare == "flat" else processor.real)()
    machine = Machine(memory, board, processor)
    machine.firmware = bios, vga_bios
    if kernel is not None:
        machine.symbols = kernel.symbols
    channels = board.chips["ide0"], board.chips["ide1"]
    machine.places = {FLOPPIES + i: (channels[i // 2], i % 2) for i, d in enumerate(hard) if on(d, "ide")}
    virtio = [FLOPPIES + i for i, d in enumerate(hard) if on(d, "virtio")]
    machine.places |= {n: (chip, 0) for n, (chip, _) in zip(virtio, board.virtio, strict=True)}
    if cd is not None:
        machine.places[CD] = channels[cd // 2], cd % 2
    for n, disk in enumerate(disks):
        if disk is not None:
            machine.insert(n, disk)
    return machine


def drive_type(disk: Any) -> str | None:
    """The floppy drive for a disk, as the setup program of a PC names it."""
    return DRIVES[geometry(disk.size).cmos_type] if disk is not None else None


def on(disk: Any, bus: str) -> bool:
    """Whether there is a disk, and it is connected this way."""
    return disk is not None and disk.bus == bus


def cd_place(disks: list[Any]) -> int | None:
    """Which of the four IDE places has the CD-ROM drive: the first that no hard disk takes."""
    free = [i for i in CD_PLACES if not on(disks[FLOPPIES + i], "ide")]
    if not free and disks[CD] is not None:
        raise ValueError("cdrom= was given together with four hard disks; the two IDE channels have room for four drives, leave one out")
    return free[0] if free else None


def kinds(hard: list[Any], cd: int | None) -> list[int]:
    """What each of the four IDE places has."""
    return [ATA if on(d, "ide") else ATAPI if i == cd else NO_DRIVE for i, d in enumerate(hard)]

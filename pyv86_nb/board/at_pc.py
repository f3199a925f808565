"""An i440FX/PIIX PC: who sits where, and which pin is soldered to which."""
from __future__ import annotations

import datetime
from typing import Any

from ..devices import apic, hpet, i440fx, lapic, piix3, piix4_pm, vga
from ..devices.chip import Socket
from ..devices.clock import Clock
from ..devices.coprocessor_error import CoprocessorError
from ..devices.debug_ports import DebugPorts
from ..devices.dma_8237 import Channel, Dma8237
from ..devices.fdc_82077 import Fdc82077
from ..devices.fw_cfg import FwCfg, e820
from ..devices.ide_channel import IdeChannel
from ..devices.ide_drive import ATAPI, NO_DRIVE
from ..devices.ide_piix3 import BMIBA, Piix3Ide
from ..devices.kbc_8042 import Kbc8042
from ..devices.pic_8259 import Pic8259
from ..devices.pit_8254 import Pit8254
from ..devices.port_92 import Port92
from ..devices.rtc_mc146818 import RtcMc146818
from ..devices.system_port_b import SystemPortB
from ..devices.uart_16550 import Uart16550
from ..devices.virtio_blk import VirtioBlk
from ..engine.bus import APIC_INTA, INTA
from ..engine.raw import APIC_MSR, FERR
from . import cmos
from .backplane import Backplane
from .boot_order import bootorder
from .cpu_socket import LOOKED_AT, CpuSocket
from .hot import hot
from .memory_map import MemoryMap, memory_rows

VIRTIO = 4                                               # PCI device number of the first virtio disk
START = datetime.datetime(2000, 1, 1)
DEFAULT_RAM = 64 << 20
HASTE = 1000                                             # floppy drives turn so much faster than real ones, as on other emulators


class AtPc(Backplane):
    """The board.  `pins` has the word of each pin that the engine looks at; `bus.address` is for jitted code."""
    memory_map: MemoryMap | None = None
    virtio: Any = ()                                     # (chip, its PCI function) of each virtio disk

    def power_on(self) -> AtPc:
        super().power_on()
        socket = self.chips["cpu"].pins
        self.pins = {name: getattr(socket, name).word for name in LOOKED_AT}
        self.remap()
        return self

    def remap(self) -> None:
        """REMAP is high: ask the chips where they are now, rebuild ports and memory, lower it."""
        bridge, pm = self.chips["bridge"], self.chips["pm"]
        bridge.announce()
        base = pm.base(bridge.functions[self.pm_slot].config)
        self.move(pm, "pm", *[base] * (base is not None))
        self.place_ide()
        for blk, function in self.virtio: self.move(blk, "legacy", *[p for p in [function.bar(0)] if p is not None])
        self.place()
        if self.memory_map:
            local = self.chips["apic"].base
            self.memory_map.window(local & -4096 if local & lapic.ENABLED else None, 4096, self.local_apic)
            self.memory_map.remap()
        for c in self.chips.values():
            if "REMAP" in c.layout and c is not self.chips["cpu"]: c.REMAP = 0
        self.settle()

    def place_ide(self) -> None:
        ide, master = self.chips["ide"], self.ide_function.bar(BMIBA)
        for n, channel in enumerate((self.chips["ide0"], self.chips["ide1"])):
            command, control = ide.decoded(n) or (None, None)
            for bank, base in (("", command), ("control", control), ("bus master", None if master is None else master + 8 * n)):
                self.move(channel, bank, *[base] * (base is not None))

    def reset_line(self) -> bool:
        """RESET is high.  A hard reset (CF9h) is everybody's; a pulse of 8042 or port 92h is the processor's INIT: it is let pass."""
        isa = self.chips["isa"]
        if hard := bool(isa.RESET and isa.SRST): self.reset()
        else: self.chips["apic"].reset_local()           # a part of the processor
        isa.RESET = 0
        self.settle()
        while self.chips["cpu"].RESET: self.advance(max(self.clock.ips // 1_000_000, 1))
        return hard

    def reset(self) -> None:
        """The reset button: all chips, at once."""
        super().reset()
        self.remap()

    def restore(self, s: Any) -> list[str]:
        missing = super().restore(s)
        self.remap()
        return missing


def at_pc(memory: Any = None, *, fda: str | None = "1.44M", fdb: str | None = None, disks: Any = (None, None, None, None),
          ide: Any = (NO_DRIVE, NO_DRIVE, ATAPI, NO_DRIVE), virtio: int = 0, boot: str = "cda", rtc_start: datetime.datetime = START,
          bios: bytes = b"", vga_bios: bytes = b"", local_apic: bool = True,
          files: dict[str, bytes] | None = None, kernel: Any = None, ram_bytes: int | None = None, clock: Clock | None = None) -> AtPc:
    """The board, powered on.

    memory: the engine's PhysicalMemory with `memory_map.store_bytes(bios, vga)` of store, or None: chips only.
    fda, fdb: types of the floppy drives (cmos.FLOPPY); ide: kinds of the four IDE drives (ide_drive.py), two on each channel;
    virtio: number of virtio disks; disks: geometries of those on IDE that are disks, for CMOS; boot: order, letters a c d;
    local_apic: whether the processor has one;
    files: fw_cfg files besides "etc/e820" and "bootorder"; kernel: a kernel_rom.Kernel that boots before all disks.
    """
    ram_bytes = ram_bytes or (memory.ram_bytes if memory is not None else DEFAULT_RAM)
    t = rtc_start
    b = AtPc(clock or Clock())
    cpu = b.plug(CpuSocket("cpu"))

    #          address         chip
    b.at(0x00, d1 := Dma8237("dma1")); b.at(0xC0, d2 := Dma8237("dma2", wide=True), "wide")
    b.at(0x80, d1, "pages"); b.at(0x80, d2, "wide pages")
    pic1   = b.at(0x20,        p1 := Pic8259("pic1", master=True, elcr_mask=0xF8))
    pic2   = b.at(0xA0,        p2 := Pic8259("pic2", master=False, elcr_mask=0xDE))
    b.at(0x4D0, p1, "elcr"); b.at(0x4D1, p2, "elcr")
    b.at(INTA, p1, "inta"); b.at(INTA + 2, p2, "inta")   # the slave on IR2 answers at INTA + 2
    apics  = b.at(APIC_INTA,   interrupts := apic.Apic("apic"), "inta")
    interrupts.fitted = local_apic
    b.at(APIC_MSR, interrupts, "msr")
    pit    = b.at(0x40,        Pit8254("pit"))
    events = b.plug(precise := hpet.Hpet("hpet"))
    port61 = b.at(0x61,        SystemPortB("port61"))
    kbc    = b.at(0x60,        Kbc8042("kbc"))
    rtc    = b.at(0x70,        clock_chip := RtcMc146818("rtc", (t.year % 100, t.month, t.day, t.hour, t.minute, t.second),
                                                         t.isoweekday() % 7 + 1))
    ferr   = b.at(0xF0,        error := CoprocessorError("coprocessor error")); b.at(FERR, error, "ferr")
    port92 = b.at(0x92,        Port92("port92"))
    coms   = [b.at(at,         Uart16550(f"com{n}", patient=True)) for n, at in enumerate((0x3F8, 0x2F8, 0x3E8, 0x2E8), 1)]
    fdc    = b.at(0x3F0,       floppy := Fdc82077("fdc", drives=2 if fdb else 1 if fda else 0, haste=HASTE))
    b.at(0x3C0, display := vga.Vga("vga"))
    b.at(0x3D0, display, "color"); b.at(0x3B0, display, "mono"); b.at(0x1CE, display, "vbe")
    bridge = b.at(0xCF8,       host := i440fx.I440fx("bridge"))
    isa    = b.at(0xCF9,       south := piix3.Piix3("isa"), "reset")
    pm     = b.at(0xB2,        power := piix4_pm.Piix4Pm("pm"), "apm")
    b.at(0xAFE0, power, "gpe")
    ide0   = b.plug(           primary := IdeChannel("ide0", ide[:2]))
    ide1   = b.plug(           secondary := IdeChannel("ide1", ide[2:]))
    b.plug(storage := Piix3Ide("ide"))                   # ports of both channels: place_ide
    told = {"etc/e820": e820(memory_rows(ram_bytes)), "bootorder": bootorder(boot, ide, range(VIRTIO, VIRTIO + virtio)),
            **(files or {}), **(kernel.files() if kernel else {})}
    b.at(0x510,                FwCfg("fw_cfg", ram_bytes, 1, told, kernel.items() if kernel else None, memory))
    b.at(0x80, debug := DebugPorts("debug"), "post")     # over a page register that belongs to no channel
    b.at(0xE9, debug, "e9"); b.at(0x402, debug, "log")

    host.connect(1, 0, south.header, south)
    b.ide_function = host.connect(1, 1, storage.header, storage)
    b.pm_slot = host.functions.index(host.connect(1, 3, power.header, power))
    picture = host.connect(2, 0, display.header, display)

    # an ISA interrupt line goes to an 8259 and to the I/O APIC, the timer's to its input 2
    irq = [(ir, apics.INTIN[n or 2]) for n, ir in enumerate(pic1.ir + pic2.ir)]

    #   from               to
    pic1.INT            >> (apics.LINT[0], apics.INTIN[0])
    pic2.INT            >> pic1.ir[2]
    ide0.INTRQ          >> irq[14]
    ide1.INTRQ          >> irq[15]
    apics.INTR          >> cpu.INTR
    apics.NMI           >> cpu.NMI
    pit.OUT[0]          >> events.PIT
    rtc.IRQ             >> events.RTC
    events.IRQ0         >> irq[0]
    kbc.IRQ1            >> irq[1]
    kbc.IRQ12           >> irq[12]
    for n, com in zip((4, 3, 4, 3), coms, strict=True): com.INTR >> irq[n]
    fdc.IRQ             >> irq[6]
    events.IRQ8         >> irq[8]
    for n, out in enumerate(events.IRQ): out >> apics.INTIN[16 + n]
    pm.SCI              >> irq[9]
    ferr.IRQ13          >> irq[13]
    ferr.IGNNE          >> cpu.IGNNE
    cpu.VCC             >> pit.GATE[0]
    cpu.VCC             >> pit.GATE[1]
    port61.GATE2        >> pit.GATE[2]
    pit.OUT[2]          >> port61.OUT2
    kbc.A20             >> port92.gate
    port92.A20          >> kbc.gate
    kbc.A20             >> cpu.A20
    port92.A20          >> cpu.A20
    for n in (3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15): isa.IRQ[n] >> irq[n]
    for reset in (kbc.RESET, port92.RESET, isa.RESET): reset >> cpu.RESET
    for moved in (bridge.REMAP, Socket(display).REMAP, apics.REMAP): moved >> cpu.REMAP
    pm.POWEROFF         >> cpu.POWEROFF
    for seen in (Socket(display).NOTICE, coms[0].NOTICE): seen >> cpu.NOTICE

    b.virtio = [(blk := VirtioBlk(f"virtio{i}"), host.connect(VIRTIO + i, 0, blk.header, blk)) for i in range(virtio)]
    for i, (blk, _) in enumerate(b.virtio): b.plug(blk).INTA >> isa.PIRQ[VIRTIO + i - 1 & 3]

    b.controllers, b.local = [(p1, 0), (p2, 8)], interrupts
    window = b.region(vga.WINDOW, display)
    b.local_apic, io_apic = b.region(lapic.BASE, interrupts, "local"), b.region(apic.BASE, interrupts, "io")
    moving = [{at: b.region(0, blk, name) for at, name in blk.WINDOWS.items()} for blk, _ in b.virtio]
    timers = b.region(hpet.BASE, precise, "registers")
    if memory is not None:
        primary.memory = secondary.memory = memory
        floppy.dma = Channel(d1, 2, memory, through=(d2, 0))
        b.memory_map = MemoryMap(memory, host, bios, vga_bios, display, picture, window)
        for (blk, function), regions in zip(b.virtio, moving, strict=True):
            blk.memory = memory
            for at, region in regions.items(): b.memory_map.bar(function, 4, region, at, 4096)
        b.memory_map.window(apic.BASE, 4096, io_apic)
        b.memory_map.window(hpet.BASE, 4096, timers)
    b.power_on()
    cmos.fill(clock_chip.ram, ram_bytes, floppies=(fda, fdb), disks=disks, boot=boot, century=t.year // 100)
    hot(b)
    return b

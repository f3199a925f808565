"""The guest-physical memory map of an i440FX PC, built on engine.memory.PhysicalMemory from what the chips say.

    00000000  RAM                                A0000  VGA window (a device), or RAM while SMRAM is open (72h DOPEN),
    000A0000  VGA window                                or a bank of the framebuffer in VBE modes
    000C0000  PAM: 13 pieces, each reads RAM or ROM and writes RAM or nothing; ROM: the BIOS in the last 128 KiB, nobody below
    00100000  RAM up to its end
    .bars.    where firmware puts them: framebuffer (VGA base address 0), VGA BIOS (expansion ROM), device windows of other functions
    FFFFFFFF  the whole BIOS ends here

The store behind RAM holds BIOS, VGA BIOS and framebuffer in this order.  `remap` applies what differs from the last time, so that code
translated elsewhere stays.  A base address that lies on RAM or on the BIOS is not mapped: RAM wins, as in the bridge.
"""
from ..devices.fw_cfg import RAM, RESERVED
from ..devices.vga import WINDOW, WINDOW_BYTES

MIB = 1 << 20
HOLE = 0xE000_0000                                       # RAM ends below: PCI memory, APICs and the BIOS are above
VGA_ROM_BYTES = 0x10000
TOP = 1 << 32


def store_bytes(bios, vga=None) -> int:
    """How much store PhysicalMemory needs for this firmware and this VGA (None: none)."""
    return pages(len(bios)) + (VGA_ROM_BYTES + vga.vram_bytes if vga else 0)


def pages(n): return n + 4095 & ~4095


def memory_rows(ram_bytes):
    """What the firmware is told of memory, as e820 rows.  Programs that know only the present FADT (ACPI 6.5, 5.2.9: 276 bytes) read that many
    of SeaBIOS's, which has 116 and would be the last thing in memory: behind it they are to find zeros, not the all ones of an empty bus."""
    behind = 4096 if ram_bytes > MIB else 0
    return [(0, ram_bytes - behind, RAM)] + ([(ram_bytes - behind, behind, RESERVED)] if behind else [])


class MemoryMap:
    """memory: a PhysicalMemory with `store_bytes(bios, vga)` of store; bridge: I440fx; vga and its PciFunction, or None."""

    def __init__(self, memory, bridge, bios, vga_bios=b"", vga=None, vga_function=None, vga_region=0):
        if memory.ram_bytes < MIB or memory.ram_bytes > HOLE:
            raise ValueError(f"a PC of this kind has 1 MiB to {HOLE >> 20} MiB of memory, not {memory.ram_bytes} bytes")
        self.memory, self.bridge, self.vga, self.vga_function, self.vga_region = memory, bridge, vga, vga_function, vga_region
        self.bios_bytes, self.bios_at = len(bios), memory.store_at
        self.rom_at = self.bios_at + pages(len(bios))
        self.vram_at = self.rom_at + VGA_ROM_BYTES
        store = memory.store
        store[:len(bios)] = memoryview(bios)
        if vga:
            rom = self.rom_at - memory.store_at
            store[rom:rom + VGA_ROM_BYTES] = 0xFF
            store[rom:rom + len(vga_bios)] = memoryview(bytes(vga_bios))
            vga.framebuffer = store[rom + VGA_ROM_BYTES:rom + VGA_ROM_BYTES + vga.vram_bytes]
        self.bars, self.windows, self.mapped = [], {}, {}

    def window(self, base, length, region):
        """A device window at this address from the next `remap` on, or nowhere (None): local APIC, I/O APIC."""
        self.windows = {b: w for b, w in self.windows.items() if w[2] != region}
        if base is not None: self.windows[base] = length, "device", region, None

    def bar(self, function, n, region, at=0, length=None):
        """Base address register n of a PCI function, or `length` bytes of it from `at` on, is a device window."""
        self.bars.append((function, n, region, at, length or max(function.header.bars[n].size, 4096)))

    def remap(self):
        """Make the memory map what the chips say now."""
        wanted = {**self.moving(), **self.fixed()}
        for base, piece in self.mapped.items():
            if wanted.get(base) != piece: self.memory.unmap(base, piece[0])
        # a piece that goes may have lain over one that stays, and one that comes is under those behind it: these are applied again
        moved = [(b, b + p[0]) for b, p in self.mapped.items() if wanted.get(b) != p]
        for base, piece in wanted.items():
            end = base + piece[0]
            if self.mapped.get(base) == piece and not any(a < end and base < z for a, z in moved): continue
            moved.append((base, end))
            length, kind, read, write = piece
            if kind == "device": self.memory.device(base, length, read)
            else: self.memory.map(base, length, read, write)
        self.mapped = wanted

    def fixed(self):
        """{base: (length, kind, read offset or region, write offset)} of what no base address register moves."""
        ram, out = self.memory.ram_bytes, {0: (0xA0000, "memory", 0, 0)}
        if self.bridge.smram_open(): out[WINDOW] = WINDOW_BYTES, "memory", WINDOW, WINDOW
        elif self.vga and self.vga.linear():
            bank = self.vram_at + (self.vga.bank << 16)
            out[WINDOW] = 0x10000, "memory", bank, bank
        elif self.vga: out[WINDOW] = WINDOW_BYTES, "device", self.vga_region, None
        for base, length, reads_ram, writes_ram in self.bridge.pam():
            out[base] = length, "memory", base if reads_ram else self.rom(base), base if writes_ram else None
        if ram > MIB: out[MIB] = ram - MIB, "memory", MIB, MIB
        out.update(self.windows)
        out[TOP - pages(self.bios_bytes)] = pages(self.bios_bytes), "memory", self.bios_at, None
        return out

    def rom(self, base):
        """The store offset of the BIOS at this address below 1 MiB, or None: at most its last 128 KiB are there."""
        start = MIB - min(self.bios_bytes, 0x20000)
        return self.bios_at + self.bios_bytes - (MIB - base) if base >= start else None

    def moving(self):
        """The same, of base address registers and expansion ROMs."""
        out, f = {}, self.vga_function
        if f:
            if f.bar(0) is not None: out[f.bar(0)] = self.vga.vram_bytes, "memory", self.vram_at, self.vram_at
            if f.rom() is not None: out[f.rom()] = VGA_ROM_BYTES, "memory", self.rom_at, None
        for function, n, region, at, length in self.bars:
            base = function.bar(n)
            if base is not None: out[base + at] = length, "device", region, None
        limit = TOP - pages(self.bios_bytes)
        return {b: p for b, p in out.items() if b % 4096 == 0 and self.memory.ram_bytes <= b and b + p[0] <= limit}

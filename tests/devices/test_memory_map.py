"""The memory map: 82441FX data sheet ("System address map", PAM, SMRAM) and PCI base addresses, on the engine's physical memory."""
import numpy as np
import pytest
from test_pci import put
from test_vga import vbe

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.board.memory_map import MemoryMap, store_bytes
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.i440fx import I440fx
from pyv86_nb.devices.pci import Bar, Header
from pyv86_nb.devices.vga import WINDOW, Vga
from pyv86_nb.engine.memory import PhysicalMemory

BIOS = np.random.default_rng(1).integers(0, 255, 0x40000, np.uint8).tobytes()
VGA_BIOS = b"\x55\xAA\x02" + bytes(range(256)) * 3
CARD = Header(0x1234, 0x5678, 0x020000, bars={0: Bar(0x1000)})


@pytest.fixture
def pc():
    b = Backplane(FakeClock())
    host, vga = I440fx("host"), Vga("vga")
    f = host.connect(2, 0, vga.header, vga)
    card = host.connect(3, 0, CARD)
    b.at(0xCF8, host); b.at(0x3C0, vga); b.at(0x1CE, vga, "vbe")
    b.power_on()
    m = PhysicalMemory(16 << 20, store_bytes(BIOS, vga))
    b.map = MemoryMap(m, host, BIOS, VGA_BIOS, vga, f, vga_region=b.region(WINDOW, vga))
    b.map.bar(card, 0, 7)
    b.map.remap()
    return b


def region(pc, address): return int(pc.map.memory.region[address >> 12]) - 1
def set_(pc, device, register, v, size=4): put(pc, device, register, v, size); pc.map.remap()


def test_at_power_on(pc):
    m = pc.map.memory
    assert m.read(0xFFFC0000, 0x40000) == BIOS and m.read(0xE0000, 0x20000) == BIOS[-0x20000:]
    assert m.read(0xC0000, 4) == m.read(0x1000000, 4) == m.read(0xFEE00000, 4) == b"\xff" * 4
    m.write(0x1234, b"low"); m.write(0xFFFFFD, b"top"); assert m.read(0x1234, 3) == b"low" and m.read(0xFFFFFD, 4) == b"top\xff"
    m.write(0xF0000, b"never"); assert m.read(0xF0000, 5) == BIOS[-0x10000:][:5]
    assert region(pc, 0xA0000) == region(pc, 0xBF000) == 0 and region(pc, 0x9F000) == region(pc, 0xC0000) == -1


def test_pam_shadows_the_bios(pc):                                         # write RAM, read ROM; then read RAM
    m = pc.map.memory
    set_(pc, 0, 0x59, 0x20, 1)
    m.write(0xF0000, b"copy"); assert m.read(0xF0000, 4) == BIOS[-0x10000:][:4]
    set_(pc, 0, 0x59, 0x10, 1); assert m.read(0xF0000, 4) == b"copy"
    m.write(0xF0000, b"no"); assert m.read(0xF0000, 4) == b"copy"
    set_(pc, 0, 0x59, 0x30, 1); m.write(0xF0000, b"yes"); assert m.read(0xF0000, 4) == b"yesy"
    set_(pc, 0, 0x5A, 0x03, 1); m.write(0xC0000, b"rom"); assert m.read(0xC0000, 3) == b"rom" and m.read(0xC4000, 1) == b"\xff"


def test_a_small_bios_fills_what_it_has():
    b = Backplane(FakeClock(), host := I440fx("host")).power_on()
    m = PhysicalMemory(1 << 20, store_bytes(BIOS[:0x10000]))
    MemoryMap(m, host, BIOS[:0x10000]).remap()
    assert m.read(0xF0000, 0x10000) == m.read(0xFFFF0000, 0x10000) == BIOS[:0x10000] and m.read(0xE0000, 4) == b"\xff" * 4
    assert m.read(0xA0000, 4) == b"\xff" * 4 and b


def test_smram_open_shows_ram_under_the_window(pc):                        # 72h bit 6
    set_(pc, 0, 0x72, 0x4A, 1); assert region(pc, 0xA0000) == -1
    pc.map.memory.write(0xA8000, b"smm"); assert pc.map.memory.read(0xA8000, 3) == b"smm"
    set_(pc, 0, 0x72, 0x0A, 1); assert region(pc, 0xA0000) == 0


def test_base_addresses_place_framebuffer_rom_and_windows(pc):
    m, vga = pc.map.memory, pc.chips["vga"]
    set_(pc, 2, 0x10, 0xFD000000); assert m.read(0xFD000000, 1) == b"\xff"
    set_(pc, 2, 4, 2, 2)
    m.write(0xFD000010, b"pixels"); assert bytes(vga.framebuffer[16:22]) == b"pixels"
    set_(pc, 2, 0x30, 0xFEB00001); assert m.read(0xFEB00000, len(VGA_BIOS)) == VGA_BIOS
    set_(pc, 2, 0x10, 0xE0000000); assert m.read(0xE0000010, 6) == b"pixels" and m.read(0xFD000010, 1) == b"\xff"
    set_(pc, 2, 0x30, 0xFEB00000); assert m.read(0xFEB00000, 1) == b"\xff"
    set_(pc, 3, 0x10, 0xFE000000); set_(pc, 3, 4, 2, 2); assert region(pc, 0xFE000000) == 7 and region(pc, 0xFE001000) == -1
    set_(pc, 2, 0x10, 0x00800000); assert m.read(0x800010, 6) == bytes(6)  # RAM wins


def test_what_is_fixed_stays_over_a_base_address_that_comes_later(pc):      # a local APIC answers inside the processor (SDM vol. 3, 11.4.1)
    pc.map.window(0xFEE00000, 4096, 9); pc.map.remap(); assert region(pc, 0xFEE00000) == 9
    set_(pc, 2, 4, 2, 2); set_(pc, 2, 0x10, 0xFE000000)
    assert region(pc, 0xFEE00000) == 9 and region(pc, 0xFEE01000) == -1
    pc.map.memory.write(0xFEE01000, b"dots"); assert bytes(pc.chips["vga"].framebuffer[0xE01000:0xE01004]) == b"dots"
    set_(pc, 2, 0x10, 0xFD000000); assert region(pc, 0xFEE00000) == 9 and pc.map.memory.read(0xFEE01000, 4) == b"\xff" * 4


def test_only_what_moves_is_mapped_again(pc):
    told = []
    pc.map.memory.changed = lambda first, last: told.append((first << 12, last << 12))
    pc.map.remap(); assert told == []
    set_(pc, 0, 0x59, 0x30, 1); assert {a for a, _ in told} == {0xF0000}


def test_a_vbe_mode_shows_banks_of_the_framebuffer(pc):
    m, vga = pc.map.memory, pc.chips["vga"]
    for i, v in ((1, 640), (2, 480), (3, 32), (4, 0x41), (5, 2)): vbe(vga, i, v)
    pc.map.remap()
    m.write(0xA0000, b"bank 2"); assert bytes(vga.framebuffer[0x20000:0x20006]) == b"bank 2"
    vbe(vga, 4, 0); pc.map.remap(); assert region(pc, 0xA0000) == region(pc, 0xBF000) == 0


def test_too_much_memory_is_refused(pc):
    m = PhysicalMemory(4096)
    with pytest.raises(ValueError, match="1 MiB to 3584 MiB"): MemoryMap(m, pc.chips["host"], BIOS)

"""A kernel given to the machine: what is put where.   Oracles: Documentation/x86/boot.rst of Linux, Multiboot Specification 0.6.96, PnP
BIOS Specification 1.0A for the ROM; GNU as and ld make the ELF files."""
import struct
import subprocess

import pytest

from pyv86_nb import VM
from pyv86_nb.board import kernel_rom, linux_boot, multiboot
from pyv86_nb.board.kernel_rom import KernelError
from pyv86_nb.demo import assemble

MIB = 1 << 20
RAM = 64 * MIB


def bzimage(*, version=0x20F, flags=1, xload=0, sectors=4, body=40_000, initrd_max=0x7FFFFFFF, line=2047, pref=MIB, size=2 * MIB, syssize=None):
    """A bzImage of which only the header is one."""
    b = bytearray((sectors + 1) * 512) + bytes(range(256)) * (body // 256)
    b[0x1F1], b[0x211] = sectors, flags
    struct.pack_into("<I", b, 0x1F4, (len(b) - (sectors + 1) * 512 + 15) // 16 if syssize is None else syssize)
    b[0x1FE:0x200], b[0x202:0x206] = b"\x55\xAA", b"HdrS"
    struct.pack_into("<H", b, 0x206, version)
    struct.pack_into("<I", b, 0x22C, initrd_max)
    struct.pack_into("<HI", b, 0x236, xload, line)
    struct.pack_into("<QI", b, 0x258, pref, size)
    return bytes(b)


def made(image, modules=(), line="", ram=RAM): return kernel_rom.kernel(image, list(modules), line, ram)


# THE ROM

def test_the_rom_in_the_package_is_its_source_assembled():
    code = assemble(kernel_rom.HEX.with_name("kernel_rom.s").read_text(), 0)
    assert bytes.fromhex(kernel_rom.HEX.read_text()) == bytes(code)
    assert code.symbols["kind"] == kernel_rom.PARAMETERS and code.symbols["table"] == len(code)


def test_the_rom_is_one_that_firmware_starts():                            # PnP BIOS Specification 3.2, figure 2 and 3
    rom = made(bzimage()).rom()
    assert rom[:2] == b"\x55\xAA" and len(rom) == 512 * rom[2] and sum(rom) & 255 == 0
    pnp, = struct.unpack_from("<H", rom, 0x1A)
    header = rom[pnp:pnp + 16 * rom[pnp + 5]]
    assert header[:4] == b"$PnP" and sum(header) & 255 == 0
    assert 0 < struct.unpack_from("<H", header, 0x1A)[0] < len(rom)        # the bootstrap entry vector


# LINUX

def test_where_linux_is_put():                                             # "Loading The Rest of The Kernel", "Sample Boot Configuration"
    image, initrd = bzimage(), bytes(1_000_001)
    k = made(image, [("initrd", initrd)], "quiet vga=0x317")
    setup, line, kernel, disk = k.pieces
    assert (setup.address, kernel.address, len(setup.data)) == (k.segment << 4, 0x100000, 5 * 512)
    assert kernel.data == image[5 * 512:] and line.data == b"quiet vga=0x317\0" and disk.data == initrd
    field = lambda at, form="<I": struct.unpack_from(form, setup.data, at)[0]
    assert field(0x228) == line.address and (field(0x218), field(0x21C)) == (disk.address, len(initrd))
    assert field(0x210, "B") == 0xFF and field(0x211, "B") == 0x81         # loader: undefined; CAN_USE_HEAP
    assert setup.address + field(0x224, "<H") + 0x200 <= line.address      # heap_end_ptr: end of the heap less 200h
    assert field(0x1FA, "<H") == 0x317
    assert disk.address % 4096 == 0 and disk.address + len(initrd) <= RAM - 256 * 1024
    items = k.items()
    assert items[0x11] == kernel.data and items[0x12] == initrd


def test_the_initrd_stays_below_what_the_header_allows():
    disk = made(bzimage(initrd_max=0x1FFFFFF), [("x", bytes(5000))]).pieces[-1]
    assert disk.address + 5000 <= 0x2000000


REFUSED = [
    (dict(image=b"\0" * 4096), "not a Linux bzImage"),
    (dict(image=b"MZ"), "not a Linux bzImage"),
    (dict(image=bzimage(xload=1)), "64-bit"),
    (dict(image=bzimage(flags=0)), "zImage"),
    (dict(image=bzimage(syssize=100_000)), "cut short"),
    (dict(image=bzimage()[:0x240]), "cut off"),
    (dict(image=bzimage(), line="x" * 3000), "2047"),
    (dict(image=bzimage(), line="vga=purple"), "vga="),
    (dict(image=bzimage(), modules=[("i", bytes(62 * MIB))]), "does not fit"),
    (dict(image=bzimage(size=70 * MIB)), "memory="),
    (dict(image=bzimage(), modules=[("a", b"1"), ("b", b"2")]), "one initial RAM disk"),
    (dict(image=b"\x7fELF\1\1\1" + bytes(5000)), "Multiboot header"),
    (dict(image=b"\x7fELF\2\1\1" + bytes(5000)), "64-bit processor"),
]


@pytest.mark.parametrize("given, words", REFUSED, ids=[w for _, w in REFUSED])
def test_what_cannot_be_started_is_refused_in_one_sentence(given, words):
    with pytest.raises(KernelError) as e: made(**given)
    assert words in str(e.value) and "\n" not in str(e.value) and "=" in str(e.value)


def test_the_machine_refuses_the_same(tmp_path):
    (tmp_path / "not").write_bytes(bytes(9000))
    with pytest.raises(ValueError, match="bzImage"): VM(kernel=tmp_path / "not")
    with pytest.raises(ValueError, match="without kernel="): VM(initrd=b"x")
    with pytest.raises(ValueError, match="without kernel="): VM(cmdline="quiet")
    with pytest.raises(FileNotFoundError, match="kernel="): VM(kernel=tmp_path / "nothing")
    with pytest.raises(ValueError, match="bare="): VM(kernel=tmp_path / "not", bare=True)


# MULTIBOOT

SOURCE = """
        .set    FLAGS, 3
        .section .boot, "a"
        .balign 4
        .long   0x1BADB002, FLAGS, -(0x1BADB002 + FLAGS)
        .text
        .globl  _start, twice
_start: mov     %ebx, %esi
        call    twice
1:      hlt
        jmp     1b
        .type   twice, @function
twice:  add     %eax, %eax
        ret
        .size   twice, . - twice
        .bss
        .skip   10000
"""


@pytest.fixture
def program(tmp_path, command):
    """The ELF file of SOURCE, linked at 2 MiB."""
    (tmp_path / "k.s").write_text(SOURCE)
    subprocess.run([command("as"), "--32", "-o", tmp_path / "k.o", tmp_path / "k.s"], check=True)
    subprocess.run([command("ld"), "-m", "elf_i386", "-Ttext=0x200000", "--section-start=.boot=0x1ff000", "-o", tmp_path / "k.elf", tmp_path / "k.o"],
                   check=True)
    return (tmp_path / "k.elf").read_bytes()


def test_where_a_multiboot_kernel_and_its_modules_are_put(program):       # 3.3 "Boot information format"
    k = made(program, [("one", b"first"), ("two x=1", bytes(5000))], "hello")
    info = next(p for p in k.pieces if p.item == 0x18)
    base = info.address
    word = lambda at: struct.unpack_from("<I", info.data, at)[0]
    text = lambda at: info.data[at - base:].split(b"\0")[0]
    assert base == k.segment << 4 and word(0) & 0x4D == 0x4D and text(word(16)) == b"hello" and word(20) == 2
    for i, (name, data) in enumerate(((b"one", b"first"), (b"two x=1", bytes(5000)))):
        start, end, string, reserved = struct.unpack_from("<4I", info.data, word(24) - base + 16 * i)
        assert start % 4096 == 0 and text(string) == name and reserved == 0
        assert next(p for p in k.pieces if p.address == start).data == data and end == start + len(data)
    assert k.entry == 0x200000 and k.symbols.at(0x200000) == "_start" and k.symbols.at(k.symbols.address("twice") + 2) == "twice+2"
    last = max(p.address + len(p.data) for p in k.pieces if p.item == 0x11)
    assert all(p.address >= last for p in k.pieces if p.item == 0x12)


def test_addresses_in_the_header_of_a_flat_kernel():                       # 3.1.3 "The address fields of Multiboot header"
    load, entry = 0x150000, 0x150030
    head = struct.pack("<3I5I", 0x1BADB002, 1 << 16, -(0x1BADB002 + (1 << 16)) & 0xFFFFFFFF, load + 16, load, load + 64, load + 100, entry)
    k = made(b"\x90" * 16 + head + b"\xF4" * 16 + b"junk")
    assert k.entry == entry and k.pieces[0].address == load
    assert k.pieces[0].data == (b"\x90" * 16 + head + b"\xF4" * 16).ljust(100, b"\0")


def test_a_multiboot_kernel_that_does_not_fit(program):
    with pytest.raises(KernelError, match="memory="): made(program, ram=2 * MIB)
    with pytest.raises(KernelError, match="two has 62"): made(program, [("one", b""), ("two", bytes(62 * MIB))])
    with pytest.raises(KernelError, match="64-bit"): made(bytes(program[:4]) + b"\2" + program[5:])
    odd = bytearray(program)
    at = multiboot.header(program)
    struct.pack_into("<II", odd, at + 4, 0x103, -(0x1BADB002 + 0x103) & 0xFFFFFFFF)
    with pytest.raises(KernelError, match="0x103"): made(bytes(odd))


def test_is_bzimage_needs_both_marks():
    assert linux_boot.is_bzimage(bzimage()) and not linux_boot.is_bzimage(bzimage()[:0x1FE] + b"\0\0" + bzimage()[0x200:])

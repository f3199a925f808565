"""fw_cfg against QEMU's docs/specs/fw_cfg: signature, features, directory, files; and the debug ports."""
import struct

import pytest

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.debug_ports import E9, LOG, ROOM, DebugPorts
from pyv86_nb.devices.fw_cfg import FwCfg, e820

FILES = {"etc/e820": e820([(0, 64 << 20, 1)]), "bootorder": b"/pci@i0cf8/isa@1/fdc@03f0/floppy@0\0"}


@pytest.fixture
def fw():
    f = FwCfg("fw_cfg", ram_bytes=64 << 20, cpus=1, files=FILES)
    b = Backplane(FakeClock())
    b.at(0x510, f)
    b.power_on()
    return f


def item(fw, key, n):
    fw.home.write(0x510, key, 2)
    return bytes(fw.home.read(0x511) for _ in range(n))


def test_signature_and_features(fw):                                       # "Signature (Key 0x0000)", "Revision / feature bitmap"
    assert item(fw, 0, 4) == b"QEMU" and item(fw, 1, 4) == b"\1\0\0\0"


def test_an_item_is_read_from_its_start_and_ends_in_zeros(fw):
    assert item(fw, 0, 2) == b"QE" and item(fw, 0, 6) == b"QEMU\0\0"
    assert item(fw, 0x3FF0, 3) == b"\0\0\0"                                # nobody has this key


def test_sizes(fw):
    assert struct.unpack("<Q", item(fw, 3, 8)) == (64 << 20,) and struct.unpack("<H", item(fw, 5, 2)) == (1,)
    assert item(fw, 0x0E, 2) == b"\0\0"


def test_the_directory_leads_to_the_files(fw):                             # "File Directory (Key 0x0019)": big endian
    count, = struct.unpack(">I", item(fw, 0x19, 4))
    rows = [struct.unpack(">IHH56s", r) for r in struct.iter_unpack("64s", item(fw, 0x19, 4 + 64 * count)[4:]) for r in r]
    files = {name.rstrip(b"\0").decode(): item(fw, key, size) for size, key, _, name in rows}
    assert files == FILES and all(key >= 0x20 for _, key, _, _ in rows)


def test_wide_reads_are_the_next_bytes(fw):
    fw.home.write(0x510, 0, 2)
    assert fw.home.read(0x511, 2) == 0x4551 and fw.home.read(0x511, 4) == 0x554D


def test_files_can_change_before_the_next_boot(fw):
    fw.files["etc/boot-fail-wait"] = b"\xff\xff\xff\xff"
    fw.fill()
    assert struct.unpack(">I", item(fw, 0x19, 4)) == (3,)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="65536"): FwCfg("x", files={"big": bytes(70000)})
    with pytest.raises(ValueError, match="55"): FwCfg("x", files={"n" * 56: b""})
    with pytest.raises(ValueError, match="32"): FwCfg("x", files={str(i): b"" for i in range(33)})


def test_post_codes_and_characters():
    d = DebugPorts("debug")
    b = Backplane(FakeClock())
    b.at(0x80, d, "post"); b.at(0xE9, d, "e9"); b.at(0x402, d, "log")
    b.power_on()
    for v in (1, 2, 3): b.write(0x80, v)
    assert b.read(0x80) == 3 and d.before == 0x0102
    assert b.read(0xE9) == 0xE9 and b.read(0x402) == 0xE9
    for c in b"hello": b.write(0x402, c)
    b.write(0xE9, 0x21)
    assert d.drain(LOG) == b"hello" and d.drain(LOG) == b"" and d.drain(E9) == b"!"
    for i in range(ROOM + 10): b.write(0x402, i & 255)
    assert d.drain() == bytes(i & 255 for i in range(10, ROOM + 10))       # the oldest are lost


# DMA: "Guest-side DMA Interface"

class Memory:
    def __init__(self): self.bytes = bytearray(0x10000)
    def read(self, at, n): return bytes(self.bytes[at:at + n])
    def write(self, at, data): self.bytes[at:at + len(data)] = data


@pytest.fixture
def dma():
    memory = Memory()
    f = FwCfg("fw_cfg", files=FILES, large={0x12: bytes(range(256)) * 300}, memory=memory)
    b = Backplane(FakeClock())
    b.at(0x510, f)
    b.power_on()

    def ask(control, length, to, at=0x8000):
        """One descriptor; its control word afterwards."""
        memory.write(at, struct.pack(">IIQ", control, length, to))
        b.write(0x514, 0, 4)
        b.write(0x518, int.from_bytes(struct.pack(">I", at), "little"), 4)
        return int.from_bytes(memory.read(at, 4), "big")
    f.ask = ask
    return f


def test_dma_is_announced(dma):
    assert item(dma, 1, 4) == b"\3\0\0\0"
    assert b"".join(dma.home.read(p, 4).to_bytes(4, "little") for p in (0x514, 0x518)) == b"QEMU CFG"


def test_dma_selects_reads_goes_on_and_skips(dma):
    assert dma.ask(0x12 << 16 | 8 | 2, 10, 0x100) == 0 and dma.memory.read(0x100, 10) == bytes(range(10))
    assert dma.ask(2, 5, 0x100) == 0 and dma.memory.read(0x100, 5) == bytes(range(10, 15))
    assert dma.ask(4, 241, 0) == 0 and dma.ask(2, 2, 0x100) == 0 and dma.memory.read(0x100, 2) == b"\0\1"
    assert dma.ask(0 << 16 | 8 | 2, 6, 0x100) == 0 and dma.memory.read(0x100, 6) == b"QEMU\0\0"


def test_dma_of_more_than_there_is_gives_zeros_and_beyond_memory_an_error(dma):
    dma.memory.write(0x100, b"x" * 20)
    assert dma.ask(0x19 << 16 | 8 | 2, 4, 0x200) == 0 and dma.memory.read(0x200, 4) == b"\0\0\0\2"
    assert dma.ask(0x12 << 16 | 8 | 4, 76795, 0) == 0 and dma.ask(2, 10, 0x100) == 0
    assert dma.memory.read(0x100, 11) == bytes(range(251, 256)) + bytes(5) + b"x"
    assert dma.ask(0x12 << 16 | 8 | 2, 16, (1 << 32) - 8) == 1

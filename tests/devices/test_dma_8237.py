"""8237A against its data sheet (231466-005) and the PC/AT's page registers (IBM PC/AT Technical Reference, "DMA")."""
import pytest
from two_readers import agree, all_hot

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.dma_8237 import Channel, Dma8237


class Ram:
    """A megabyte of plain memory."""
    def __init__(self): self.bytes = bytearray(1 << 20)
    def read(self, phys, n): return bytes(self.bytes[phys:phys + n])
    def write(self, phys, data): self.bytes[phys:phys + len(data)] = data


def make():
    b = Backplane(FakeClock())
    one, two = Dma8237("dma1"), Dma8237("dma2", wide=True)
    b.at(0x00, one); b.at(0xC0, two, "wide"); b.at(0x80, one, "pages"); b.at(0x80, two, "wide pages")
    b.power_on()
    b.write(0xD6, 0xC0); b.write(0xD4, 0x00)                               # channel 4: cascade, on
    return b


@pytest.fixture
def pc(): return make()


@pytest.fixture
def floppy(pc):
    """Channel 2, as a floppy controller has it."""
    return Channel(pc.chips["dma1"], 2, Ram(), through=(pc.chips["dma2"], 0))


def program(b, channel, address, count, mode):
    """As a BIOS does it: mask, flip-flop, mode, address, page, count, unmask."""
    base, shift, n = (0xC0, 1, channel & 3) if channel > 3 else (0, 0, channel)
    page = {0: 0x87, 1: 0x83, 2: 0x81, 3: 0x82, 5: 0x8B, 6: 0x89, 7: 0x8A}[channel]
    b.write(base + (10 << shift), 4 | n); b.write(base + (12 << shift), 0); b.write(base + (11 << shift), mode | n)
    low = address >> shift & 0xFFFF
    for v in (low & 255, low >> 8): b.write(base + (2 * n << shift), v)
    b.write(page, address >> 16)
    for v in (count & 255, count >> 8): b.write(base + (2 * n + 1 << shift), v)
    b.write(base + (10 << shift), n)


def word(b, port): return b.read(port) | b.read(port) << 8


def test_current_registers_are_read_low_byte_first(pc):  # "Current address register", "First/last flip-flop"
    program(pc, 2, 0x1234, 0x01FF, 0x44)
    pc.write(12, 0); assert word(pc, 4) == 0x1234 and word(pc, 5) == 0x01FF
    pc.read(4); pc.write(12, 0); assert pc.read(4) == 0x34


def test_a_write_transfer(pc, floppy):                                     # mode 01: from the device to memory
    program(pc, 2, 0x1FF00, 511, 0x44)
    assert floppy.give(b"a" * 300) == (300, False)
    assert floppy.memory.read(0x1FF00, 256) == b"a" * 256
    # wraps in its 64K
    assert floppy.memory.read(0x10000, 44) == b"a" * 44 and floppy.memory.read(0x20000, 4) == bytes(4)
    pc.write(12, 0); assert word(pc, 4) == 0x2C and word(pc, 5) == 211


def test_terminal_count_stops_masks_and_shows_in_the_status_once(pc, floppy):    # "Terminal count", "Status register"
    program(pc, 2, 0x500, 511, 0x44)
    assert floppy.give(bytes(600)) == (512, True)
    assert not floppy.ready and floppy.give(b"x") == (0, False)
    assert pc.read(8) == 0x04 and pc.read(8) == 0 and pc.read(15) & 4
    pc.write(12, 0); assert word(pc, 5) == 0xFFFF


def test_auto_initialize_begins_again(pc, floppy):                         # "Autoinitialize"
    program(pc, 2, 0x500, 9, 0x54)
    assert floppy.give(b"0123456789ab") == (10, True) and floppy.give(b"AB") == (2, False)
    assert floppy.memory.read(0x500, 10) == b"AB23456789" and pc.read(8) & 4


def test_a_read_transfer(pc, floppy):                                      # mode 10: from memory to the device
    floppy.memory.write(0x2FFFE, b"hello")
    program(pc, 2, 0x2FFFE, 4, 0x48)
    assert floppy.take(2) == (b"he", False)
    assert floppy.take(5) == (bytes(3), True)                              # 20000h, not 30000h


def test_verify_moves_nothing_but_counts(pc, floppy):                      # mode 00
    program(pc, 2, 0x500, 3, 0x40)
    assert floppy.give(b"data") == (4, True) and floppy.memory.read(0x500, 4) == bytes(4)


def test_decrement(pc, floppy):                                            # mode bit 5
    program(pc, 2, 0x502, 3, 0x64)
    floppy.give(b"abcd")
    assert floppy.memory.read(0x4FF, 4) == b"dcba"
    program(pc, 2, 0x10001, 3, 0x64); floppy.give(b"abcd")                 # wraps in its 64K, downwards
    assert floppy.memory.read(0x10000, 2) == b"ba" and floppy.memory.read(0x1FFFE, 2) == b"dc"
    program(pc, 2, 0x502, 2, 0x68); assert floppy.take(3) == (b"abc", True)


def test_words_on_the_second_controller(pc):  # "channels 5-7 move words; A0 of the 8237 is A1"
    sound = Channel(pc.chips["dma2"], 1, Ram())
    program(pc, 5, 0x3FFFE, 3, 0x44)
    assert sound.unit == 2 and sound.give(b"abcdefghij") == (8, True)
    assert sound.memory.read(0x3FFFE, 2) == b"ab" and sound.memory.read(0x20000, 6) == b"cdefgh"


def test_page_registers_are_where_the_at_has_them(pc):
    for n, port in enumerate((0x87, 0x83, 0x81, 0x82)):
        pc.write(port, 0x10 + n); assert pc.chips["dma1"].channel[n].page == 0x10 + n == pc.read(port)
    for n, port in enumerate((0x8F, 0x8B, 0x89, 0x8A)):
        pc.write(port, 0x20 + n); assert pc.chips["dma2"].channel[n].page == 0x20 + n == pc.read(port)
    pc.write(0x84, 0x77); assert pc.read(0x84) == 0x77


@pytest.mark.parametrize("off", [(0x08, 4), (0x0A, 6), (0x0F, 15), (0x0D, 0), (0xD0, 4), (0xD4, 4), (0xD6, 0x00)])
def test_what_is_off_does_not_answer(pc, floppy, off):                     # masks, command bit 2, the cascade channel
    program(pc, 2, 0x500, 3, 0x44); assert floppy.ready
    pc.write(*off); assert not floppy.ready and floppy.give(b"x") == (0, False)


def test_masks_and_requests(pc):                                           # "Mask register", "Request register"
    pc.write(15, 0); pc.write(10, 5); assert pc.read(15) & 15 == 2
    pc.write(14, 0); assert pc.read(15) & 15 == 0
    pc.write(9, 6); assert pc.read(8) == 0x40
    pc.chips["dma1"].pins.DREQ[0].set(1); pc.write(9, 2); assert pc.read(8) == 0x10


def test_master_clear_is_a_hardware_reset(pc):                             # "Master clear"
    program(pc, 2, 0x500, 3, 0x44); pc.read(4); pc.write(8, 0x10); pc.write(13, 0)
    d = pc.chips["dma1"]
    assert (d.mask, d.command, d.flip_flop, d.tc, d.request) == (15, 0, 0, 0, 0) and pc.read(13) == 0


def test_a_channel_that_is_not_there_is_refused(pc):
    with pytest.raises(ValueError, match="channels 0 to 3"): Channel(pc.chips["dma1"], 5, Ram())


def test_every_method_is_hot(pc): assert all_hot(pc) == []


@pytest.mark.parametrize("seed", range(3))
def test_python_and_jit_agree(seed):
    ports = [*range(16), *range(0xC0, 0xE0, 2), *range(0x81, 0x90)]
    def give(b, r): Channel(b.chips["dma1"], r.randrange(4), Ram()).give(bytes(r.randrange(40)))
    agree(make, ports, {p: lambda r: r.getrandbits(8) for p in ports}, seed, acts=[give])

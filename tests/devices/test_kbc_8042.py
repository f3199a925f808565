"""8042 as keyboard controller against the IBM PS/2 Hardware Interface Technical Reference (1988), "Keyboard and
Auxiliary Device Controller"."""
import pytest
from two_readers import agree, all_hot

from pyv86_nb.board.backplane import Backplane
from pyv86_nb.devices.clock import FakeClock
from pyv86_nb.devices.kbc_8042 import Kbc8042
from pyv86_nb.devices.port_92 import Port92

MS = 1000                                                # FakeClock(1 MHz): a millisecond


def make(mouse=True):
    b = Backplane(FakeClock(1_000_000))
    k = b.at(0x60, Kbc8042("kbc", mouse))
    p = b.at(0x92, Port92("port92"))
    k.A20 >> p.gate; p.A20 >> k.gate
    return b.power_on()


@pytest.fixture
def pc(): return make()


@pytest.fixture
def kbc(pc): return pc.chips["kbc"]


def command(b, c, *data):
    b.write(0x64, c)
    for v in data: b.write(0x60, v)


def get(b, ms=50):
    """The next byte, or None if none comes."""
    for _ in range(ms * 20):
        if b.read(0x64) & 1: return b.read(0x60)
        b.advance(MS // 20)


def all_bytes(b, ms=20):
    out = []
    while (v := get(b, ms)) is not None: out.append(v)
    return bytes(out)


def test_self_test_and_interface_test(pc):                                 # AA: 55, sets the system flag; AB, A9: 00
    assert pc.read(0x64) & 4 == 0
    command(pc, 0xAA); assert pc.read(0x64) == 0x1D and pc.read(0x60) == 0x55
    command(pc, 0xAB); assert pc.read(0x60) == 0x00
    command(pc, 0xA9); assert pc.read(0x60) == 0x00


def test_status_tells_command_from_data_and_full_from_empty(pc):           # "Status register"
    pc.write(0x60, 0xEE); assert pc.read(0x64) & 0x08 == 0
    pc.write(0x64, 0xC0); assert pc.read(0x64) == 0x19
    assert pc.read(0x60) == 0xB0 and pc.read(0x64) == 0x18


def test_the_command_byte_is_kept_and_sets_the_system_flag(pc):            # 20, 60
    command(pc, 0x60, 0x65)
    command(pc, 0x20); assert pc.read(0x60) == 0x65 and pc.read(0x64) & 4
    command(pc, 0xAD); command(pc, 0xA8)
    command(pc, 0x20); assert pc.read(0x60) == 0x55
    command(pc, 0xA7); command(pc, 0xAE)
    command(pc, 0x20); assert pc.read(0x60) == 0x65


def test_internal_ram(pc):                                                 # 21-3F, 61-7F
    command(pc, 0x75, 0x99); command(pc, 0x35)
    assert pc.read(0x60) == 0x99


def test_a_firmware_boot(pc):  # the order in which SeaBIOS sets the controller up
    command(pc, 0xAD); command(pc, 0xA7); assert get(pc, 2) is None
    command(pc, 0xAA); assert get(pc) == 0x55
    command(pc, 0xAB); assert get(pc) == 0x00
    pc.write(0x60, 0xFF); assert get(pc) == 0xFA and get(pc) == 0xAA
    pc.write(0x60, 0xF5); assert get(pc) == 0xFA
    pc.write(0x60, 0xF0); assert get(pc) == 0xFA
    pc.write(0x60, 0x02); assert get(pc) == 0xFA
    command(pc, 0x60, 0x61)
    pc.write(0x60, 0xF4); assert get(pc) == 0xFA
    assert all_bytes(pc) == b""


def test_irq1_follows_the_output_buffer(pc, kbc):                          # "IRQ1 is the output buffer full line"
    kbc.press("KeyA"); kbc.release("KeyA")
    assert not kbc.IRQ1
    pc.advance(MS); assert kbc.IRQ1 and not kbc.IRQ12
    pc.advance(5 * MS); assert kbc.IRQ1 and pc.read(0x60) == 0x1E          # the second waits for the first
    assert not kbc.IRQ1 and pc.read(0x64) & 1 == 0
    pc.advance(1750); assert not kbc.IRQ1  # F0 and 1C, 11 bits each at 12.5 kHz: 2 x 880 us
    pc.advance(10); assert kbc.IRQ1 and pc.read(0x60) == 0x9E


def test_interrupt_enable_bits(pc, kbc):                                   # command byte bits 0 and 1
    command(pc, 0x60, 0x40)
    kbc.press("KeyA"); pc.advance(MS)
    assert pc.read(0x64) & 1 and not kbc.IRQ1
    command(pc, 0x60, 0x41); assert kbc.IRQ1
    pc.read(0x60)
    command(pc, 0x60, 0x43); command(pc, 0xD4, 0xF2); pc.advance(2 * MS)
    assert kbc.IRQ12 and not kbc.IRQ1 and pc.read(0x64) & 0x21 == 0x21
    assert pc.read(0x60) == 0xFA and not kbc.IRQ12


def test_translation_is_of_the_controller(pc, kbc):                        # command byte bit 6
    kbc.press("KeyA"); kbc.release("KeyA"); kbc.press("ArrowLeft"); kbc.release("ArrowLeft")
    assert all_bytes(pc) == bytes.fromhex("1E 9E E04B E0CB")
    command(pc, 0x60, 0x01)
    kbc.press("KeyA"); kbc.release("KeyA"); kbc.press("ArrowLeft"); kbc.release("ArrowLeft")
    assert all_bytes(pc) == bytes.fromhex("1C F01C E06B E0F06B")


def test_a_disabled_port_keeps_its_bytes_at_the_device(pc, kbc):           # AD, AE
    command(pc, 0xAD)
    kbc.press("KeyA"); assert all_bytes(pc, 5) == b"" and kbc.room == 0
    command(pc, 0xAE); assert all_bytes(pc) == b"\x1E"


def test_a_byte_for_the_keyboard_turns_its_port_on(pc, kbc):
    command(pc, 0xAD); pc.write(0x60, 0xEE)
    assert get(pc) == 0xEE and kbc.KBD_OFF == 0


def test_output_port_and_a20(pc, kbc):                                     # D0, D1
    command(pc, 0xD0); assert pc.read(0x60) == 0xCF
    command(pc, 0xD2, 1); command(pc, 0xD0); assert pc.read(0x60) == 0xDF  # a byte of the keyboard was there
    command(pc, 0xD3, 1); command(pc, 0xD0); assert pc.read(0x60) == 0xEF  # one of the mouse
    command(pc, 0xD1, 0xDD); assert kbc.A20 == 0
    command(pc, 0xD0); assert pc.read(0x60) & 3 == 1
    command(pc, 0xD1, 0xDF); assert kbc.A20 == 1


def test_both_gates_of_a20_follow_each_other(pc, kbc):                     # the last write counts
    pc.write(0x92, 0); assert kbc.A20 == 0 and pc.read(0x92) == 0
    command(pc, 0xD1, 0xDF); assert kbc.A20 == 1 and pc.read(0x92) == 2
    command(pc, 0xD1, 0xDD); assert kbc.A20 == 0 and pc.read(0x92) == 0
    pc.write(0x92, 2); assert kbc.A20 == 1


@pytest.mark.parametrize("how", [(0xFE,), (0xD1, 0xDE), (0xF0,)])
def test_reset_is_a_pulse_of_6_us(pc, kbc, how):                           # "Pulse output port"
    command(pc, *how); assert kbc.RESET
    pc.advance(5); assert kbc.RESET
    pc.advance(1); assert not kbc.RESET


def test_ff_pulses_nothing(pc, kbc):
    command(pc, 0xFF); assert not kbc.RESET


def test_d2_and_d3_write_the_output_buffer(pc, kbc):
    command(pc, 0x60, 0x03)
    command(pc, 0xD2, 0x5A); assert kbc.IRQ1 and pc.read(0x64) & 0x21 == 0x01 and pc.read(0x60) == 0x5A
    command(pc, 0xD3, 0xA5); assert kbc.IRQ12 and pc.read(0x64) & 0x21 == 0x21 and pc.read(0x60) == 0xA5


def test_test_inputs(pc):  # E0: the clock lines, low while a port is off
    command(pc, 0xE0); assert pc.read(0x60) == 3
    command(pc, 0xAD); command(pc, 0xE0); assert pc.read(0x60) == 2
    command(pc, 0xA7); command(pc, 0xE0); assert pc.read(0x60) == 0


def test_no_password_is_installed(pc):                                     # A4
    command(pc, 0xA4); assert pc.read(0x60) == 0xF1


def test_a_missing_mouse_answers_resend():
    b = make(mouse=False)
    command(b, 0xD4, 0xFF); assert b.read(0x64) & 0x21 == 0x21 and b.read(0x60) == 0xFE


def test_raw_scan_codes(pc, kbc):
    assert kbc.scancodes(b"\x1E\x9E\xE0\x48") == 4
    assert all_bytes(pc) == b"\x1E\x9E\xE0\x48"
    assert kbc.scancodes(bytes(300)) == 256


def test_typed_text_arrives_when_it_is_paced_by_room(pc, kbc):
    from pyv86_nb.devices.key_codes import KEYS, XLAT
    from pyv86_nb.keyboard_layout import keys_for
    got, todo = b"", keys_for("dir C:\\*.*\n")
    expected = bytes(XLAT[KEYS[c][0]] | (0 if down else 0x80) for c, down in todo)
    while todo or kbc.room < 16:
        while todo and kbc.room >= 8:
            c, down = todo.pop(0)
            (kbc.press if down else kbc.release)(c)
        pc.advance(MS)
        if pc.read(0x64) & 1: got += bytes([pc.read(0x60)])
    got += all_bytes(pc)
    assert got == expected and 0xFF not in got


def test_reset_of_the_board_leaves_the_keyboard_alone(pc, kbc):
    pc.write(0x60, 0xED); get(pc); pc.write(0x60, 0x07); get(pc)
    command(pc, 0xD1, 0xDD)
    pc.reset()
    assert kbc.keyboard[0].leds == 7 and kbc.A20 == 1 and kbc.mode == 0x41


def test_every_method_is_hot(pc): assert all_hot(pc) == []


@pytest.mark.parametrize("seed", range(6))
def test_python_and_jit_agree(seed):
    keys = ("KeyA", "ArrowUp", "Pause", "PrintScreen", "ShiftLeft", "NumLock", "NumpadEnter")
    commands = bytes.fromhex("20 60 A7 A8 A9 AA AB AD AE C0 D0 D1 D2 D3 D4 E0 FE 25 65")
    data = bytes.fromhex("ED EE F0 F2 F3 F4 F5 F6 F7 FA FB FD FE FF 00 01 02 03 47 43 C8 64 50 EB E9 EA")
    written = {0x60: lambda r: r.choice(data), 0x64: lambda r: r.choice(commands), 0x92: lambda r: r.getrandbits(8)}
    def drag(b, r): b.chips["kbc"].move_mouse(r.randrange(-300, 300), r.randrange(-300, 300), r.randrange(-2, 3))
    agree(make, [0x60, 0x64, 0x92], written, seed,
          acts=[lambda b, r: b.chips["kbc"].press(r.choice(keys)), lambda b, r: b.chips["kbc"].release(r.choice(keys)),
                drag, lambda b, r: b.chips["kbc"].mouse_button(r.randrange(5), r.random() < .5)],
          waits=(0, 1, 300, 1000, 5000, 100_000))

"""The mouse against the IBM PS/2 Hardware Interface Technical Reference (1988), "Mouse", and the IntelliMouse."""
import pytest
from test_kbc_8042 import MS, all_bytes, command, get, make


@pytest.fixture
def pc():
    b = make()
    command(b, 0x60, 0x43)
    return b


@pytest.fixture
def kbc(pc): return pc.chips["kbc"]


def tell(b, *data):
    out = []
    for v in data:
        command(b, 0xD4, v)
        out.append(get(b))
    return bytes(out)


def test_reset_reports_self_test_and_id(pc):                               # FF
    command(pc, 0xD4, 0xFF)
    assert get(pc) == 0xFA and all_bytes(pc) == b"\xAA\x00"


def test_status_request(pc, kbc):                                               # E9
    tell(pc, 0xF6, 0xE8, 3, 0xF3, 40, 0xE7, 0xF4)
    command(pc, 0xD4, 0xE9); assert all_bytes(pc) == bytes([0xFA, 0x30, 3, 40])
    tell(pc, 0xF0)
    for n, bit in ((0, 4), (1, 1), (2, 2)):                                # left, right, middle
        kbc.mouse_button(n, True); command(pc, 0xD4, 0xE9); assert all_bytes(pc) == bytes([0xFA, 0x70 | bit, 3, 40])
        kbc.mouse_button(n, False)


def test_packets(pc, kbc):                                                 # "Data report"
    kbc.move_mouse(5, 5); assert all_bytes(pc) == b""                      # not enabled
    tell(pc, 0xF4)
    kbc.move_mouse(5, 7); assert all_bytes(pc) == bytes([0x28, 5, 0xF9])   # downwards is negative
    kbc.move_mouse(-3, -2); assert all_bytes(pc) == bytes([0x18, 0xFD, 2])
    kbc.mouse_button(0, True); kbc.mouse_button(2, True); assert all_bytes(pc) == bytes([0x0D, 0, 0])
    kbc.mouse_button(0, False); kbc.mouse_button(2, False); assert all_bytes(pc) == bytes([0x08, 0, 0])


def test_a_click_shorter_than_a_sample_is_not_lost(pc, kbc):               # as under QEMU, which reports each change of a button
    tell(pc, 0xF4)
    for n in (0, 1):
        kbc.mouse_button(n, True); kbc.mouse_button(n, False)
        assert all_bytes(pc) == bytes([0x09 + n, 0, 0, 0x08, 0, 0])
    tell(pc, 0xF5); kbc.mouse_button(0, True); kbc.mouse_button(0, False)
    tell(pc, 0xF4); assert all_bytes(pc) == b""                            # what happened while it did not report is forgotten


def test_a_long_way_takes_several_packets(pc, kbc):
    tell(pc, 0xF4); kbc.move_mouse(600, 0)
    got = all_bytes(pc)
    assert [got[i] for i in range(1, 9, 3)] == [255, 255, 90] and len(got) == 9


def test_sample_rate(pc, kbc):                                             # F3: 20 packets a second
    tell(pc, 0xF3, 20, 0xF4); kbc.move_mouse(300, 0)
    for _ in range(3): get(pc)
    start = pc.clock.now; get(pc, 100)
    assert 45 * MS < pc.clock.now - start < 55 * MS


def test_wheel_and_five_buttons(pc, kbc):                                  # IDs 3 and 4
    tell(pc, 0xF3, 200, 0xF3, 100, 0xF3, 80)
    command(pc, 0xD4, 0xF2); assert all_bytes(pc) == b"\xFA\x03"
    tell(pc, 0xF3, 200, 0xF3, 200, 0xF3, 100)
    command(pc, 0xD4, 0xF2); assert all_bytes(pc) == b"\xFA\x03"
    tell(pc, 0xF4); kbc.move_mouse(1, 0, -1); assert all_bytes(pc) == b"\x08\x01\x00\xFF"
    kbc.move_mouse(1, 0, 2); assert all_bytes(pc) == b"\x08\x01\x00\x01\x08\x00\x00\x01"           # drivers know no other steps than 1
    tell(pc, 0xF3, 200, 0xF3, 200, 0xF3, 80)
    command(pc, 0xD4, 0xF2); assert all_bytes(pc) == b"\xFA\x04"
    kbc.mouse_button(3, True); assert all_bytes(pc) == b"\x08\x00\x00\x10"


def test_remote_and_wrap_mode(pc, kbc):                                    # F0, EB, EE, EC
    tell(pc, 0xF0, 0xF4); kbc.move_mouse(9, 0); assert all_bytes(pc) == b""
    command(pc, 0xD4, 0xEB); assert all_bytes(pc) == b"\xFA\x08\x09\x00"
    assert tell(pc, 0xEE, 0x12, 0xF4, 0xEC) == b"\xFA\x12\xF4\xFA"


def test_scaling_two_to_one(pc, kbc):                                      # E7: 0 1 1 3 6 9 2n
    tell(pc, 0xE7, 0xF4); got = []
    for n in range(1, 8):
        kbc.move_mouse(n, 0); got.append(all_bytes(pc)[1])
    assert got == [1, 1, 3, 6, 9, 12, 14]


def test_errors_are_answered_resend_and_the_last_byte_can_be_had_again(pc):    # FE, FC
    assert tell(pc, 0xF1) == b"\xFE"
    tell(pc, 0xF4); assert tell(pc, 0xFE) == b"\xFA"


def test_a_button_that_is_not_there_is_refused(kbc):
    with pytest.raises(ValueError, match="button 7"): kbc.mouse_button(7, True)

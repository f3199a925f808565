"""The keyboard against the IBM PS/2 Hardware Interface Technical Reference (1988), "Keyboard (101- and 102-key)"."""
import pytest
from test_kbc_8042 import MS, all_bytes, command, get, make

from pyv86_nb.devices.key_codes import KEYS, NUMBER, codes
from pyv86_nb.keyboard_layout import CODES, keys_for


@pytest.fixture
def pc():
    b = make()
    command(b, 0x60, 0x01)                                                 # no translation: the keyboard's own codes
    return b


@pytest.fixture
def kbc(pc): return pc.chips["kbc"]


def tell(b, *data):
    """Send bytes, each after the answer to the one before."""
    out = []
    for v in data:
        b.write(0x60, v)
        out.append(get(b))
    return bytes(out)


def tap(kbc, *keys):
    for k in keys: kbc.press(k)
    for k in reversed(keys): kbc.release(k)


def sent(b, kbc, *keys):
    tap(kbc, *keys)
    return all_bytes(b, 5).hex()


def test_reset_acknowledges_then_reports_the_self_test(pc):                # FF
    pc.write(0x60, 0xFF); assert get(pc) == 0xFA
    assert get(pc, 8) is None and get(pc, 10) == 0xAA                      # the test takes time


def test_identify_echo_resend(pc):                                         # F2, EE, FE
    pc.write(0x60, 0xF2); assert all_bytes(pc) == b"\xFA\xAB\x83"
    assert tell(pc, 0xFE) == b"\x83" and tell(pc, 0xEE) == b"\xEE" and tell(pc, 0xFE) == b"\xEE"


def test_an_unknown_command_is_answered_resend(pc):
    assert tell(pc, 0xEF) == b"\xFE" and tell(pc, 0xF1) == b"\xFE" and tell(pc, 0x05) == b"\xFE"


def test_lights(pc, kbc):                                                  # ED
    assert tell(pc, 0xED, 0x02) == b"\xFA\xFA" and (kbc.keyboard[0].NUM, kbc.keyboard[0].CAPS) == (1, 0)
    assert tell(pc, 0xED, 0xF4) == b"\xFA\xFA" and kbc.keyboard[0].leds == 2   # a command instead of the parameter


def test_select_and_ask_the_scan_code_set(pc):                             # F0
    for n in (1, 2, 3):
        assert tell(pc, 0xF0, n) == b"\xFA\xFA"
        pc.write(0x60, 0xF0); get(pc); pc.write(0x60, 0)
        assert all_bytes(pc) == bytes([0xFA, n])
    assert tell(pc, 0xF0, 4) == b"\xFA\xFE"


@pytest.mark.parametrize("key,one,two,three", [                            # the tables "Scan code set 1, 2, 3"
    ("KeyA", "1e9e", "1cf01c", "1c"), ("Escape", "0181", "76f076", "08"), ("F7", "41c1", "83f083", "37"),
    ("F12", "58d8", "07f007", "5e"), ("NumpadEnter", "e01ce09c", "e05ae0f05a", "79"),
    ("ArrowLeft", "e04be0cb", "e06be0f06b", "61"),
    ("ControlRight", "e01de09d", "e014e0f014", "58"), ("Pause", "e11d45e19dc5", "e11477e1f014f077", "62"),
    ("PrintScreen", "e02ae037e0b7e0aa", "e012e07ce0f07ce0f012", "57"), ("IntlBackslash", "56d6", "61f061", "13"),
    ("NumpadDivide", "e035e0b5", "e04ae0f04a", "77"), ("CapsLock", "3aba", "58f058", "14f014"),
    ("MetaLeft", "e05be0db", "e01fe0f01f", "8b")])
def test_scan_codes(pc, kbc, key, one, two, three):
    assert sent(pc, kbc, key) == two
    tell(pc, 0xF0, 1); assert sent(pc, kbc, key) == one
    tell(pc, 0xF0, 3); assert sent(pc, kbc, key) == three


def test_cursor_keys_hide_the_shift_and_num_lock(pc, kbc):                 # "Scan code set 2", the second table
    assert sent(pc, kbc, "ShiftLeft", "ArrowUp") == "12" "e0f012e075" "e0f075e012" "f012"
    assert sent(pc, kbc, "ShiftRight", "ArrowUp") == "59" "e0f059e075" "e0f075e059" "f059"
    tell(pc, 0xED, 2)
    assert sent(pc, kbc, "Insert") == "e012e070" "e0f070e0f012"
    assert sent(pc, kbc, "ShiftLeft", "Insert") == "12" "e070" "e0f070" "f012"
    assert sent(pc, kbc, "ShiftLeft", "NumpadDivide") == "12" "e0f012e04a" "e0f04ae012" "f012"


def test_print_screen_and_pause_with_ctrl_and_alt(pc, kbc):                # the third and fourth table
    assert sent(pc, kbc, "AltLeft", "PrintScreen") == "1184f084f011"
    assert sent(pc, kbc, "ShiftLeft", "PrintScreen") == "12e07ce0f07cf012"
    assert sent(pc, kbc, "ControlLeft", "Pause") == "14e07ee0f07ef014"


def test_alt_sysrq_in_set_1(): assert codes("PrintScreen", True, 1, alt=True)[0] == b"\x54"


def test_disable_enable_and_defaults(pc, kbc):                             # F5, F4, F6
    tell(pc, 0xF0, 1); assert tell(pc, 0xF5) == b"\xFA" and kbc.room == 0
    assert sent(pc, kbc, "KeyA") == "" and tell(pc, 0xF4) == b"\xFA" and sent(pc, kbc, "KeyA") == "1cf01c"
    tell(pc, 0xF3, 0); tell(pc, 0xF6); assert kbc.keyboard[0].rate == 0x2B
    kbc.press("KeyB"); tell(pc, 0xF4); assert all_bytes(pc) == b""         # "clears its output buffer"


def test_a_reply_goes_before_scan_codes_that_wait(pc, kbc):
    command(pc, 0xAD); kbc.press("KeyA")
    pc.write(0x60, 0xED); assert get(pc) == 0xFA
    pc.write(0x60, 0); assert all_bytes(pc, 5) == b"\xFA\x1C"


def test_typematic_rate_and_delay(pc, kbc):  # F3: 30 a second after 250 ms; reset: 10.9 after 500
    for setting, delay, period in ((None, 500, 91.7), (0x00, 250, 33.4), (0x7F, 1000, 500.4)):
        if setting is not None: assert tell(pc, 0xF3, setting) == b"\xFA\xFA"
        kbc.press("KeyX"); start = pc.clock.now; seen = []
        while len(seen) < 4:
            if get(pc, 1) is not None: seen.append((pc.clock.now - start) / MS)
        assert seen[0] < 2 and abs(seen[1] - delay) < 3
        assert abs(seen[3] - seen[2] - period) < 2 and abs(seen[2] - seen[1] - period) < 2
        kbc.release("KeyX"); assert all_bytes(pc, 30) == b"\xF0\x22"


def test_the_last_key_repeats_and_pause_does_not(pc, kbc):
    kbc.press("KeyA"); kbc.press("KeyB"); all_bytes(pc, 5)
    pc.advance(500 * MS); assert get(pc) == 0x32
    kbc.release("KeyB"); all_bytes(pc, 30); assert get(pc, 1000) is None   # KeyA is down but was not the last
    kbc.release("KeyA"); all_bytes(pc, 5); kbc.press("Pause"); all_bytes(pc, 5); assert get(pc, 1000) is None


def test_a_browsers_own_repeat_is_ignored(pc, kbc):
    for _ in range(5): kbc.press("KeyA")
    assert all_bytes(pc, 5) == b"\x1C"


def test_while_the_host_waits_a_held_key_leaves_one_code(pc, kbc):         # "only the first key stroke is stored"
    command(pc, 0xAD); kbc.press("KeyA"); pc.advance(3000 * MS); kbc.release("KeyA")
    command(pc, 0xAE); assert all_bytes(pc, 5) == b"\x1C\xF0\x1C"


@pytest.mark.parametrize("number,code", [(1, 0xFF), (2, 0x00), (3, 0x00)])
def test_the_buffer_has_16_bytes_and_ends_with_the_overrun_code(pc, kbc, number, code):    # "Buffer overrun"
    tell(pc, 0xF0, number); command(pc, 0xAD)
    for k in "QWERTYUIOPASDFGHJKL": kbc.press("Key" + k)
    command(pc, 0xAE)
    got = all_bytes(pc, 5)
    assert len(got) == 16 and got[-1] == code and code not in got[:-1]


def test_set_3_key_types(pc, kbc):                                         # F7-FD
    tell(pc, 0xF0, 3)
    assert tell(pc, 0xF9) == b"\xFA" and sent(pc, kbc, "KeyA") == "1c"     # all keys make only
    assert tell(pc, 0xF8) == b"\xFA" and sent(pc, kbc, "KeyA") == "1cf01c"
    assert tell(pc, 0xFC, 0x1C, 0xF4) == b"\xFA\xFA\xFA" and kbc.keyboard[0].types[0x1C] == 2       # A make/break
    assert tell(pc, 0xFB, 0x1C, 0xF4) == b"\xFA\xFA\xFA" and kbc.keyboard[0].types[0x1C] == 1       # A typematic
    assert tell(pc, 0xFD, 0x1C, 0x32, 0xF4) == b"\xFA\xFA\xFA\xFA"         # A and B make only; F4 ends the list
    assert sent(pc, kbc, "KeyA") == "1c" and sent(pc, kbc, "KeyB") == "32" and sent(pc, kbc, "KeyC") == "21f021"
    tell(pc, 0xFF); get(pc); assert kbc.keyboard[0].scan_set == 2


def test_every_key_is_known_in_every_set_and_no_two_are_alike():
    for n in (1, 2, 3):
        made = [codes(k, True, n)[0] for k in KEYS]
        made = [m for m in made if m]
        assert len(set(made)) == len(made) and (n == 3 or len(made) == len(KEYS))
    assert len(NUMBER) <= 160


def test_an_unknown_key_is_refused(pc, kbc):
    before = pc.snapshot()
    with pytest.raises(ValueError, match="KeyÄ"): kbc.press("KeyÄ")
    assert pc.diff(before, pc.array) == []


def test_text_to_keys():
    assert keys_for("aB") == [("KeyA", True), ("KeyA", False), ("ShiftLeft", True), ("KeyB", True), ("KeyB", False),
                              ("ShiftLeft", False)]
    assert keys_for("\r\n") == [("Enter", True), ("Enter", False)]
    text = "".join(map(chr, range(32, 127))) + "\n\t\b"
    moves = keys_for(text)
    assert sum(down for c, down in moves if c != "ShiftLeft") == len(text) and {c for c, _ in moves} <= CODES
    with pytest.raises(ValueError, match="'é' at position 3"): keys_for("caf" + "é")
    with pytest.raises(TypeError, match="str"): keys_for(b"x")

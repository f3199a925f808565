"""`until`: what was written since a moment.  The oracle is the sentence in watcher.py that each test restates."""
import numpy as np
import pytest
from fakes import FakeVga

from pyv86_nb.watcher import Line, Watcher

IPS = 1000


class Guest:
    def __init__(self):
        self.vga, self.com1, self.now = FakeVga(), Line(), 0
        self.watcher = Watcher(lambda: self.vga.cells.copy(), self.com1)

    def prints(self, text, ticks=10):
        self.vga.print(text)
        self.now += ticks
        self.watcher.look(self.now)
        self.watcher.look(self.now)                                # it stands still

    def key(self, echo=""):
        self.watcher.had_input(self.now)
        for c in echo: self.prints(c)

    def call(self): return self.watcher.moment(self.now, IPS)
    def finds(self, text, since): return self.watcher.found(text, since, self.now)


@pytest.fixture
def guest(): return Guest()


def test_an_old_prompt_does_not_count(guest):
    guest.prints("A:\\>")
    t = guest.call()
    assert not guest.finds("A:\\>", t)
    guest.prints("dir\n")
    assert not guest.finds("A:\\>", t)
    guest.prints("a.txt\nA:\\>")
    assert guest.finds("A:\\>", t)


def test_a_found_text_is_used_up_and_what_follows_is_not(guest):
    t = guest.call()
    guest.prints("12 bytes free\nA:\\>")
    assert guest.finds("bytes free", t)
    assert guest.call() == t                                   # straight after: the prompt behind it is not read yet
    assert guest.finds("A:\\>", t) and not guest.finds("A:\\>", guest.call())


def test_an_old_prompt_that_scrolls_stays_old(guest):
    guest.prints("\n".join(f"line {i}" for i in range(24)) + "\nA:\\>")
    t = guest.call()
    for line in ("x\n", "a\nb\n", "many\nlines\nat\nonce\n"):
        guest.prints(line)
        assert not guest.finds("A:\\>", t)
    guest.prints("A:\\>")
    assert guest.finds("A:\\>", t)


def test_a_look_in_the_middle_of_a_scroll(guest):
    guest.prints("\n".join(f"line {i}" for i in range(20)) + "\nA:\\>ver\n\nversion\n\nA:\\>")
    t = guest.call()
    old = guest.vga.cells.copy()
    for rows in (5, 12, 20, 22, 23, 24):                           # so many rows have moved up by one
        guest.vga.cells[:rows], guest.vga.cells[rows:] = old[1:rows + 1], old[rows:]
        guest.now += 1
        guest.watcher.look(guest.now)
        assert not guest.finds("A:\\>", t), rows
    guest.vga.cells[-1] = 0x0720
    guest.prints("A:\\>")
    assert guest.finds("A:\\>", t) and not guest.finds("A:\\>", t)


def test_a_prompt_printed_again_at_its_place_after_cls_is_new(guest):
    guest.prints("A:\\>")
    t = guest.call()
    guest.key("cls")
    guest.vga.clear()
    guest.prints("A:\\>")
    assert guest.finds("A:\\>", t)


def test_a_backspace_does_not_make_a_prompt_new(guest):
    guest.prints("A:\\>")
    t = guest.call()
    guest.key("x")
    guest.vga.column -= 1
    guest.vga.cells[0, guest.vga.column] = 0x0720
    guest.prints("")
    assert not guest.finds("A:\\>", t)


def test_typed_before_the_call_counts_from_the_typing(guest):
    guest.prints("A:\\>", 1000)
    guest.key("dir")
    guest.prints("\na.txt\nA:\\>")
    assert guest.finds("A:\\>", guest.call())


def test_an_answered_input_is_old(guest):
    guest.prints("A:\\>", 1000)
    guest.key("dir")
    guest.prints("\na.txt\nA:\\>")
    guest.now += IPS                                           # a second of silence
    assert not guest.finds("A:\\>", guest.call())


def test_without_input_a_call_counts_from_itself(guest):
    guest.prints("A:\\>", 1)
    assert not guest.finds("A:\\>", guest.call())


def test_trailing_blank_and_text_across_the_end_of_a_row(guest):
    t = guest.call()
    guest.prints("login: ")
    assert guest.finds("login: ", t)
    guest.vga.cells[3, 78:] = [0x0700 | ord("g"), 0x0700 | ord("o")]
    guest.vga.cells[4, :4] = [0x0700 | c for c in b"ther"]
    guest.prints("")
    assert guest.finds("gother", t)


def test_attributes_do_not_count_as_writing(guest):
    guest.prints("menu")
    t = guest.call()
    guest.vga.cells[0] ^= 0x7000
    guest.prints("")
    assert not guest.finds("menu", t)


def test_a_cleared_screen_of_another_size_is_new(guest):
    guest.prints("A:\\>")
    t = guest.call()
    guest.vga.cells = np.full((50, 80), 0x0720, np.uint16)
    guest.vga.row = guest.vga.column = 0
    guest.prints("A:\\>")
    assert guest.finds("A:\\>", t)


def test_serial_line(guest):
    guest.com1.came(b"login: ", 5)
    guest.now = 10
    t = guest.call()
    assert not guest.finds("login:", t)
    guest.com1.came(b"root\r\n# lo", 11)
    guest.com1.came(b"gin:", 12)
    assert guest.finds("login:", t) and not guest.finds("login:", t)
    assert not guest.finds("root", t)                          # before what was used up


def test_serial_text_that_was_half_there_counts(guest):
    guest.com1.came(b"Pass", 5)
    guest.now = 10
    t = guest.call()
    guest.com1.came(b"word:", 11)
    assert guest.finds("Password:", t)

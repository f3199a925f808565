"""The serial terminal in a page, with a real Linux on the line.   Oracle: what ECMA-48 and a person expect to see: the rows and colours of the page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from jlab import PATIENCE, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.boot]

TERMINAL = ".pyv86-terminal"
FIRST_COMPILE = 240  # s: a computer that has never run the engine compiles it first
BLUE, GREEN = "rgb(114, 159, 207)", "rgb(138, 226, 52)"  # 12 and 10 of xterm.js' palette (Tango): bold is bright, as on a VGA
PASTE = """(([selector, text]) => {
  const data = new DataTransfer();
  data.setData('text/plain', text);
  document.querySelector(selector + ' textarea').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
})"""


class Screen:
    """What one view shows: rows of text, and the style of a word."""

    def __init__(self, notebook: Any, number: int = 0) -> None:
        self.page = notebook.page
        self.box = self.page.locator(TERMINAL).nth(number)

    def rows(self) -> list[str]:
        texts = self.box.evaluate("e => [...e.querySelectorAll('.xterm-rows > div')].map(r => r.textContent)")
        return [str(row).replace("\xa0", " ").rstrip() for row in texts]

    def text(self) -> str:
        return "\n".join(self.rows()).rstrip("\n")

    def wait(self, text: str | re.Pattern[str], timeout: float = PATIENCE) -> str:
        def there() -> str | None:
            seen = self.text() + "\n"
            return seen if (re.search(text, seen) if isinstance(text, re.Pattern) else text in seen) else None

        try:
            return wait_until(there, timeout, f"{text!r} on the terminal")
        except TimeoutError as error:
            raise AssertionError(f"{error}; it shows\n{self.text()}") from None

    def style(self, word: str) -> dict[str, str]:
        """Computed colour and weight of the last span that shows `word` alone."""
        return self.box.evaluate(
            """(e, word) => { const s = [...e.querySelectorAll('.xterm-rows span')].filter(s => s.textContent.trim() === word).pop();
                 if (!s) return {}; const c = getComputedStyle(s); return {color: c.color, weight: c.fontWeight, back: c.backgroundColor}; }""",
            word,
        )

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=15)

    def click(self) -> None:
        self.box.locator(".xterm-screen").click()

    def paste(self, text: str) -> None:
        self.page.evaluate(PASTE, [TERMINAL, text])


@pytest.fixture
def linux(notebook: Callable[..., Any], image: Callable[[str], Any], seabios: Any) -> Callable[..., tuple[Any, Screen]]:
    """A page with a shell on COM1, shown by its second cell; further cells may be given."""

    def boot(*cells: str) -> tuple[Any, Screen]:
        page = notebook(
            [
                "import json\nfrom pyv86_nb import VM\n"
                f"vm = VM(kernel={str(image('vmlinuz-tiny'))!r}, initrd={str(image('initrd-busybox.cpio.gz'))!r}, "
                "cmdline='console=ttyS0,115200 quiet', clock='wall', mips=200)\n"
                "print(vm.run(until='/ # ', timeout=200).reason); vm.start();",
                "vm.serial[0]",
                *cells,
            ]
        )
        assert "until" in page.run(0, timeout=FIRST_COMPILE)
        page.run(1)
        screen = Screen(page)
        screen.box.wait_for()
        screen.wait("/ #")
        screen.click()
        return page, screen

    return boot


def test_colours_cursor_and_an_editor(linux) -> None:
    page, screen = linux()
    screen.type("clear; ls --color=always /\n")
    screen.wait(re.compile(r"\bsys\b.*\n/ #$", re.S))
    assert screen.style("bin")["color"] == BLUE and int(screen.style("bin")["weight"]) >= 600  # SGR 1;34
    assert screen.style("init")["color"] == GREEN  # SGR 1;32
    page.shot("terminal-ls.png")

    screen.type(r"clear; printf '\033[5;10Hhere\033[3A\033[2Dup\033[20;1H\033[41;33m low \033[m\n'" + "\n")
    screen.wait(re.compile("^ low", re.M))  # the command's own echo has the word too
    rows = screen.rows()
    assert rows[4][9:13] == "here" and rows[1][11:13] == "up" and rows[19].startswith(" low")  # CUP, CUU, CUB: ECMA-48, 8.3
    low = screen.style("low")
    assert (low["back"], low["color"]) == ("rgb(204, 0, 0)", "rgb(196, 160, 0)")  # colours 1 and 3

    screen.type("vi /tmp/letter\n")
    screen.wait(re.compile(r"^~$", re.M))
    screen.type("ifirst\nsecond\nthird")
    screen.wait(re.compile(r"^third\n.*^I /tmp/letter", re.S | re.M))
    page.page.keyboard.press("Escape")
    screen.wait(re.compile(r"^- /tmp/letter", re.M))  # or Escape and what follows are one key
    page.page.keyboard.press("ArrowUp")
    screen.type("0iNEW ")
    page.page.keyboard.press("Escape")
    screen.wait(re.compile(r"^NEW second\n.*^- /tmp/letter", re.S | re.M))
    assert screen.rows()[:3] == ["first", "NEW second", "third"]
    page.shot("terminal-vi.png")
    screen.type(":wq\n")
    screen.wait("/ #")
    screen.type("clear; cat /tmp/letter\n")
    screen.wait("first\nNEW second\nthird")


def test_keys_reach_the_guest_and_not_jupyterlab(linux) -> None:
    page, screen = linux()
    cells = page.page.locator(".jp-Notebook .jp-CodeCell").count()
    screen.type("echo run'ning'; sleep 1000\n")
    screen.wait("\nrunning")  # the line discipline is the shell's no longer
    page.page.keyboard.press("Control+c")
    screen.wait(re.compile(r"\^C\n/ #$"))
    screen.type("clear; echo one; bmax\n")  # b and m would make a cell and Markdown of one
    screen.wait(re.compile(r"bmax: not found\n/ #$"))  # before its prompt Backspace would be the line discipline's
    page.page.keyboard.press("ArrowUp")
    for _ in range(4):
        page.page.keyboard.press("Backspace")
    screen.type("echo again\n")
    screen.wait(re.compile(r"one\nagain\n/ #$"))
    screen.type("clear; cat -v\n")
    screen.wait(re.compile(r"^$"))
    for key in ("F1", "F5", "F12", "Home", "PageUp", "Tab", "Control+s", "Control+q", "Control+b"):
        page.page.keyboard.press(key)
    screen.type("\n")
    screen.wait(re.compile(r"\^\[OP\^\[\[15~\^\[\[24~\^\[\[H\^\[\[5~\s+\^B"))  # xterm's codes; ^S and ^Q are the line discipline's
    page.page.keyboard.press("Control+d")
    assert page.page.locator(".jp-Notebook .jp-CodeCell").count() == cells
    assert page.page.evaluate(f"document.querySelector('{TERMINAL}').contains(document.activeElement)")


def test_two_thousand_characters_are_pasted_whole(linux) -> None:
    page, screen = linux()
    text = "".join(f"line {n:03} of what is pasted\n" for n in range(74))[:2000]
    screen.type("stty -echo; clear; cat > /tmp/pasted\n")
    screen.wait(re.compile(r"^$"))
    screen.paste(text)
    screen.type("\n")
    page.page.keyboard.press("Control+d")
    screen.type("stty echo; wc -c /tmp/pasted; md5sum /tmp/pasted\n")
    expected = hashlib.md5((text + "\n").encode()).hexdigest()
    screen.wait(expected)


def test_a_flood_leaves_the_page_usable_and_the_end_is_shown(linux) -> None:
    page, screen = linux("import json\nprint(json.dumps([len(vm.serial[0].text), w.messages_sent - before]))", "from pyv86_nb.notebook.terminal import terminal\n"
                         "w = terminal(vm.serial[0])\nbefore = w.messages_sent\nvm.serial[0].line.came(b''.join(b'%07d flooding the line with text\\r\\n' % n for n in range(250000)), 0)")
    page.run(3)
    screen.wait("0249999 flooding")
    length, messages = page.value(2)
    assert length > 9_000_000 and messages < 60, (length, messages)
    screen.click()
    screen.type("\necho still $((6*7))\n")
    screen.wait("still 42")


def test_a_reload_and_a_second_view_show_the_same(linux) -> None:
    page, screen = linux("vm.serial[0]", "json.dumps(vm.serial[0].text.count('[6n'))")
    screen.type("clear; echo scroll\\ back; printf '\\033[7mreverse\\033[m\\n'\n")
    screen.wait("\nreverse")
    page.run(2)
    other = Screen(page, 1)
    other.wait("scroll back\nreverse\n/ #")
    wait_until(lambda: other.rows() == screen.rows(), what="the same on both")
    other.click()
    other.type("echo from both\n")
    screen.wait("\nfrom both")
    other.wait(re.compile(r"\nfrom both\n/ #$"))
    page.page.keyboard.press("Control+s")  # the line stops: ^S is the guest's, not "save"
    page.page.keyboard.press("Control+q")
    before = other.rows()
    page.cell(0).locator(".cm-content").click()  # JupyterLab keeps the outputs of a saved notebook only
    page.save()
    page.page.reload(wait_until="domcontentloaded")
    page.wait_ready()
    page.dismiss_dialogs()
    screen = Screen(page)
    screen.box.wait_for()
    wait_until(lambda: screen.rows() == before, what="what was there")  # replayed; and no answer to an old question of the guest's has been typed
    screen.click()
    screen.type("echo after $((1+1))\n")
    screen.wait("\nafter 2")
    page.shot("terminal-reload.png")

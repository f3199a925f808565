"""The page of the wiring.   Oracles: the board itself, driven pin by pin; IBM PC/AT Technical Reference, "System Interrupts"; MP Specification 1.4,
5.3 (the timer on input 2); PCI Local Bus 2.1, 2.2.6, and the PIIX firmware's rule: PIRQ = (device - 1 + pin) mod 4."""
import pathlib
import re

import numpy as np
import pytest

from pyv86_nb.board import wiring
from pyv86_nb.board.at_pc import at_pc
from pyv86_nb.cli import main

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def board(): return wiring.example()


def test_the_page_in_the_docs_is_this_boards(board, capsys):
    assert main(["wiring"]) == 0
    printed = capsys.readouterr().out
    assert printed == wiring.page(board)
    assert (ROOT / "docs/wiring.md").read_text(encoding="utf-8") == printed, "write it anew: pyv86-nb wiring > docs/wiring.md"


def level(board, pin):
    """The level that an input named "chip.pins[n]" shows."""
    chip, name, n = re.fullmatch(r"(\w+)\.(\w+)\[(\d+)\]", pin).groups()
    return getattr(board.chips[chip], name) >> int(n) & 1


def test_a_pin_that_is_driven_shows_where_the_page_says_and_nowhere_else():
    pc = wiring.example()
    lines = wiring.lines(pc)
    inputs = [p for line in lines for p in (line.pic, line.apic) if p]
    for line in lines:
        for source in line.sources:
            if str(source) == "pic2.INT": continue                        # the cascade: its own eight lines move it
            before = {p: level(pc, p) for p in inputs}
            was = pc.words[source.word]
            pc.words[source.word] = was ^ 1 << source.n
            pc.settle()
            moved = {p for p in inputs if level(pc, p) != before[p]} - {"pic1.ir[2]"}
            assert moved == {p for p in (line.pic, line.apic) if p}, (line.number, str(source), moved)
            pc.words[source.word] = was
            pc.settle()


def test_lines_are_those_of_an_at(board):
    lines = wiring.lines(board)
    by = {line.number: {s.chip.name for s in line.sources} for line in lines}
    assert by[1] == {"kbc"} and by[13] == {"coprocessor error"} and {"com2", "com4"} <= by[3] and {"com1", "com3"} <= by[4]
    assert "fdc" in by[6] and by[2] == {"pic2"} and "ide0" in by[14] and "ide1" in by[15] and "kbc" in by[12] and by[8] == {"hpet"}
    assert [line.apic for line in lines[:3]] == ["apic.INTIN[2]", "apic.INTIN[1]", ""], "the timer's is 2; 0 is the 8259s'"
    assert [line.number for line in lines if line.level == "no"] == [0, 1, 2, 8, 13], "PIIX3, 2.5.4: ELCR bits that are fixed to edge"
    assert wiring.steered(board) == [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15], "PIIX3, 2.2.7: PIRQRC"


def test_pirqs_go_round_with_the_device_number():
    pc = at_pc(virtio=4)
    for f in wiring.functions(pc):
        if not f.chip.startswith("virtio"): continue
        device = int(f.where[3:5], 16)
        assert f.pin == "INTA#" and f.wire == f"isa.PIRQ[{(device - 1) % 4}]"


def test_every_port_that_answers_is_on_the_page(board):
    places = wiring.ports(board)
    for port in np.flatnonzero(board.bus.ports[:, 0, :0x10000].any(axis=0)):
        chips = {board.doors[d][1].name for d in board.bus.ports[:, 0, port] if d}
        assert chips <= {p.chip for p in places if p.first <= port <= p.last}, hex(port)


def test_each_wire_is_on_the_page_once(board):
    page = wiring.page(board)
    shown = {(o, to) for o, to, _ in wiring.others(board)}
    for o, to in board._wires:
        in_lines = any(str(o) in map(str, line.sources) and str(to) in (line.pic, line.apic) for line in wiring.lines(board))
        in_pirqs = to.entry.name == "PIRQ"
        assert ((str(o), str(to)) in shown) + in_lines + in_pirqs == 1, (o, to)
        assert str(o) in page

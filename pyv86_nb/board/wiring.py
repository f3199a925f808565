"""The wiring as a page: who is where, which line goes where, in which order things begin.   Its rows come from the wires of at_pc.py and from what
the chips declare, so the page cannot say anything else than the board does.

    page(example())     Markdown.  `pyv86-nb wiring` prints it, docs/wiring.md keeps it, tests/board/test_wiring.py holds both to the board
"""
from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..devices.chip import keep
from ..devices.ide_drive import ATA, ATAPI, NO_DRIVE
from ..devices.pci import IO, PIN, PREFETCHABLE
from ..devices.piix3 import PIRQRC
from .at_pc import AtPc, at_pc

PORTS = 0x10000                                          # addresses from here on are what only the processor says (engine/bus.py)
LINES, INPUTS = 16, 24                                   # of the 8259s, of the I/O APIC


def example() -> AtPc:
    """The board that the page shows: two floppy drives, a hard disk, a CD-ROM drive, a virtio disk."""
    return at_pc(fda="1.44M", fdb="1.2M", ide=(ATA, NO_DRIVE, ATAPI, NO_DRIVE), virtio=1)


class Function(NamedTuple):
    """A function of PCI bus 0."""
    where: str
    chip: str
    ids: str
    class_code: str
    bars: str
    pin: str
    wire: str                                            # where its interrupt output is soldered to


class Line(NamedTuple):
    """An interrupt line."""
    number: int
    pic: str                                             # the 8259's input
    apic: str                                            # the I/O APIC's
    level: str                                           # whether ELCR may make it a level
    sources: list[Any]                                   # pins


class Place(NamedTuple):
    """A bank of registers at an address."""
    first: int
    last: int
    chip: str
    registers: str


def title(chip: Any) -> str:
    """What a chip is, in a few words."""
    return re.split(r"\.  |\. *$|, with|:", type(chip).title())[0]


def size(n: int) -> str:
    return f"{n >> 20} MiB" if n >= 1 << 20 else f"{n >> 10} KiB" if n >= 1 << 10 else f"{n} bytes"


def is_input(pin: Any) -> bool:
    """Whether a pin is an input of the 8259s or of the I/O APIC."""
    return pin.chip.name in ("pic1", "pic2") and pin.entry.name == "ir" or pin.entry.name == "INTIN"


def functions(board: AtPc) -> list[Function]:
    out = []
    bridge = board.chips["bridge"]
    for where, header, chip in sorted(bridge.plugged, key=lambda p: p[0]):
        raw = header.reset
        bars = [f"BAR{n}: {size(b.size)} {'of ports' if b.kind == IO else 'of prefetchable memory' if b.kind == PREFETCHABLE else 'of memory'}"
                for n, b in header.bars.items()]
        bars += [f"ROM: {size(header.rom)}"] * bool(header.rom)
        wire = [str(to) for o, to in board._wires if o.chip is chip and raw[PIN] and (to.entry.name == "PIRQ" or is_input(to))]
        ids, code = f"{raw[1]:02X}{raw[0]:02X}:{raw[3]:02X}{raw[2]:02X}", f"{raw[11]:02X}{raw[10]:02X}{raw[9]:02X}"
        pin = f"INT{'ABCD'[raw[PIN] - 1]}#" if raw[PIN] else ""
        out.append(Function(f"00:{where >> 3:02X}.{where & 7}", (chip or bridge).name, ids, code, "; ".join(bars), pin, ", ".join(wire)))
    return out


def lines(board: AtPc) -> list[Line]:
    """The 16 lines of the 8259s, then the inputs that the I/O APIC has alone."""
    pics, out = (board.chips["pic1"], board.chips["pic2"]), []
    for n in range(LINES):
        pic, ir = pics[n >> 3], n & 7
        sources = [o for o, to in board._wires if to.chip is pic and to.entry.name == "ir" and to.n == ir]
        also = sorted({str(to) for o, to in board._wires for s in sources if str(o) == str(s) and to.entry.name == "INTIN"})
        out.append(Line(n, f"{pic.name}.ir[{ir}]", ", ".join(also), "yes" if pic.strapping[1] >> ir & 1 else "no", sources))
    for n in range(LINES, INPUTS):
        out.append(Line(n, "", f"apic.INTIN[{n}]", "yes", [o for o, to in board._wires if to.entry.name == "INTIN" and to.n == n]))
    return out


def steering(board: AtPc) -> list[tuple[str, str, str]]:
    """(PIRQ, its register, who asks on it)."""
    asked = [[str(o) for o, to in board._wires if to.entry.name == "PIRQ" and to.n == n] for n in range(4)]
    return [(f"PIRQ{'ABCD'[n]}", f"{PIRQRC + n:02X}h of 00:01.0", ", ".join(asked[n])) for n in range(4)]


def steered(board: AtPc) -> list[int]:
    """The lines that a PIRQ can be steered to."""
    return sorted({line.number for line in lines(board) for o in line.sources if o.chip.name.startswith("isa.line")})


def short(doc: str) -> str:
    """The name of a register, without what the declaration says about it."""
    return re.split(r"[:;,(]| byte \d| \dx| \d wide", doc)[0].strip()


def ports(board: AtPc) -> list[Place]:
    """Banks that have an address at power-on, in the order of their addresses."""
    out = []
    for port, chip, bank in board.map:
        mine = [(offset, kind, short(doc)) for (b, offset, kind, _), (_, doc) in chip.ports.items() if b == bank and port + offset < PORTS]
        if not mine: continue
        names: dict[str, str] = {}                       # name -> r, w or rw
        for _, kind, name in sorted(mine, key=lambda m: (m[0], m[1])):
            had = names.get(name, "")
            names[name] = had if kind[0] in had else had + kind[0]
        at = [port + offset for offset, _, _ in mine]
        out.append(Place(min(at), max(at), chip.name, "; ".join(n if len(k) == 2 else f"{n} ({k})" for n, k in names.items())))
    return sorted(out)


def windows(board: AtPc) -> list[Place]:
    """Memory that a chip answers; 0 where a base address register says the place."""
    out = []
    for base, chip, window in board.regions.values():
        docs = sorted({doc for (name, _), (_, doc) in chip.windows.items() if name == window and not doc.startswith("memory window")})
        out.append(Place(base, base, chip.name, ": ".join([window, *["; ".join(docs)] * bool(docs)])))
    return sorted(out)


def others(board: AtPc) -> list[tuple[str, str, str]]:
    """(from, to, what it says) of every wire that the tables above do not have."""
    shown = {(str(o), str(to)) for line in lines(board) for o in line.sources for source, to in board._wires
             if str(source) == str(o) and str(to) in (line.pic, line.apic)}
    return [(str(o), str(to), o.entry.doc) for o, to in board._wires if (str(o), str(to)) not in shown and to.entry.name != "PIRQ"]


def kept(chip: Any) -> str:
    """What RESET leaves alone: fields, and parts that it does not reach at all."""
    out = []
    for c in chip.family():
        state = [e for e in c.layout.values() if e.kind in ("field", "buffer") and e.name != "ips" and not e.name.endswith("_by_hand")]
        names = [e.name for e in state if isinstance(e.reset, keep)]
        part = re.sub(r"\[\d+\]", "[]", c.name[len(chip.name) + 1:])
        if names: out.append(f"{part}{': ' * bool(part)}{'all' if part and len(names) == len(state) else ', '.join(names)}")
    return "; ".join(dict.fromkeys(out))


def order(board: AtPc) -> list[tuple[str, str, str, str]]:
    """(chip, what it is, its file, what RESET leaves alone), in the order in which they are powered on and reset."""
    return [(c.name, title(c), type(c).__module__.rpartition(".")[2] + ".py", kept(c)) for c in board.chips.values()]


# THE PAGE

def table(head: str, rows: Iterable[Iterable[Any]]) -> str:
    names = head.split("|")
    clean = lambda v: str(v).replace("|", "\\|") or " "
    body = [f"| {' | '.join(map(clean, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(names)} |", "|" + "---|" * len(names), *body])


def span(place: Place) -> str:
    return f"{place.first:03X}" if place.first == place.last else f"{place.first:03X}-{place.last:03X}"


def said(method: Any) -> str:
    """What a method says of itself, as one line."""
    return " ".join((inspect.getdoc(method) or "").split())


def page(board: AtPc) -> str:
    irq = [(n.number, n.pic, n.apic, n.level, ", ".join(map(str, n.sources)) or "nobody") for n in lines(board)]
    windows_ = [(f"{w.first:08X}" if w.first else "by BAR", w.chip, w.registers) for w in windows(board)]
    begin = [(i, *row) for i, row in enumerate(order(board), 1)]
    resets = [f"{o} ({o.entry.doc})" for o, to in board._wires if to.entry.name == "RESET"]
    return f"""# The wiring of the board

Generated by `pyv86-nb wiring` from [at_pc.py](../pyv86_nb/board/at_pc.py) and from what the chips declare; `tests/board/test_wiring.py`
holds this file to the board. Do not edit it. Shown is a PC with two floppy drives, a hard disk, a CD-ROM drive and one virtio disk.

## PCI, bus 0

{table("function|chip|id|class|base address registers|pin|soldered to", functions(board))}

## Interrupt steering (PIIX3)

A PIRQ is a level that its register steers to one of the lines {", ".join(map(str, steered(board)))}, or nowhere (bit 7, as after reset).
Several may share a line. A board with more virtio disks goes on with the next PIRQ, and after D with A.

{table("PIRQ|register|asked by", steering(board))}

## Interrupt lines

`isa.line[n].IRQ` are the steered PIRQs. A line whose trigger ELCR (4D0h, 4D1h) may set to level says so; the I/O APIC has that in each entry.

{table("line|8259|I/O APIC|level|driven by", irq)}

## Ports

In the order of their addresses, as at power-on; (r) and (w): only read, only written. Ports of base address registers are not here yet.

{table("ports|chip|registers", [(span(p), p.chip, p.registers) for p in ports(board)])}

## Memory windows

{table("address|chip|window", windows_)}

## Other wires

{table("from|to|what it says", others(board))}

## The order in which things begin

Chips are powered on one after the other, and reset in the same order. A chip's method touches its own chip only; wires move when all have been
reset, so the order is seen by nobody. Then the board maps ports and memory anew.

* Reset is asked for by {"; ".join(resets)}.
* `reset`: {said(AtPc.reset)}
* `reset_line`: {said(AtPc.reset_line)}
* `remap`: {said(AtPc.remap)}

{table("|chip|what it is|file|kept over RESET", begin)}
"""

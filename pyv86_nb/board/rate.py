"""Another number of ticks a guest second, in the middle of a run.

Guest time is ticks / rate.  Chips count their own crystals, which are functions of guest time, so when the rate changes the count of
ticks is scaled with it and guest time goes on where it was; what is kept in ticks is scaled too: deadlines, and the few fields named here.
Everything is rounded up, so no crystal ever steps back.
"""
from __future__ import annotations

from typing import Any

from ..devices.chip import NEVER
from ..engine import irq_trace

IN_TICKS = {"Ps2Keyboard": ("ready", "repeating"), "Ps2Mouse": ("ready", "next_packet"), "Fdc82077": ("unload", "asked"),
            "FloppyDrive": ("up_to_speed", "arrival"), "Comparator": ("match", "fall")}
NOT_IN_TICKS = {                                         # fields of 63 bits that count something else; a test holds this complete
    "Clock": ("now", "ips"), "Counter": ("t0", "switch", "stop", "loaded"), "RtcMc146818": ("since", "second", "t0"), "Piix4Pm": ("turn",),
    "Uart16550": ("lost",), "Apic": ("began",), "LocalApic": ("began",), "Hpet": ("held", "began"), "Comparator": ("value", "period"),
    "Ring": ("head", "tail"), "DebugPorts": ("before",), "IdeChannel": ("lba",), "IdeDrive": ("capacity",)}


def set_rate(board: Any, ips: int) -> int:
    """Change the rate.  Answers by how much the count of ticks has gone down (below 0: up)."""
    clock = board.clock
    before, old = int(clock.now), int(clock.ips)

    def scaled(t: int) -> int:
        return t if t >= NEVER else min(-(-t * ips // old), NEVER - 1)

    for chip in board.family():
        for e in chip.layout.values():
            if e.kind == "deadline" or e.name in IN_TICKS.get(type(chip).__name__, ()):
                chip.w[e.slot] = scaled(int(chip.w[e.slot]))
        if "ips" in chip.layout:
            chip.ips = ips
    for table in (board.bus.lines[:irq_trace.OTHER], board.bus.frames[:, 2:]):
        table[...] = [[scaled(int(t)) if t > 0 else t for t in row] for row in table]
    clock.now, clock.ips = scaled(before), ips
    return before - int(clock.now)

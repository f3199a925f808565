"""Every timer of the board as one row: what `vm.timers()` shows.  Computed from fields; nothing is read from a port."""
from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import hpet, lapic, pit_8254, rtc_mc146818
from ..devices.chip import NEVER
from ..devices.clock import instant, ticks

PM_HZ, PM_TURN = 3_579_545, 1 << 24                      # ACPI Specification 1.0, 4.7.3.3: 24 bits
DTYPE = np.dtype([("name", "U12"), ("mode", "U28"), ("reload", "i8"), ("count", "i8"), ("frequency", "f8"), ("period", "f8"),
                  ("next", "f8"), ("output", "i1")])
PIT_MODES = ("0 terminal count", "1 one-shot", "2 rate generator", "3 square wave", "4 software strobe", "5 hardware strobe")


def table(board: Any, tsc: int = 0) -> np.ndarray:
    """One row for each PIT channel, the RTC, the ACPI PM timer, each HPET comparator, the APIC timer and the TSC.

    Returns
    -------
    numpy.ndarray
        name; mode in words; reload (counts of one period, 0 if it has none); count (as the guest would read it now);
        frequency (Hz, of what it counts); period (s, NaN if not periodic); next (guest s of its next output edge, NaN if none comes);
        output (level, -1 if it has no pin).
    """
    now, ips = int(board.clock.now), int(board.clock.ips)
    rows = [*pit_rows(board.chips["pit"], now, ips)] if "pit" in board.chips else []
    if "rtc" in board.chips:
        rows.append(rtc_row(board.chips["rtc"], now, ips))
    if any(type(c).__name__ == "Piix4Pm" for c in board.chips.values()):
        t = ticks(now, PM_HZ, ips)
        edge = (t // (PM_TURN // 2) + 1) * (PM_TURN // 2)                # bit 23 turns over
        rows.append(("pm", "24 bits, free running", PM_TURN, t % PM_TURN, PM_HZ, PM_TURN / PM_HZ, edge / PM_HZ, -1))
    if "hpet" in board.chips:
        rows += hpet_rows(board.chips["hpet"], now, ips)
    if "apic" in board.chips and board.chips["apic"].fitted:
        rows.append(apic_row(board.chips["apic"], now, ips))
    rows.append(("tsc", "64 bits, free running", 0, tsc, ips, np.nan, np.nan, -1))
    return np.array(rows, DTYPE)


def seconds(tick: int, hz: int, ips: int) -> float:
    """Guest seconds at which tick `tick` of a crystal begins."""
    return float(instant(tick, hz, ips)) / ips if tick < NEVER else float("nan")


def pit_rows(pit: Any, now: int, ips: int) -> Any:
    hz = pit_8254.HZ
    t = ticks(now, hz, ips)
    for i, c in enumerate(pit.counter):
        periodic = c.mode in (2, 3)
        running = c.t0 < NEVER
        yield (f"pit{i}", PIT_MODES[c.mode] + (", BCD" if c.bcd else ""), c.cr, pit_8254.count(c, t), hz,
               c.n / hz if periodic and running else np.nan, seconds(pit_8254.next_edge(c, t), hz, ips), pit_8254.out(c, t))


def rtc_row(rtc: Any, now: int, ips: int) -> tuple[Any, ...]:
    hz = rtc_mc146818.HZ
    t, period = rtc.tick(now), rtc.period()
    enabled = [n for n, on in (("periodic", rtc.PIE), ("alarm", rtc.AIE), ("update", rtc.UIE)) if on]
    count = (rtc.next_period(t) - t) if period and rtc.next_period(t) < NEVER else 0
    return ("rtc", ", ".join(enabled) or "no interrupt enabled", period, count, hz, period / hz if period else np.nan,
            float(rtc.alarm) / ips if rtc.alarm < NEVER else np.nan, rtc.IRQ)


def hpet_rows(h: Any, now: int, ips: int) -> Any:
    """One row for each comparator; count is the main counter's."""
    for i, t in enumerate(h.timer):
        periodic = bool(t.config & hpet.PERIODIC and t.period)
        mode = ("periodic" if periodic else "one match") if t.config & hpet.INT_ENB and h.config & hpet.ENABLE else "off"
        yield (f"hpet{i}", mode + (", legacy route" if h.config & hpet.LEGACY and i < 2 else ""), t.period if periodic else 0,
               hpet.counter(h, now), hpet.HZ, t.period / hpet.HZ if periodic else np.nan, t.match / ips if t.match < NEVER else np.nan, t.out)


def apic_row(c: Any, now: int, ips: int) -> tuple[Any, ...]:
    mode, masked = lapic.timer_mode(c), c.lvt[lapic.TIMER].v & lapic.MASKED
    words = ("one-shot", "periodic", "TSC deadline", "TSC deadline")[mode]
    hz = ips if mode >= lapic.TSC_DEADLINE else lapic.HZ / lapic.divider(c)
    return ("apic", words + (", masked" if masked else ""), c.initial, lapic.count(c, now), hz,
            c.initial / hz if mode == lapic.PERIODIC and c.initial else np.nan, c.expires / ips if c.expires < NEVER else np.nan, -1)

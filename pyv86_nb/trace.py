"""`vm.trace`: recorders, each a ring of rows that is a structured numpy array when looked at.

    vm.trace.irq.array                               # on from power-on
    vm.trace.registers.start(every=1000)             # one row every 1000 instructions, exactly
    vm.trace.timer.start(every=50e-6)                # one row a timer every 50 guest microseconds
    pd.DataFrame(vm.trace.timer.array);  pl.from_arrow(vm.trace.irq)

The first fields are always instruction (u8) and time (f8, guest seconds).  A full ring drops its oldest rows and counts them in `.lost`.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import regs
from .engine import irq_trace

if TYPE_CHECKING:
    from .vm import VM

CAPACITY = 1 << 16
MOST = 1 << 26
TIMER = np.dtype([*regs.COUNTED, ("timer", "U12"), ("output", "i1"), ("count", "i8"), ("reload", "i8"), ("period", "f8")])
ABSENT = ("port", "exception", "block", "memory")


class Recorder:
    """A ring of rows of one dtype.

    Attributes
    ----------
    array : numpy.ndarray
        The rows recorded, oldest first; a copy.
    lost : int
        Rows dropped because the ring was full.
    on : bool
    """

    name: str = ""
    dtype: np.dtype[Any] = np.dtype(regs.COUNTED)
    filters: tuple[str, ...] = ()

    def __init__(self, vm: VM) -> None:
        self._vm, self._on = vm, False
        self._rows, self._head = np.zeros(0, self.dtype), 0

    def start(self, capacity: int = CAPACITY, **filter: Any) -> Recorder:
        """Record from now on, into a ring of `capacity` rows; what was recorded before is dropped."""
        self._check(capacity, filter)
        with self._vm._at_rest():
            self._begin(capacity, filter)
            self._on = True
        return self

    def _check(self, capacity: int, filter: dict[str, Any]) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= MOST:
            raise ValueError(f"capacity={capacity!r} is not a number of rows from 1 to {MOST:,}")
        for word in filter:
            if word not in self.filters:
                known = ", ".join(f"{name}=" for name in self.filters)
                raise TypeError(f"vm.trace.{self.name} has no filter {word}=; it takes {known}")

    def _begin(self, capacity: int, filter: dict[str, Any]) -> None:
        self._rows, self._head = np.zeros(capacity, self.dtype), 0

    def stop(self) -> None:
        """Record no more; the rows stay."""
        with self._vm._at_rest():
            self._on = False

    def clear(self) -> None:
        """Forget the rows; recording goes on if it was on."""
        with self._vm._at_rest():
            self._head = 0

    @property
    def on(self) -> bool:
        return self._on

    @property
    def lost(self) -> int:
        with self._vm._at_rest():
            return max(self._head - len(self._rows), 0)

    @property
    def array(self) -> np.ndarray:
        with self._vm._at_rest():
            return self._ordered(self._rows, self._head)

    @staticmethod
    def _ordered(rows: np.ndarray, head: int) -> np.ndarray:
        return rows[:head].copy() if head <= len(rows) else np.roll(rows, -(head % len(rows)))

    def _put(self, row: tuple[Any, ...]) -> None:
        self._rows[self._head % len(self._rows)] = row
        self._head += 1

    def frame(self) -> Any:
        """A pandas DataFrame of `.array`."""
        try:
            import pandas
        except ImportError:
            raise ImportError("frame() makes a pandas DataFrame; pip install pandas, or use .array, which is plain numpy") from None
        return pandas.DataFrame(self.array)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The rows as an Arrow stream: polars, duckdb and pyarrow take the recorder itself."""
        try:
            import pyarrow
        except ImportError:
            raise ImportError("the Arrow interface needs pyarrow; pip install pyarrow, or use .array, which is plain numpy") from None
        rows = self.array
        columns = {n: rows[n].tolist() if rows.dtype[n].kind == "U" else np.ascontiguousarray(rows[n]) for n in rows.dtype.fields or ()}
        types = {n: pyarrow.string() for n in columns if rows.dtype[n].kind == "U"}
        table = pyarrow.table({n: pyarrow.array(c, types.get(n)) for n, c in columns.items()})
        return table.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        on, names = "on" if self._on else "off", ", ".join(self.dtype.fields or ())
        return f"<trace.{self.name}: {on}, {len(self):,} rows, {self.lost:,} lost; fields {names}>"

    # what the runner asks between slices
    next_count: int | None = None                        # the instruction at which it wants to sample
    next_tick: int | None = None                         # the tick

    def _sample(self, machine: Any) -> None:
        """A slice has ended."""


class Irq(Recorder):
    """Interrupt requests: one row for each edge, written by the board as it happens; on from power-on.

    Rows: instruction, time, event ("raise" and "lower" of a request line, "mask", "unmask", "accept", "eoi", "iret"), irq (0-15; -1: the local
    APIC's own, its timer or a message), vector, cs and eip (where the processor was), latency (s: of an accept since the raise, of an eoi and an
    iret since the accept; NaN elsewhere).
    Filters: irq=, event=, a value or several.
    """

    name, dtype, filters = "irq", irq_trace.SHOWN, ("irq", "event")

    def __init__(self, vm: VM) -> None:
        super().__init__(vm)
        self._filter: dict[str, tuple[Any, ...]] = {}
        self._on = True

    def _check(self, capacity: int, filter: dict[str, Any]) -> None:
        super()._check(capacity, filter)
        for word, value in filter.items():
            for v in several(value):
                if word == "irq" and (not isinstance(v, int) or not 0 <= v <= 15):
                    raise ValueError(f"irq={v!r} is not an interrupt line from 0 to 15")
                if word == "event" and v not in irq_trace.EVENTS:
                    raise ValueError(f"event={v!r} is unknown; the events are {', '.join(irq_trace.EVENTS)}")

    def _begin(self, capacity: int, filter: dict[str, Any]) -> None:
        self._filter = {word: several(value) for word, value in filter.items()}
        self._vm._machine.irq_ring(capacity)

    def stop(self) -> None:
        with self._vm._at_rest() as machine:
            machine.irq_recording(False)
            self._on = False

    def clear(self) -> None:
        with self._vm._at_rest() as machine:
            machine.irq_clear()

    @property
    def lost(self) -> int:
        with self._vm._at_rest() as machine:
            return irq_trace.lost(machine.board.bus)

    @property
    def array(self) -> np.ndarray:
        with self._vm._at_rest() as machine:
            out = irq_trace.rows(machine.board.bus)
        keep = np.ones(len(out), bool)
        for word, values in self._filter.items():
            keep &= np.isin(out[word], values)
        return out[keep]


class RegisterTrace(Recorder):
    """All registers, once every `every` instructions (default 1000), exactly: slices of the machine end there."""

    name, dtype, filters = "registers", regs.DTYPE, ("every",)

    def _check(self, capacity: int, filter: dict[str, Any]) -> None:
        super()._check(capacity, filter)
        every = filter.get("every", 1000)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every={every!r} is not a number of instructions; give an int of 1 or more")

    def _begin(self, capacity: int, filter: dict[str, Any]) -> None:
        super()._begin(capacity, filter)
        self._every = filter.get("every", 1000)
        self.next_count = int(self._vm._machine.processor.instructions) + self._every

    def stop(self) -> None:
        super().stop()
        self.next_count = None

    def _sample(self, machine: Any) -> None:
        if self.next_count is not None and machine.processor.instructions >= self.next_count:
            self._put(regs.values(machine))
            self.next_count += self._every


class TimerTrace(Recorder):
    """What `vm.timers()` shows, once every `every` guest seconds (default 0.001): one row a timer.

    Rows: instruction, time, timer (name as in `vm.timers()`), output (0, 1, -1 if it has none), count, reload, period (s).
    Filter: timer=, a name or several.
    """

    name, dtype, filters = "timer", TIMER, ("every", "timer")

    def _check(self, capacity: int, filter: dict[str, Any]) -> None:
        super()._check(capacity, filter)
        every = filter.get("every", 1e-3)
        if isinstance(every, bool) or not isinstance(every, (int, float)) or not math.isfinite(every) or every <= 0:
            raise ValueError(f"every={every!r} is not a time; give guest seconds above 0")
        known = [str(n) for n in self._vm._machine.timers()["name"]]
        for name in several(filter.get("timer", ())):
            if name not in known:
                raise ValueError(f"timer={name!r} is unknown; the timers are {', '.join(known)}")

    def _begin(self, capacity: int, filter: dict[str, Any]) -> None:
        super()._begin(capacity, filter)
        machine = self._vm._machine
        self._every = max(1, round(filter.get("every", 1e-3) * machine.ips))
        self._only = several(filter.get("timer", ()))
        self.next_tick = machine.now
        self._sample(machine)

    def stop(self) -> None:
        super().stop()
        self.next_tick = None

    def _sample(self, machine: Any) -> None:
        if self.next_tick is None or machine.now < self.next_tick:
            return
        count, time = int(machine.processor.instructions), machine.time
        for t in machine.timers():
            if not self._only or t["name"] in self._only:
                self._put((count, time, t["name"], t["output"], t["count"], t["reload"], t["period"]))
        self.next_tick = machine.now + self._every


class Traces:
    """The recorders of one machine: `.irq`, `.registers`, `.timer`."""

    def __init__(self, vm: VM) -> None:
        self.irq, self.registers, self.timer = Irq(vm), RegisterTrace(vm), TimerTrace(vm)

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT:
            raise AttributeError(f"vm.trace.{name} does not exist in this version; vm.trace.irq, vm.trace.registers and vm.trace.timer do")
        raise AttributeError(f"vm.trace.{name}: there is no such recorder; there are irq, registers, timer")

    @property
    def _next_count(self) -> int | None:
        return self.registers.next_count

    @property
    def _next_tick(self) -> int | None:
        return self.timer.next_tick

    def _sample(self, machine: Any) -> None:
        if self.registers.next_count is not None:
            self.registers._sample(machine)
        if self.timer.next_tick is not None:
            self.timer._sample(machine)

    def _restored(self, machine: Any) -> None:
        """The machine is at another moment: recorders that are on go on from there."""
        if self.registers.next_count is not None:
            self.registers.next_count = int(machine.processor.instructions) + self.registers._every
        if self.timer.next_tick is not None:
            self.timer.next_tick = machine.now + self.timer._every

    def _rescale(self, later: Callable[[int], int], factor: float) -> None:
        """The rate has changed: `later(tick)` is where a tick to come is now."""
        if self.timer.next_tick is not None:
            self.timer.next_tick = later(self.timer.next_tick)
            self.timer._every = max(1, round(self.timer._every * factor))

    def __repr__(self) -> str:
        return "\n".join(map(repr, (self.irq, self.registers, self.timer)))


def several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list, set, range, np.ndarray)) else (value,)

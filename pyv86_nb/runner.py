"""The machine in motion: slices, clocks, and the thread that runs them.

One loop serves `run` (in the caller's thread) and `start` (in a daemon thread of the machine's own).  It runs the processor for slices of at
most 10 ms of host time, sized by the speed just measured; between two slices, and only there, inputs are applied, the screen is looked at,
visitors from other threads get their turn, and a stop is decided.

What decides where a run ends is counted in guest time only, so with the virtual clock the same inputs end at the same instruction whatever
the host does.  `timeout` and the size of slices are the two exceptions: the first ends a run, the second cannot change one.

Two clocks
    virtual   as fast as the host can; HLT goes straight to the next deadline
    wall      guest time does not run ahead of real time: the loop sleeps, also through HLT, and wakes for an input.  A host too slow for the
              rate is given a lower one, a few times a second; the rate goes up again only when asked, for DOS never idles.
"""
from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, cast

from . import options
from .inputs import NEVER
from .stop import Reason, Stop

if TYPE_CHECKING:
    from .assembly import Machine
    from .inputs import Inputs
    from .trace import Traces
    from .watcher import Watcher

HOST_SLICE = 0.004                                       # seconds aimed at; never more than 10 ms unless the guest changes character within one
GUEST_SLICE, WALL_SLICE = 0.040, 0.005                   # guest seconds
FIRST_LOOK, LONGEST_LOOK = 50e-6, 0.005                  # guest seconds between two looks at the screen: short at first, then longer
REST = 1.0                                               # and while nothing changes, which is watched
SETTLING = 500e-6                                        # the longest while it changes
BEHIND, WINDOW, MARGIN = 0.1, 0.25, 0.9                  # wall clock: seconds late before the rate is lowered; how often; how far below the speed
SWITCH = 0.001                                           # thread switch interval while a machine runs in the background
FIRST_SPEED = {"python": 20_000.0}                       # instructions a second, before the first measurement
DEFAULT_SPEED = 20e6


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls `stop` and is raised when the block has ended, never in the middle of a chip; a second one is raised at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if seen:
            before(number, frame)
        seen.append(number)
        stop()

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            before(seen[0], None)


@dataclass
class Goal:
    """Where a run ends.  Counts are absolute."""

    instructions: int | None = None
    tick: int | None = None
    host: float | None = None
    text: str | None = None
    since: int = 0
    ask: Callable[[], bool] | None = None
    wall: Callable[[], bool] = field(default=lambda: False)


class Switching:
    """The interpreter's switch interval, lowered while any machine runs in the background: its thread needs the lock for a moment
    hundreds of times a second, and waits a whole interval for it when the main thread computes."""

    lock, running, before = threading.Lock(), 0, 0.005

    @classmethod
    def enter(cls) -> None:
        with cls.lock:
            if cls.running == 0:
                cls.before = sys.getswitchinterval()
                sys.setswitchinterval(min(cls.before, SWITCH))
            cls.running += 1

    @classmethod
    def leave(cls) -> None:
        with cls.lock:
            cls.running -= 1
            if cls.running == 0:
                sys.setswitchinterval(cls.before)


class Runner:
    """Slices, pacing and the thread of one machine."""

    def __init__(self, machine: Machine, inputs: Inputs, watcher: Watcher, traces: Traces, tier: str = "") -> None:
        self.machine, self.inputs, self.watcher, self.traces = machine, inputs, watcher, traces
        self.door = threading.Condition(threading.RLock())       # held by whoever moves the machine or looks at it
        self.visitors, self.visiting = 0, threading.Lock()
        self.thread: threading.Thread | None = None
        self.foreground = False
        self.pause_wanted = False
        self.pending_reset = ""                                  # the stop reason whose reset is still to be done
        self.last: Stop | None = None
        self.failure: BaseException | None = None
        self.speed = FIRST_SPEED.get(tier, DEFAULT_SPEED)
        self.measured_mips = 0.0
        self.window = (time.perf_counter(), machine.processor.instructions)
        self.waiters: list[Waiter] = []
        self.goal: Goal | None = None                            # of the run that goes on
        self.pace_from()

    # VISITORS: another thread's turn between two slices

    @contextmanager
    def boundary(self) -> Iterator[None]:
        """The machine at rest between two slices, for the thread that asks."""
        with self.visiting:
            self.visitors += 1
        with self.door:
            with self.visiting:
                self.visitors -= 1                       # those who wait are counted, not those who are in
            try:
                yield
            finally:
                self.door.notify_all()

    def breathe(self) -> None:
        while self.visitors:
            self.door.wait(0.05)

    def wake(self) -> None:
        """An input has come: a sleeping pacer should look."""
        if self.door.acquire(blocking=False):            # held by the loop: it looks by itself when the slice is over
            self.door.notify_all()
            self.door.release()

    # THE LOOP

    def go(self, goal: Goal) -> Stop:
        """Run until something of `goal` is met or the machine stops by itself.  The door is held."""
        machine, processor = self.machine, self.machine.processor
        if self.pending_reset:
            why, self.pending_reset = self.pending_reset, ""
            machine.reset(why)
        begun, next_look = machine.now, machine.now
        paced, self.goal = False, goal
        while True:
            now = machine.now
            if goal.wall() != paced:
                paced = not paced
                self.pace_from()
            if self.inputs.drain(now, machine.ips):
                self.watcher.had_input(now)
            if self.inputs.moved:                        # an answer may come soon: look often
                self.inputs.moved, begun, next_look = False, now, now
            if now >= next_look:
                self.look(now)
                next_look = now + self.interval(max(now - begun, 0))
                if goal.text is not None and self.watcher.found(goal.text, goal.since, now):
                    return self.stopped("until")
                if goal.ask is not None and goal.ask():
                    return self.stopped("until")
            if goal.instructions is not None and processor.instructions >= goal.instructions:
                return self.stopped("instructions")
            if goal.tick is not None and now >= goal.tick:
                return self.stopped("seconds")
            if self.pause_wanted:
                return self.stopped("paused")
            if goal.host is not None and time.perf_counter() >= goal.host:
                return self.stopped("timeout")
            ends = [next_look, self.inputs.due, now + int((WALL_SLICE if paced else GUEST_SLICE) * machine.ips)]
            ends += [t for t in (goal.tick, self.traces._next_tick) if t is not None]
            budget = self.budget(now, min(ends), goal)
            stop = self.slice(budget)
            if stop is not None:                         # a guest may print its last words and halt
                said = stop.reason == "halted" and goal.text is not None and self.watcher.found(goal.text, goal.since, machine.now)
                return self.stop_here("until") if said else stop
            if machine.noticed:
                soon = SETTLING if machine.noticed == "screen" else LONGEST_LOOK
                next_look = min(next_look, machine.now + int(soon * machine.ips))
            if paced:
                self.pace()
            if self.visitors:
                self.breathe()

    def interval(self, elapsed: int) -> int:
        """Ticks to the next look: an eighth of what has passed since the call, within bounds.  A function of guest time alone.

        When nobody waits for a text, one for each slice: looks hold the interpreter's lock, which a key on its way needs too.  When somebody
        does and nothing moves, the chips say when something does.
        """
        ips, asked = self.machine.ips, self.goal
        if not self.waiters and asked is not None and asked.text is None and asked.ask is None:
            return max(1, int(GUEST_SLICE * ips))
        longest = LONGEST_LOOK if self.watcher.still else SETTLING
        ticks = max(1, int(min(max(elapsed / 8, FIRST_LOOK * ips), longest * ips)))
        if ticks < int(LONGEST_LOOK * ips) or asked is not None and asked.ask is not None:
            return ticks
        self.machine.watch(True)
        return int(REST * ips)

    def budget(self, now: int, end: int, goal: Goal) -> int:
        """Ticks of the next slice: to the nearest end, within the host's slice; exact where instructions are counted."""
        ticks = int(self.speed * HOST_SLICE)
        counted = [n for n in (goal.instructions, self.traces._next_count) if n is not None]
        if counted:
            ticks = min(ticks, min(counted) - self.machine.processor.instructions)
        if self.machine.halted:                          # it retires nothing before it wakes: up to there no count can be passed
            ticks = max(ticks, self.machine.next_deadline - now)
        return max(min(ticks, end - now), 1)

    def slice(self, budget: int) -> Stop | None:
        machine, processor = self.machine, self.machine.processor
        before, clock = processor.worked, time.perf_counter()
        what = machine.run(budget)
        host, done = time.perf_counter() - clock, processor.worked - before
        if host > 50e-6 and done > 1000:
            self.speed = min(max(self.speed * 0.5 + done / host * 0.5, 1000.0), self.speed * 2)
        self.measure()
        machine.collect()
        self.traces._sample(machine)
        if what == "":
            return None
        if what in ("reset", "triple-fault"):
            self.pending_reset = what
        return self.stopped(what, machine.detail(what))

    def measure(self) -> None:
        then, count = self.window
        now = time.perf_counter()
        if now - then >= WINDOW:
            self.measured_mips = (self.machine.processor.instructions - count) / (now - then) / 1e6
            self.window = (now, self.machine.processor.instructions)

    def look(self, now: int) -> None:
        """The screen and the lines, for whoever waits for a text."""
        self.watcher.look(now)
        for w in [w for w in self.waiters if self.watcher.found(w.text, self.watcher.input, now)]:
            self.waiters.remove(w)
            w.answer(self.stop_here("until"))

    def stop_here(self, reason: str, detail: str = "") -> Stop:
        return Stop(cast(Reason, reason), int(self.machine.processor.instructions), self.machine.time, detail)

    def stopped(self, reason: str, detail: str = "") -> Stop:
        now = self.machine.now
        self.machine.watch(False)
        self.watcher.look(now)
        return self.stop_here(reason, detail)

    # THE WALL CLOCK

    def pace_from(self) -> None:
        """Guest time and real time are equal now."""
        self.real, self.guest = time.perf_counter(), self.machine.time
        self.judged, self.slow = (self.real, self.machine.now), 0

    def pace(self) -> None:
        real = time.perf_counter()
        ahead = (self.machine.time - self.guest) - (real - self.real)
        if ahead > 0.0005 and not self.inputs.waiting and not self.pause_wanted:
            self.door.wait(min(ahead, 0.05))
        then, tick = self.judged
        if real - then < WINDOW:
            return
        self.slow = self.slow + 1 if ahead < -BEHIND else 0
        if self.slow:
            self.real, self.guest = real, self.machine.time          # what was lost is lost: no race to catch up
        if self.slow > 1:                                            # once may be the host's hiccup
            speed = (self.machine.now - tick) / (real - then)        # ticks a second that this host manages
            rate = max(int(speed * MARGIN), self.machine.ips // 2, int(options.LEAST_MIPS * 1e6))
            if rate < self.machine.ips:
                self.inputs.note(self.machine.now, ("rate", rate))
                self.set_rate(rate)
        self.judged = real, self.machine.now

    def set_rate(self, ips: int) -> None:
        """Change the rate; moments still to come stay at their guest time."""
        machine, old = self.machine, self.machine.ips
        machine.set_rate(ips)
        later = lambda tick: machine.now + max(-(-(tick - machine.now) * ips // old), 0)
        if self.goal is not None and self.goal.tick is not None:
            self.goal.tick = later(self.goal.tick)
        self.inputs.next_edge = later(self.inputs.next_edge) if self.inputs.next_edge < NEVER else NEVER
        self.traces._rescale(later, ips / old)
        self.real, self.guest = time.perf_counter(), machine.time
        self.judged = self.real, machine.now

    # RUN, START, PAUSE

    @property
    def running(self) -> bool:
        return self.thread is not None

    def foreground_run(self, goal: Goal) -> Stop:
        with self.boundary():
            self.foreground, self.pause_wanted = True, False
            try:
                self.last = self.go(goal)
            finally:
                self.foreground = False
        return self.last

    def start(self, wall: Callable[[], bool]) -> None:
        self.pause_wanted, self.failure = False, None
        self.thread = threading.Thread(target=self.background, args=(wall,), name="pyv86_nb machine", daemon=True)
        Switching.enter()
        self.thread.start()

    def background(self, wall: Callable[[], bool]) -> None:
        stop = None
        try:
            while True:
                with self.door:
                    stop = self.go(Goal(wall=wall))
                if stop.reason != "reset":               # a PC that resets itself goes on
                    break
        except BaseException as e:                       # shown by the next call; a thread has nobody to tell
            self.failure = e
        finally:
            self.last = stop
            self.thread = None
            Switching.leave()
            for w in self.waiters[:]:
                w.answer(stop or self.stop_here("paused", f"the machine's thread failed: {self.failure!r}"))
            self.waiters.clear()

    def pause(self) -> None:
        self.pause_wanted = True
        thread = self.thread
        if thread is not None and thread is not threading.current_thread():
            self.wake()
            thread.join()


@dataclass(eq=False)
class Waiter:
    """Somebody who waits for a text while the machine runs in the background."""

    text: str
    answer: Callable[[Stop], None]

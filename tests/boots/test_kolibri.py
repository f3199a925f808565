"""KolibriOS from its floppy to the desktop, driven by mouse and keyboard.   Oracle: QEMU, the same image, picture by picture.

What is not compared: the two ends of the task bar, where a bar shows the load of the processor and a clock the time of day.  All
else is equal to the pixel.
"""
import time

import numpy as np
import pytest

from bench.qemu import Qemu, found
from pyv86_nb import VM

pytestmark = [pytest.mark.boot, pytest.mark.slow]

MENU, ENTER = "Press [abcde]", "\n"
SIZE = (600, 800, 3)
LOAD_AND_CLOCK = np.s_[573:, 745:]
NAMES = {" ": "spc", "\n": "ret"}
FIRST = 50_000_000

# The pointer is sent to a corner, where it stops, and from there to its aim.  The first click, beside everything, closes a context menu:
# under QEMU the 8259 keeps the request of the mouse's last answer, FAh, after it has been read, and KolibriOS takes it for a packet that
# presses the right button.  (On an 8259A a request that falls before it is acknowledged is gone.)
TOP, BOTTOM = [("move", -127, -127)] * 7, [("move", -127, 127)] * 7
STEPS = {
    "desktop": [],
    "pointer": [("move", 1, 0)] * 4 + [("click",)] + TOP + [("move", 120, 90)],
    "editor": [*TOP, ("move", 33, 95), ("click",)],
    "typed": [("type", "typed on many\nlines 42" + "\n" * 45)],
    "scrolled": [("wheel", -3), ("wheel", 1)],
    "menu": [*BOTTOM, ("move", 15, -12), ("click",)],
    "shutdown": [("move", 5, -28), ("click",)],
}


class Theirs:
    """KolibriOS under QEMU."""

    def __init__(self, image, folder):
        self.q, self.file = Qemu("-drive", f"file={image},if=floppy,format=raw", "-snapshot", "-boot", "a", "-no-shutdown"), folder / "screen.ppm"
        self.q.wait(MENU)
        self.type(ENTER)

    def picture(self): return self.q.screenshot(self.file).copy()
    def wait(self): time.sleep(0.15)
    def move(self, dx, dy): self.q.mouse(dx, dy)
    def click(self): self.q.click()
    def wheel(self, clicks): self.q.wheel(clicks)
    def type(self, text): self.q.keys(*(NAMES.get(c, c) for c in text))

    def power_off(self):
        """How the machine ends."""
        self.q.keys("end")
        end = time.monotonic() + 60
        while (status := self.q.send("query-status")["status"]) == "running" and time.monotonic() < end: self.wait()
        return status


class Ours:
    """KolibriOS here."""

    def __init__(self, image, tier):
        self.vm = VM(fda=image, boot="a", tier=tier, clock="virtual")
        assert self.vm.run(until=MENU, timeout=120).reason == "until"
        self.type(ENTER)

    def picture(self): return self.vm.screen.array()
    def wait(self): self.vm.run(seconds=0.15)

    def move(self, dx, dy):
        self.vm.mouse.move(dx, dy)
        self.vm.run(seconds=0.2)

    def click(self): self.vm.mouse.click()
    def wheel(self, clicks): self.vm.mouse.wheel(clicks)
    def type(self, text): self.vm.keyboard.type(text)

    def power_off(self):
        self.vm.keyboard.press("end")
        stop = self.vm.run(timeout=120)
        assert stop.reason == "reset", stop                # by the 8042, back to real mode (CMOS 0Fh) to call APM
        return self.vm.run(timeout=120).reason


def masked(picture):
    if picture.shape == SIZE: picture[LOAD_AND_CLOCK] = 0
    return picture


def settled(machine, before=None):
    """The picture that has stood still for one and a half seconds, and is another than `before`."""
    last, since, end = None, 0, time.monotonic() + 100
    while since < 10 and time.monotonic() < end:
        now = masked(machine.picture())
        there = now.shape == SIZE and now[:570].any() and not (before is not None and np.array_equal(now, before))
        since = since + 1 if there and last is not None and np.array_equal(now, last) else 0
        last = now
        machine.wait()
    return last


def driven(machine):
    """The picture after each of STEPS, and how the machine ended."""
    pictures = {}
    for name, actions in STEPS.items():
        before = None
        for i, (action, *given) in enumerate(actions, 1):
            if i == len(actions): before = masked(machine.picture())
            getattr(machine, action)(*given)
        pictures[name] = settled(machine, before)
    return pictures, machine.power_off()


@pytest.fixture(scope="module")
def theirs(image, tmp_path_factory):
    """What `driven` answers of QEMU, n times.  It runs in real time: on a busy host a pixel that KolibriOS draws once too often or too seldom
    is another in the next run."""
    if not found(): pytest.skip("qemu-system-i386 is not installed")
    runs = []

    def nth(n):
        while len(runs) <= n:
            machine = Theirs(image("kolibri.img"), tmp_path_factory.mktemp("kolibri"))
            with machine.q: runs.append(driven(machine))
        return runs[n]
    return nth


@pytest.mark.qemu
@pytest.mark.parametrize("tier", ["native", "threaded"])
def test_the_pictures_are_those_of_qemu(tier, image, seabios, theirs):
    machine = Ours(image("kolibri.img"), tier)
    with machine.vm as vm:
        ours, end = driven(machine)
        assert str(vm.screen.mode) == "graphics 800x600"
    for name in STEPS:
        for n in range(3):
            expected, their_end = theirs(n)
            differs = np.argwhere((ours[name] != expected[name]).any(axis=2))
            if len(differs) == 0: break
        assert len(differs) == 0, f"{name}: {len(differs)} pixels from {differs.min(axis=0)} to {differs.max(axis=0)}"
    assert len({p.tobytes() for p in ours.values()}) == len(STEPS)         # each step showed something
    assert end == their_end == "shutdown"


def test_tiers_agree_over_the_first_fifty_million_instructions(image, seabios):
    ends = {}
    for tier in ("native", "threaded"):
        with VM(fda=image("kolibri.img"), boot="a", tier=tier) as vm:
            stop = vm.run(instructions=FIRST)
            ends[tier] = stop.instructions, stop.time, vm.regs.array.tobytes(), hash(vm.memory[:].tobytes())
    assert ends["native"] == ends["threaded"] and ends["native"][0] == FIRST

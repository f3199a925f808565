"""The demonstration disk on this PC, without firmware and under SeaBIOS.  Oracle: the program's own 100 Hz and its text."""
import re

import pytest

from pyv86_nb import VM, demo

pytestmark = pytest.mark.boot


def bare(**options):
    vm = VM(memory="1M", bare="real", **options)
    vm.load(0x7C00, demo.program(), entry=0x7C00)
    return vm


def ticks(vm):
    return int(re.search(r"Timer ticks +(\d+)", "\n".join(vm.screen.text()))[1])


@pytest.mark.parametrize("tier", ["native", "threaded", "python"])
def test_without_firmware_on_every_tier(tier):
    with bare(tier=tier) as vm:
        stop = vm.run(until="Type something", timeout=300)
        assert stop.reason == "until", f"{stop}\n" + "\n".join(vm.screen.text())
        vm.keyboard.type("Hi!\n")
        assert vm.run(until="Hi!", timeout=300).reason == "until"
        assert vm.serial[0].text.startswith("pyv86_nb demo disk on COM1")


def test_every_tier_is_at_the_same_place_after_the_same_instructions():
    ends = {}
    for tier in ("native", "threaded", "python"):
        with bare(tier=tier) as vm:
            stop = vm.run(instructions=60_000)
            ends[tier] = (stop.instructions, stop.time, vm.regs.array.tobytes(), vm.screen.text(), bytes(vm.memory[0:0x20000]))
    assert ends["native"] == ends["threaded"] == ends["python"]


def test_a_hundred_ticks_a_guest_second():
    with bare() as vm:
        vm.run(until="Type something", timeout=60)
        vm.run(seconds=0.05)
        first, start = ticks(vm), vm.time
        vm.run(seconds=10)
        assert ticks(vm) - first == pytest.approx((vm.time - start) * 1193182 / 11932, abs=1.5)
        assert "00:00:1" in "\n".join(vm.screen.text())


def test_keys_scan_codes_and_the_whole_field():
    with bare() as vm:
        vm.run(until="Type something", timeout=60)
        vm.keyboard.type("Wrong\b\b\b\b\bRight {it's} 100% \"ok\"\n")
        vm.run(until='"ok"', timeout=60)
        vm.run(seconds=0.3)
        assert vm.screen.text()[13][4:76].rstrip() == 'Right {it\'s} 100% "ok"'
        for line in range(12): vm.keyboard.type(f"line {line}\n")
        vm.run(until="line 11", timeout=60)
        vm.run(seconds=0.3)
        assert [row[4:12].strip() for row in vm.screen.text()[13:22]] == [f"line {n}" for n in range(4, 12)] + [""]


def test_keys_that_come_all_at_once():
    """A page that was busy for a moment: more keys than the sixteen bytes of the keyboard hold."""
    with bare() as vm:
        vm.run(until="Type something", timeout=60)
        for c in "letters":
            for move in ("key_down", "key_up"): vm._post(move, f"Key{c.upper()}")
        assert vm.run(until="letters", timeout=60, seconds=5).reason == "until"


def test_under_seabios(seabios):
    with VM(fda=demo.disk(), boot="a") as vm:
        stop = vm.run(until="Type something", timeout=120)
        assert stop.reason == "until", f"{stop}\n" + "\n".join(vm.screen.text())
        vm.keyboard.type("under a BIOS\n")
        assert vm.run(until="under a BIOS", timeout=60).reason == "until"


def test_the_picture_has_the_programs_colours():
    with bare() as vm:
        vm.run(until="Type something", timeout=60)
        vm.run(seconds=0.2)
        dots = vm.screen.array()
        assert dots.shape == (400, 720, 3) and len({tuple(d) for row in dots[::4] for d in row[::3]}) >= 10
        assert vm.screen.png().startswith(b"\x89PNG")


def test_interrupts_are_in_the_trace():
    with bare() as vm:
        vm.run(until="Type something", timeout=60)
        vm.trace.irq.clear()
        vm.keyboard.type("a")
        vm.run(seconds=0.5)
        rows = vm.trace.irq.array
        accepts = rows[rows["event"] == "accept"]
        assert abs((accepts["irq"] == 0).sum() - 50) <= 1 and (accepts["irq"] == 1).sum() == 2
        assert set(accepts["vector"][accepts["irq"] == 1]) == {0x21} and (accepts["latency"] >= 0).all()

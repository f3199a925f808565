"""SeaBIOS and FreeDOS from power-on to typed commands.  Oracle: QEMU, the same image and the same keys, screen by screen;
mtools for what was written to the floppy."""
import subprocess
import time

import pytest

from bench.qemu import Qemu, found

pytestmark = [pytest.mark.boot, pytest.mark.slow]

PROMPT = "A:\\>"
NAMES = {" ": "spc", "\n": "ret", ">": "shift-dot", ".": "dot", "\\": "backslash"}
# Typed one after the other; the screen is compared after each.  hello.com and pi.com ship on the image; MEM does not, its shell has MEMORY.
COMMANDS = ("ver\n", "cls\n", "mem\n", "memory\n", "echo echo a batch file > t.bat\n", "t\n", "hello\n", "cls\n", "pi\n", "dir games\n", "dir\n")


def rows(screen):
    return [row.rstrip() for row in screen]


@pytest.fixture(scope="module")
def theirs():
    """QEMU's screen after the boot and after each command."""
    if not found(): pytest.skip("qemu-system-i386 is not installed")
    screens = {}

    def boot(image):
        if screens: return screens
        with Qemu("-drive", f"file={image},if=floppy,format=raw", "-snapshot", "-boot", "a",
                  "-rtc", "base=2000-01-01T00:00:00") as q:           # the date at which our PC is switched on, for `dir`
            q.wait(PROMPT); before = screens["boot"] = settled(q)
            for command in COMMANDS:
                q.keys(*(NAMES.get(c, c) for c in command))
                before = screens[command] = settled(q, before)
        return screens
    return boot


def settled(q, before=None):
    """The screen once it is another than before, the prompt is its last line, and nothing has changed for half a second."""
    last, same, end = None, 0, time.monotonic() + 120
    while same < 25:
        assert time.monotonic() < end, "\n".join(last)
        now = rows(q.screen())
        same = same + 1 if now == last != before and [r for r in now if r][-1:] == [PROMPT] else 0
        last = now
        time.sleep(0.02)
    return last


@pytest.mark.qemu
@pytest.mark.parametrize("tier", ["native", "threaded"])
def test_the_screens_are_those_of_qemu(tier, image, seabios, theirs):
    from pyv86_nb import VM
    path = image("freedos722.img")
    expected = theirs(path)
    with VM(fda=path, tier=tier, boot="acd") as vm:
        stop = vm.run(until=PROMPT, timeout=120)
        assert stop.reason == "until", f"{stop}\n" + "\n".join(rows(vm.screen.text()))
        vm.run(seconds=0.1)
        assert without_firmware(rows(vm.screen.text())) == without_firmware(expected["boot"])
        for command in COMMANDS:
            vm.keyboard.type(command)
            stop = vm.run(until=PROMPT, timeout=120)
            assert stop.reason == "until", f"after {command!r}: {stop}\n" + "\n".join(rows(vm.screen.text()))
            vm.run(seconds=0.1)
            if command != "ver\n":                                         # the banner may still be on the screen above it
                assert rows(vm.screen.text()) == expected[command], f"after {command!r}"


def without_firmware(screen):
    """What FreeDOS wrote: the rows below the firmware's, which names its boot devices."""
    start = next(i for i, row in enumerate(screen) if row.startswith("FreeDOS kernel"))
    return [row for row in screen[start:] if row]


def test_what_is_written_is_in_the_saved_image_alone(image, seabios, command, tmp_path):
    from pyv86_nb import VM
    command("mtype")
    path = image("freedos722.img")
    before = path.read_bytes()
    with VM(fda=path) as vm:
        vm.run(until=PROMPT, timeout=120)
        vm.keyboard.type("echo written by the guest > new.txt\n")
        assert vm.run(until=PROMPT, timeout=60).reason == "until"
        vm.run(seconds=0.5)
        vm.fda.save(tmp_path / "changed.img")
    said = subprocess.run(["mtype", "-i", tmp_path / "changed.img", "::/NEW.TXT"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "written by the guest"
    assert path.read_bytes() == before
    listing = subprocess.run(["mdir", "-i", tmp_path / "changed.img", "::"], capture_output=True, text=True, check=True)
    assert "22 files" in listing.stdout                                    # 21 on the image, and the new one


def test_the_same_run_twice_is_the_same_run(image, seabios):
    from pyv86_nb import VM
    ends = []
    for _ in range(2):
        with VM(fda=image("freedos722.img"), clock="virtual") as vm:
            vm.run(until=PROMPT, timeout=120)
            vm.keyboard.type("dir\n")
            stop = vm.run(until=PROMPT, timeout=60)
            ends.append((stop.instructions, stop.time, vm.screen.text()))
    assert ends[0] == ends[1]


def test_a_486_has_no_local_apic(image, seabios):
    """CPUID.1:EDX bit 9 is clear there, and SeaBIOS and DOS get their interrupts from the 8259s.  Of the Pentium's page at FEE00000h, whose
    version register is 1xh (SDM vol. 3, 11.4.8), nobody answers: the bus floats high."""
    from pyv86_nb import VM
    for cpu, version in (("486", 0xFFFFFFFF), ("pentium", None)):
        with VM(fda=image("freedos722.img"), cpu=cpu, boot="a") as vm:
            assert vm.run(until=PROMPT, timeout=120).reason == "until"
            assert ("apic" in [r["name"] for r in vm.timers()]) == (cpu != "486")
        with VM("1M", bare="flat", cpu=cpu) as vm:
            vm.load(0x1000, bytes.fromhex("a1 30 00 e0 fe  f4"), entry=0x1000)          # mov eax, [0FEE00030h]; hlt
            vm.step(1)
            assert vm.regs.eax == version or version is None and vm.regs.eax >> 4 & 15 == 1 and vm.regs.eax >> 24 == 0

"""Debian's own kernels for i386.   Oracles: QEMU with the same files; the tiers each other."""
import re
import subprocess
import time

import debian
import pytest

from pyv86_nb import VM

pytestmark = [pytest.mark.boot, pytest.mark.slow]

LINE = "console=tty0 console=ttyS0,115200"
FIRST = 50_000_000
COMPLAINTS = re.compile(r"firmware bug|bios bug|\[firmware|broken|unstable|unchecked|spurious|lockup|call trace|WARNING|BUG|nobody cared|"
                        r"not responding|timed? ?out|lost (interrupt|page)|invalid opcode|segfault", re.I)
# Everything of level "warning" and worse that the kernel may say, and why that is so; QEMU's i440FX machine draws the same from it.
ALLOWED = {
    "acpi PNP0A03:00: fail to add MMCONFIG information, can't access extended PCI configuration space under this bridge.":
        "an i440FX has configuration mechanism #1 alone; extended configuration space came with PCI Express",
}


@pytest.fixture(scope="module")
def files(request):
    """{"686": kernel, "686-pae": kernel, "initrd": bytes}"""
    try:
        root = debian.fetch(request.config.cache.mkdir("debian-i386"))
    except debian.NotHere as why:
        pytest.skip(str(why))
    kernel = lambda kind: next(p for p in root.glob("boot/vmlinuz-*") if re.search(r"\d-" + kind + "$", p.name))
    button = next(root.glob("lib/modules/*-686/kernel/drivers/acpi/button.ko")).read_bytes()
    return {"686": kernel("686"), "686-pae": kernel("686-pae"), "initrd": debian.initrd((root / "bin/busybox").read_bytes(), button=button)}


def machine(files, kind, **given):
    return VM("256M", kernel=files[kind], initrd=files["initrd"], cmdline=LINE, **given)


def messages(log): return [m[1] for row in log.splitlines() if (m := re.match(r"\[ *\d+\.\d+\] (.*?)\s*$", row))]


@pytest.mark.parametrize("kind", ["686", "686-pae"])
def test_it_boots_to_a_shell_and_switches_itself_off(files, kind, seabios):
    with machine(files, kind) as vm:
        stop = vm.run(until="BOOT-OK", timeout=400)
        assert stop.reason == "until", vm.serial[0].text[-2000:]
        assert vm.run(until="/ # ", timeout=60).reason == "until"
        vm.serial[0].read()
        vm.serial[0].write(b"cat /proc/interrupts /proc/cpuinfo /sys/devices/system/clocksource/clocksource0/current_clocksource; expr 3 '*' 41\n")
        assert vm.run(until="123\r", timeout=60).reason == "until"
        said = vm.serial[0].read().decode()
        for row in (r"^ +0: +\d+ +IO-APIC +2-edge +timer", r"^ +9: +\d+ +IO-APIC +9-fasteoi +acpi", r"^LOC: +[1-9]", r"^SPU: +0 ", r"^ERR: +0",
                    r"^flags\s*:.*\bapic\b", r"^fpu\s*: yes", r"^tsc\r?$"):
            assert re.search(row, said, re.M), (row, said)
        bad = [m for m in messages(vm.serial[0].text) if COMPLAINTS.search(m)]
        assert not [m for m in bad if "report a bug" not in m and "bugs" not in m], bad      # "if necessary, use pci=nocrs and report a bug"
        vm.serial[0].read()
        vm.serial[0].write(b"dmesg -r | grep '^<[0-4]>'; expr 3 '*' 43\n")
        assert vm.run(until="129\r", timeout=60).reason == "until"
        warnings = re.findall(r"^<[0-4]>\[ *[\d.]+\] (.*?)\r?$", vm.serial[0].read().decode(), re.M)
        assert warnings and not [w for w in warnings if w not in ALLOWED], warnings
        vm.serial[0].write(b"poweroff -f\n")
        stop = vm.run(timeout=60)
        assert stop.reason == "shutdown", stop
        assert "Power down" in vm.serial[0].text


def test_the_power_button_is_heard(files, seabios):
    with machine(files, "686") as vm:
        assert vm.run(until="/ # ", timeout=400).reason == "until"
        vm.serial[0].write(b"insmod /button; expr 6 '*' 7\n")               # the kernel's driver of the button is a module
        assert vm.run(until="42\r", timeout=60).reason == "until"
        vm.power_button()
        vm.run(seconds=0.1)
        vm.serial[0].write(b"grep acpi /proc/interrupts\n")
        vm.run(until="fasteoi   acpi\r", timeout=60)
        assert re.search(r"9: +1 +IO-APIC +9-fasteoi +acpi", vm.serial[0].text), vm.serial[0].text[-300:]


@pytest.mark.parametrize("kind", ["686", "686-pae"])
def test_tiers_agree_over_the_first_fifty_million_instructions(files, kind, seabios):
    ends = {}
    for tier in ("native", "threaded"):
        with machine(files, kind, tier=tier) as vm:
            stop = vm.run(instructions=FIRST)
            ends[tier] = stop.instructions, stop.time, vm.regs.array.tobytes(), hash(vm.memory[:].tobytes())
    assert ends["native"] == ends["threaded"] and ends["native"][0] == FIRST


@pytest.mark.qemu
def test_its_acpi_and_pci_messages_are_those_under_qemu(files, seabios, command):
    with machine(files, "686") as vm:
        assert vm.run(until="BOOT-OK", timeout=400).reason == "until"
        mine = messages(vm.serial[0].text)
    (initrd := files["686"].parent / "initrd.gz").write_bytes(files["initrd"])
    qemu = subprocess.Popen([command("qemu-system-i386"), "-accel", "tcg", "-display", "none", "-nic", "none", "-m", "256", "-kernel", files["686"],
                             "-initrd", initrd, "-append", LINE, "-serial", "stdio"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    log, end = b"", time.monotonic() + 300
    try:
        while b"BOOT-OK" not in log and time.monotonic() < end: log += qemu.stdout.read1(65536)
    finally:
        qemu.kill()
        qemu.communicate()
    plain = lambda rows: [re.sub(r"0x[0-9a-fA-F]+|\b[0-9A-Fa-f]{6,}\b|\d+", "N", r) for r in rows]
    board = [r for r in plain(mine) if re.match(r"ACPI: (INT_SRC|LAPIC|PM-Timer|Using|PCI: Int|Enabled|Interp)|IOAPIC|hpet|\.\.TIMER|clocksource|"
                                                r"pci_bus|serio|rtc_cmos|Enabling APIC", r)]
    theirs = messages(log.decode(errors="replace"))
    strange = [r for r in board if r not in set(plain(theirs))]
    assert not [line for line in ALLOWED if line not in theirs]
    timed = re.compile("rtc_cmos|clocksource: .*tsc")                       # a busy host makes QEMU's clocks doubtful to the kernel
    assert len(board) > 25 and not [r for r in strange if not timed.match(r)], strange

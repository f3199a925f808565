"""Linux given to the machine without a boot loader.   Oracles: QEMU with the same kernel, RAM disk and command line; the tiers each other."""
import re
import subprocess
import time

import pytest

from pyv86_nb import VM
from pyv86_nb.media.disk import Disk

pytestmark = [pytest.mark.boot, pytest.mark.slow]

SERIAL = "console=tty0 console=ttyS0,115200"                              # the shell is on the last of them
SCREEN = "console=ttyS0,115200 console=tty0"
FIRST = 50_000_000


@pytest.fixture
def linux(image, seabios):
    """A machine with the small kernel: linux("initrd-mini.cpio.gz", tier=...)."""
    made = []

    def make(initrd, line=SERIAL, **given):
        made.append(VM(kernel=image("vmlinuz-tiny"), initrd=image(initrd), cmdline=line, **given))
        return made[-1]
    yield make
    for vm in made: vm.close()


def lines(log):
    """The kernel's messages without time, sizes, addresses and the names of chips' makers."""
    return [re.sub(r"0x[0-9a-f]+|\d+", "N", m[1]) for row in log.splitlines() if (m := re.match(r"\[ *\d+\.\d+\] (.*?)\s*$", row))]


@pytest.mark.parametrize("tier", ["native", "threaded"])
def test_it_boots_to_user_space_on_both_consoles(linux, tier):
    vm = linux("initrd-mini.cpio.gz", tier=tier)
    stop = vm.run(until="BOOT-OK", timeout=120)
    assert stop.reason == "until", vm.serial[0].text[-2000:]
    vm.run(seconds=0.1)
    assert "BOOT-OK mini" in vm.serial[0].text and any("BOOT-OK mini" in row for row in vm.screen.text())


@pytest.mark.parametrize("initrd", ["initrd-mini.cpio.gz", "initrd-busybox.cpio.gz"])
def test_tiers_agree_over_the_first_fifty_million_instructions(linux, initrd):
    ends = {}
    for tier in ("native", "threaded"):
        vm = linux(initrd, tier=tier)
        stop = vm.run(instructions=FIRST)
        ends[tier] = stop.instructions, stop.time, vm.regs.array.tobytes(), hash(vm.memory[:].tobytes()), vm.serial[0].text
        vm.close()
    assert ends["native"] == ends["threaded"] and ends["native"][0] == FIRST


@pytest.mark.qemu
def test_the_kernel_says_of_the_board_what_it_says_of_qemus(linux, image, command):
    vm = linux("initrd-mini.cpio.gz")
    assert vm.run(until="BOOT-OK", timeout=120).reason == "until"
    qemu = subprocess.Popen(
        [command("qemu-system-i386"), "-accel", "tcg", "-display", "none", "-nic", "none", "-m", "64", "-kernel", image("vmlinuz-tiny"), "-initrd",
         image("initrd-mini.cpio.gz"), "-append", SERIAL, "-serial", "stdio"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    log, end = b"", time.monotonic() + 120
    try:
        while b"BOOT-OK" not in log and time.monotonic() < end: log += qemu.stdout.read1(65536)
    finally:
        qemu.kill()
        qemu.communicate()
    mine, theirs = lines(vm.serial[0].text), set(lines(log.decode(errors="replace")))
    board = [row for row in mine if re.match(r"pci|PCI|Processor|IOAPIC|MPTABLE|\.\.TIMER|serial8250|serio|ata\d: PATA|Floppy|\w*APIC", row)]
    strange = [row for row in board if row not in theirs and "ttyS" not in row]            # QEMU has COM1 alone
    assert len(board) > 25 and not [row for row in strange if not row.startswith(("pci N:N:N.N: BAR", "Floppy"))], strange
    assert not [row for row in mine if re.search(r"\bbug\b|broken|unstable|unchecked|spurious|lockup|invalid opcode|call trace", row, re.I)]


def test_a_shell_on_the_serial_line(linux):
    vm = linux("initrd-busybox.cpio.gz")
    assert vm.run(until="/ # ", timeout=120).reason == "until", vm.serial[0].text[-2000:]
    vm.serial[0].read()
    vm.serial[0].write(b"cat /proc/interrupts; expr 1234 '*' 5678\n")
    assert vm.run(until="7006652", timeout=60).reason == "until"
    said = vm.serial[0].read().decode()
    assert re.search(r"^ +0: +\d+ +IO-APIC +2-edge +timer", said, re.M), said
    assert re.search(r"^LOC: +[1-9]\d*", said, re.M) and re.search(r"^SPU: +0 ", said, re.M) and re.search(r"^ERR: +0", said, re.M)
    irq = vm.trace.irq.array                                               # what Linux has counted in, it has ended: one EOI and one IRET each
    for line in (-1, 4):
        accepts, eois, irets = (((irq["event"] == e) & (irq["irq"] == line)).sum() for e in ("accept", "eoi", "iret"))
        assert accepts > 20 and accepts - 1 <= irets <= eois <= accepts, (line, accepts, eois, irets)


def test_a_shell_on_the_screen_and_the_end_of_the_run(linux):
    vm = linux("initrd-busybox.cpio.gz", SCREEN)
    assert vm.run(until="/ # ", timeout=120).reason == "until"
    vm.keyboard.type("uname -sm\n")
    assert vm.run(until="Linux i686", timeout=60).reason == "until", vm.screen.text()
    vm.run(until="/ # ", timeout=60)
    vm.keyboard.type("poweroff -f\n")
    stop = vm.run(timeout=60)
    assert stop.reason == "halted", stop                                   # this kernel has no ACPI: it says "System halted", as under QEMU
    assert any("System halted" in row for row in vm.screen.text())


def test_a_snapshot_is_a_running_linux(linux, tmp_path):
    from pyv86_nb import Snapshot
    vm = linux("initrd-busybox.cpio.gz")
    assert vm.run(until="/ # ", timeout=120).reason == "until"
    vm.snapshot().save(tmp_path / "linux.npz")
    with VM.from_snapshot(Snapshot.load(tmp_path / "linux.npz")) as other:
        assert other.instructions == vm.instructions
        for each in (vm, other):
            each.serial[0].write(b"expr 4321 '*' 8765\n")
            assert each.run(until="37873565", timeout=60).reason == "until"
        assert other.instructions == vm.instructions


def test_what_another_serial_line_says(linux):
    vm = linux("initrd-busybox.cpio.gz")
    assert vm.run(until="/ # ", timeout=120).reason == "until"
    for n in (1, 2, 3):
        vm.serial[0].write(f"echo to COM{n + 1} > /dev/ttyS{n}; head -n1 < /dev/ttyS{n} | tr a-z A-Z; expr 77 '*' {n}\n".encode())
        vm.run(seconds=0.3)
        vm.serial[n].write(b"back again\n")
        assert vm.run(until="BACK AGAIN", timeout=60).reason == "until", vm.serial[0].text[-500:]
        assert vm.run(until=str(77 * n), timeout=60).reason == "until"
        assert f"to COM{n + 1}" in vm.serial[n].text


@pytest.mark.parametrize("way, reason", [("kbd", "reset"), ("pci", "reset"), ("bios", "reset"), ("triple", "triple-fault")])
def test_every_way_that_linux_knows_to_reboot(linux, way, reason):
    """By the 8042, CF9h, the firmware's entry FFFF:0 and a triple fault.  The machine stops, and boots again when it is run again."""
    vm = linux("initrd-busybox.cpio.gz", f"{SERIAL} reboot={way}")
    assert vm.run(until="/ # ", timeout=120).reason == "until"
    vm.serial[0].write(b"reboot -f\n")
    stop = vm.run(timeout=60)
    assert stop.reason == reason, stop
    vm.serial[0].read()
    stop = vm.run(until="/ # ", timeout=120)
    if way == "kbd" and stop.reason == "reset": stop = vm.run(until="/ # ", timeout=120)     # SeaBIOS makes a hard reset of an INIT (CF9h)
    assert stop.reason == "until"
    assert "Linux version" in vm.serial[0].read().decode()


@pytest.mark.parametrize("bus, device", [("ide", "sda"), ("virtio", "vda")])
def test_a_full_layer_of_changes(linux, bus, device):
    """Linux hears of an error at the first sector that found no room, and goes on; the host is told once, in a sentence."""
    disk = Disk(bytes(4 << 20), bus=bus, room="1M")
    vm = linux("initrd-busybox.cpio.gz", hda=disk)
    assert vm.run(until="/ # ", timeout=120).reason == "until"
    with pytest.warns(RuntimeWarning, match=r"the layer of changes .* is full \(1,048,576 bytes\).*room=") as told:
        vm.serial[0].write(f"seq 1 999999 | dd of=/dev/{device} bs=64k count=32 iflag=fullblock oflag=direct; expr 6 '*' 7\n".encode())
        assert vm.run(until="42\r", timeout=120).reason == "until"
    assert len(told) == 1
    said = vm.serial[0].text
    assert f"error writing '/dev/{device}'" in said and "16+0 records out" in said
    assert re.search(rf"I/O error, dev {device}, sector 2048 ", said), said[-3000:]
    numbers = "".join(f"{n}\n" for n in range(1, 300_000)).encode()[:1 << 20]
    assert disk.read(0, 2048) == numbers and not any(disk.read(2048, 6144))
    vm.serial[0].write(f"dd if=/dev/zero of=/dev/{device} bs=4k count=256 oflag=direct && expr 7 '*' 7\n".encode())
    assert vm.run(until="49\r", timeout=120).reason == "until", "there is room where something was written already"

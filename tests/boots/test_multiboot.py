"""A kernel of ours that insists on MP table, local APIC, I/O APIC, paging and two IDE disks (multiboot_kernel.s), started by kernel=.
Oracle: it prints its own check list; QEMU, which loads the same file, prints the same."""
import pathlib
import re
import subprocess
import time

import pytest

from pyv86_nb import VM

pytestmark = pytest.mark.boot

SOURCE = pathlib.Path(__file__).with_name("multiboot_kernel.s")
CHECKS = 20


@pytest.fixture
def program(tmp_path, command):
    """A folder with the kernel and a module."""
    folder = tmp_path
    subprocess.run([command("as"), "--32", "-o", folder / "k.o", SOURCE], check=True)
    subprocess.run([command("ld"), "-m", "elf_i386", "-n", "-Ttext=0x101000", "--section-start=.boot=0x100000", "-o", folder / "kernel.elf", folder / "k.o"],
                   check=True)
    (folder / "module.txt").write_bytes(b"module one\n")
    for n in "01": (folder / f"disk{n}.img").write_bytes((bytes(3 * 512) + b"DIS" + n.encode()).ljust(1 << 20, b"\0"))
    return folder


def started(program, tier):
    return VM("32M", kernel=program / "kernel.elf", initrd=program / "module.txt", cmdline="hello there", hda=program / "disk0.img",
              hdb=program / "disk1.img", tier=tier)


@pytest.mark.parametrize("tier", ["native", "threaded"])
def test_its_check_list(program, tier, seabios):
    with started(program, tier) as vm:
        stop = vm.run(timeout=60)
        said = vm.serial[0].text
        assert stop.reason == "halted" and said.endswith("END OF LIST\n"), (stop, said)
        assert said.count(": ok\n") == CHECKS and "NOT SO" not in said, said
        assert all(row.startswith(line) for row, line in zip(vm.screen.text(), said.splitlines()))     # over what firmware wrote


def test_linked_as_linkers_do_by_themselves(program, command, seabios):
    """Without -n the ELF header lies in memory too, in a segment of its own or with the text, on the page before 1 MiB; QEMU loads it."""
    subprocess.run([command("ld"), "-m", "elf_i386", "-Ttext=0x101000", "--section-start=.boot=0x100000", "-o", program / "kernel.elf", program / "k.o"],
                   check=True)
    headers = subprocess.run([command("readelf"), "-lW", program / "kernel.elf"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"LOAD +0x000000 0x000ff000", headers), headers
    with started(program, "native") as vm:
        assert vm.run(timeout=60).reason == "halted" and vm.serial[0].text.count(": ok\n") == CHECKS


def test_tiers_end_at_the_same_instruction(program, seabios):
    ends = {}
    for tier in ("native", "threaded"):
        with started(program, tier) as vm:
            stop = vm.run(timeout=60)
            ends[tier] = stop, vm.regs.array.tobytes(), vm.memory[:].tobytes()
    assert ends["native"] == ends["threaded"]


def test_names_from_the_file(program, seabios):
    with started(program, "native") as vm:
        vm.run(until="END OF", timeout=60)
        address = vm._machine.symbols.address("print")
        assert [row.symbol for row in vm.disassemble(address, 2)] == ["print", "print+1"]


@pytest.mark.qemu
def test_qemu_prints_the_same_list(program, command, seabios):
    qemu = subprocess.Popen(
        [command("qemu-system-i386"), "-accel", "tcg", "-display", "none", "-nic", "none", "-m", "32", "-kernel", program / "kernel.elf", "-initrd",
         program / "module.txt", "-append", "hello there", "-serial", "stdio",
         *(word for n in "01" for word in ("-drive", f"file={program}/disk{n}.img,if=ide,index={n},format=raw,snapshot=on"))], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    log, end = b"", time.monotonic() + 60
    try:
        while b"END OF LIST" not in log and time.monotonic() < end: log += qemu.stdout.read1(4096)
    finally:
        qemu.kill()
        qemu.communicate()
    with started(program, "native") as vm:                                 # QEMU puts the file's name before the command line
        vm.run(timeout=60)
        assert vm.serial[0].text.strip() == log.decode().strip().replace("command line: NOT SO", "command line: ok")

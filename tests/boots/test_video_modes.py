"""Video modes as a program gets them from the VGA BIOS: set by INT 10h, drawn by the processor through planes, windows and the linear
framebuffer.   Oracle: QEMU's screenshot with the same boot sector."""
import time

import numpy as np
import pytest
from boots import sector

from bench.qemu import Qemu, found
from pyv86_nb import VM

pytestmark = [pytest.mark.boot, pytest.mark.qemu]

LINEAR = [(320, 200, 8), (640, 480, 8), (800, 600, 15), (640, 480, 16), (1024, 768, 24), (1280, 1024, 32), (1600, 1200, 16), (1920, 1200, 16),
          (1920, 1200, 24), (1920, 1200, 32)]
BY_REGISTERS = [(1920, 1200, 8), (1920, 1200, 15), (1920, 1080, 32), (1368, 768, 24)]         # which the VGA BIOS does not offer
BITS = {8: 6, 15: 5}                                     # of a colour that are compared: QEMU leaves the others 0, or fills them another way


def floppy(**given):
    given = {"MODE": 0, "WIDTH": 0, "HEIGHT": 0, "DEPTH": 0, "BANKS": 0, "DISPI": 0, **given}
    return sector.floppy("video.s", **given)


def ours(disk):
    with VM("4M", fda=disk, boot="a") as vm:
        stop = vm.run(timeout=60, seconds=30)
        assert stop.reason == "halted" and vm.devices["debug"].drain(0) == b"!", f"{stop}\n" + "\n".join(vm.screen.text())
        return vm.screen.mode, vm.screen.array()


def theirs(disk, folder):
    (folder / "disk").write_bytes(disk)
    with Qemu("-drive", f"file={folder / 'disk'},if=floppy,format=raw", "-boot", "a", "-debugcon", f"file:{folder / 'done'}") as q:
        end = time.monotonic() + 60
        while not (folder / "done").exists() or b"!" not in (folder / "done").read_bytes():
            assert time.monotonic() < end, q.screen()
            time.sleep(0.05)
        time.sleep(0.3)
        return q.screenshot(folder / "screen").copy()


def same(mine, other, bits=8):
    """Whether the pictures are equal in the upper `bits` of a colour; QEMU may draw dots and lines twice."""
    ky, kx = other.shape[0] // mine.shape[0], other.shape[1] // mine.shape[1]
    mine = mine.repeat(ky, axis=0).repeat(kx, axis=1)
    assert mine.shape == other.shape
    differs = np.argwhere((mine >> 8 - bits != other >> 8 - bits).any(axis=2))
    assert len(differs) == 0, f"{len(differs)} dots from {differs.min(axis=0)} to {differs.max(axis=0)}: {mine[tuple(differs[0])]} {other[tuple(differs[0])]}"


@pytest.fixture(autouse=True)
def qemu(seabios):
    if not found(): pytest.skip("qemu-system-i386 is not installed")


@pytest.mark.parametrize("width, height, depth", LINEAR)
def test_linear_modes(width, height, depth, tmp_path):
    disk = floppy(WIDTH=width, HEIGHT=height, DEPTH=depth)
    mode, mine = ours(disk)
    other = theirs(disk, tmp_path)
    assert mode == f"graphics {width}x{height}" and mine.shape == (height, width, 3) and len(np.unique(mine)) > 30
    same(mine, other, BITS.get(depth, 8))


@pytest.mark.parametrize("width, height, depth", BY_REGISTERS)
def test_modes_by_registers(width, height, depth, tmp_path):
    disk = floppy(WIDTH=width, HEIGHT=height, DEPTH=depth, DISPI=1)
    mode, mine = ours(disk)
    assert mode == f"graphics {width}x{height}" and mine.shape == (height, width, 3)
    same(mine, theirs(disk, tmp_path), BITS.get(depth, 8))


@pytest.mark.parametrize("depth", [8, 32])
def test_banked_modes(depth, tmp_path):
    disk = floppy(WIDTH=640, HEIGHT=480, DEPTH=depth, BANKS=1)
    same(ours(disk)[1], theirs(disk, tmp_path), BITS.get(depth, 8))


@pytest.mark.parametrize("number", [0x03, 0x04, 0x06, 0x0D, 0x0E, 0x10, 0x12, 0x13])
def test_modes_of_the_vga(number, tmp_path):
    disk = floppy(MODE=number)
    same(ours(disk)[1], theirs(disk, tmp_path), 6)

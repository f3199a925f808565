"""APM calls of SeaBIOS, from real mode and from both protected-mode interfaces, to power off.   Oracle: QEMU with the same boot sector."""
import time

import pytest
from boots.sector import floppy

from bench.qemu import Qemu, found
from pyv86_nb import VM

pytestmark = pytest.mark.boot

LOG, BYTES = 0x8000, 14 * 11 + 4


@pytest.mark.qemu
@pytest.mark.parametrize("way", [1, 2, 3], ids=["INT 15h", "16-bit interface", "32-bit interface"])
def test_power_off_by_apm(way, seabios, tmp_path):
    if not found(): pytest.skip("qemu-system-i386 is not installed")
    disk = floppy("apm.s", WAY=way)
    with VM("1M", fda=disk, boot="a") as vm:
        stop = vm.run(timeout=60, seconds=60)
        assert stop.reason == "shutdown", f"{stop}\n" + "\n".join(vm.screen.text())
        ours = bytes(vm.memory[LOG:LOG + BYTES])
    (tmp_path / "apm.img").write_bytes(disk)
    with Qemu("-drive", f"file={tmp_path / 'apm.img'},if=floppy,format=raw", "-boot", "a", "-no-shutdown") as q:
        end = time.monotonic() + 60
        while q.send("query-status")["status"] == "running" and time.monotonic() < end: time.sleep(0.05)
        assert q.send("query-status")["status"] == "shutdown"
        q.send("pmemsave", val=LOG, size=BYTES, filename=str(tmp_path / "log"))
    assert ours == (tmp_path / "log").read_bytes()
    assert ours[:2] == b"\x02\x01" and ours[2:4] == b"MP" and ours[12] == 0              # version 1.2, "PM", no carry: there is an APM BIOS

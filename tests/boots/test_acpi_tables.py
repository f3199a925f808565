"""Where SeaBIOS's ACPI tables lie in our memory.   Oracle: ACPI 6.5, 5.2.5.3 (RSDP), 5.2.7 (RSDT), 5.2.9 (FADT: 276 bytes, X_FIRMWARE_CTRL at
132 and X_DSDT at 140, 0 where the 32-bit field is to be taken)."""
import struct

import pytest

from pyv86_nb import VM

pytestmark = pytest.mark.boot

FADT, X_FIRMWARE_CTRL, X_DSDT = 276, 132, 140


def long(m, at): return struct.unpack("<I", bytes(m[at:at + 4]))[0]


@pytest.mark.parametrize("size", ["16M", "64M", "3G"])
def test_a_program_that_knows_only_the_present_fadt_finds_no_addresses_behind_an_old_one(size):
    """The Hardware Detection Tool of Syslinux goes to whatever it reads there; of FFFFFFFFh a processor makes #GP."""
    with VM(memory=size) as vm:
        assert vm.run(until="No bootable device", timeout=60).reason == "until"
        m = vm.memory
        rsdp = next(at for at in range(0xF0000, 0x100000, 16) if bytes(m[at:at + 8]) == b"RSD PTR " and sum(m[at:at + 20].tolist()) & 255 == 0)
        rsdt = long(m, rsdp + 16)
        tables = [long(m, at) for at in range(rsdt + 36, rsdt + long(m, rsdt + 4), 4)]
        fadt = next(at for at in tables if bytes(m[at:at + 4]) == b"FACP")
        assert sum(m[fadt:fadt + long(m, fadt + 4)].tolist()) & 255 == 0
        whole = bytes(m[fadt:fadt + FADT])
        assert len(whole) == FADT
        assert whole[X_FIRMWARE_CTRL:X_DSDT + 8] == bytes(16) or long(m, fadt + 4) >= X_DSDT + 8

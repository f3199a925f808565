"""The file "bootorder" of fw_cfg: what SeaBIOS tries first, as paths of devices.   SeaBIOS docs/Runtime_config.md; Open Firmware, IEEE 1275.

    /pci@i0cf8/isa@1/fdc@03f0/floppy@0          /pci@i0cf8/ide@1,1/drive@0/disk@1     channel 0, device 1
    /pci@i0cf8/scsi@4/disk@0,0                  a virtio disk at device 4

One a line, a NUL at the end.  CMOS 38h and 3Dh (cmos.py) say the same by kind, for firmware that does not ask.
"""
from __future__ import annotations

from collections.abc import Sequence

from ..devices.ide_drive import ATA, ATAPI


def bootorder(boot: str, ide: Sequence[int], virtio: Sequence[int] = ()) -> bytes:
    """boot: letters in order; ide: kinds of the four IDE drives; virtio: PCI device numbers of virtio disks."""
    drives = lambda kind: [f"/pci@i0cf8/ide@1,1/drive@{i // 2}/disk@{i % 2}" for i, k in enumerate(ide) if k == kind]
    paths = {"a": [f"/pci@i0cf8/isa@1/fdc@03f0/floppy@{i}" for i in range(2)], "d": drives(ATAPI),
             "c": drives(ATA) + [f"/pci@i0cf8/scsi@{n:x}/disk@0,0" for n in virtio]}
    return "\n".join(p for letter in boot for p in paths[letter]).encode() + b"\0"

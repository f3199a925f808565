"""`vm.fda`, `vm.hda`, `vm.cdrom`: the drives.  A file given by path is never modified: writes go to a layer above it until `save`."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options

if TYPE_CHECKING:
    from .vm import VM

FLOPPIES, HARD_DISKS, CD = ("fda", "fdb"), ("hda", "hdb", "hdc", "hdd"), "cdrom"
NAMES = (*FLOPPIES, *HARD_DISKS, CD)


class Drive:
    """One drive of the machine."""

    REMEDY = "put one in with vm.{}.insert(path)"

    def __init__(self, vm: VM, name: str, number: int) -> None:
        self._vm, self.name, self.number = vm, name, number
        self.source = ""                                 # what the medium was made from, for the repr

    @property
    def disk(self) -> Any:
        """The `Disk` in the drive, or None."""
        with self._vm._at_rest() as machine:
            return machine.disk(self.number)

    def insert(self, given: str | os.PathLike[str] | bytes | Any) -> None:
        """Put a medium into the drive: a path, bytes or a Disk.  The guest sees the disk change.

        Raises
        ------
        FileNotFoundError, ValueError, TypeError
            For an image that cannot be used; the drive keeps what it has.
        """
        self._vm._check_open()
        disk, source = medium(self.name, given)
        self._vm._post("insert", self.name, source, disk)
        self._vm._settle_inputs()

    def eject(self) -> None:
        """Take the medium out, as by hand: also where the guest has locked the drive.  Its changes are lost unless saved."""
        self._vm._check_open()
        self._vm._post("eject", self.name)
        self._vm._settle_inputs()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole image as it is now, with what the guest wrote.  Answers the path."""
        self._vm._settle_inputs()
        with self._vm._at_rest() as machine:
            disk = machine.disk(self.number)
            if disk is None:
                raise ValueError(f"there is no disk in {self.name}; {self.REMEDY.format(self.name)}")
            return disk.save(path)

    def __repr__(self) -> str:
        disk = self.disk
        return f"<{self.name}: " + (f"{self.source or disk!r}>" if disk is not None else "empty>")


class CdDrive(Drive):
    """The CD-ROM drive.  It is there without a disc too, unless all four places are taken by disks."""


class HardDisk(Drive):
    """A hard disk: built in, so it is neither inserted nor ejected."""

    REMEDY = "make a VM with {}="

    def insert(self, given: Any) -> None:
        self._vm._check_open()
        raise ValueError(f"{self.name} is a hard disk, which cannot be changed while the machine is there; make a VM with {self.name}=")

    def eject(self) -> None:
        self.insert(None)


def drives(vm: VM) -> dict[str, Drive]:
    """The drives of a machine by name, in the order of their numbers."""
    kinds = {"f": Drive, "h": HardDisk, "c": CdDrive}
    return {name: kinds[name[0]](vm, name, n) for n, name in enumerate(NAMES)}


def medium(name: str, given: Any) -> tuple[Any, str]:
    """(Disk, what it was made from) of a path, bytes or Disk.  Every refusal names the option."""
    from .media import cd, floppy
    from .media.disk import Disk

    if given is None:
        raise TypeError(f"{name} takes a path, bytes or a Disk, not None; vm.{name}.eject() takes a disk out")
    is_cd, is_floppy = name == "cdrom", name.startswith("fd")
    try:
        if not isinstance(given, Disk):
            given = options.source(name, given)
            disk = Disk(given, sector_size=cd.SECTOR, write_protect=True) if is_cd else Disk(given)
        elif given.sector_size != (cd.SECTOR if is_cd else 512):
            disk = Disk(given.base, sector_size=cd.SECTOR, write_protect=True) if is_cd else Disk(given.base)
        else:
            disk = given
        if is_floppy:
            floppy.geometry(disk.size)
        if is_cd:
            cd.check(disk)
        if disk.bus == "virtio" and (is_cd or is_floppy):
            raise ValueError('bus="virtio" is for hard disks')
    except ValueError as e:
        raise ValueError(str(e) if str(e).startswith(name) else f"{name}=: {e}") from None
    return disk, disk.name

"""`vm.fda`, `vm.fdb`: floppy drives.  A file given by path is never modified: writes go to a layer above it until `save`."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options

if TYPE_CHECKING:
    from .vm import VM


class Drive:
    """One floppy drive of the machine."""

    def __init__(self, vm: VM, name: str, number: int) -> None:
        self._vm, self.name, self.number = vm, name, number
        self.source = ""                                 # what the medium was made from, for the repr

    @property
    def disk(self) -> Any:
        """The `Disk` in the drive, or None."""
        with self._vm._at_rest() as machine:
            return machine.disk(self.number)

    def insert(self, given: str | os.PathLike[str] | bytes | Any) -> None:
        """Put a floppy into the drive: a path, bytes or a Disk.  The guest sees the disk change.

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
        """Take the floppy out; its changes are lost unless saved."""
        self._vm._check_open()
        self._vm._post("eject", self.name)
        self._vm._settle_inputs()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole image as it is now, with what the guest wrote.  Answers the path."""
        self._vm._settle_inputs()
        with self._vm._at_rest() as machine:
            disk = machine.disk(self.number)
            if disk is None:
                raise ValueError(f"there is no disk in {self.name}; put one in with vm.{self.name}.insert(path)")
            return disk.save(path)

    def __repr__(self) -> str:
        disk = self.disk
        return f"<{self.name}: " + (f"{self.source or disk!r}>" if disk is not None else "empty>")


def medium(name: str, given: Any) -> tuple[Any, str]:
    """(Disk, what it was made from) of a path, bytes or Disk.  Every refusal names the option."""
    from .media.disk import Disk
    from .media.floppy import geometry

    if isinstance(given, Disk):
        geometry(given.size)
        return given, given.name
    if given is None:
        raise TypeError(f"{name} takes a path, bytes or a Disk, not None; vm.{name}.eject() takes a disk out")
    disk = Disk(options.source(name, given))
    try:
        geometry(disk.size)
    except ValueError as e:
        raise ValueError(f"{name}=: {e}") from None
    return disk, disk.name

"""`vm.snapshot()`: the whole machine at one instruction, to go back to, to save, to start others from.

    s = vm.snapshot();  vm.run(seconds=5);  vm.restore(s)
    s.save("at-prompt.npz");  vm = VM.from_snapshot(Snapshot.load("at-prompt.npz"))

Kept: memory (RAM, ROMs, video memory), the architectural state of the processor, every word of every chip by its name, what the guest
has written to the disks, typed text and serial bytes on their way.  Not kept, for it is derived: translated code, TLBs.  A file is a numpy
archive without pickles; chips are matched by field name, so a snapshot of a neighbouring version loads as far as the names agree.
"""
from __future__ import annotations

import dataclasses
import datetime
import json
import os
import zipfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .drives import HARD_DISKS, NAMES
from .engine.state import ARCHITECTURAL
from .media.disk import BLOCK, Disk
from .media.image import Image, open_image, stamp
from .options import Options

if TYPE_CHECKING:
    from .vm import VM

FORMAT = 2
WHOLE = 4 << 20                                          # an image up to this size is saved with its contents
LONG_HEADER = 1 << 20                                    # of a .npy: the names of all fields of all chips
SETTINGS = ("write_protect", "sector_size", "bus", "room")
Medium = tuple[Image, dict[int, bytes]]
TRACE = ("ring", "irq", "watch", "lines", "frames")       # of the interrupt trace, engine/irq_trace.py
KEPT = ("memory", "boot", "clock", "mips", "seed", "cpu", "bare", "cmdline")


@dataclass(eq=False)
class Snapshot:
    """A machine at one instruction.  Made by `vm.snapshot()`; not changed by anything that machine does later.

    Attributes
    ----------
    meta : dict
        What is not an array: options, counts, input on its way.
    arrays : dict of numpy.ndarray
        "memory", "board", "firmware", "vga_firmware", "cpu.*", "irq.*".
    media : list
        Of each drive, the image in it and the blocks that differ from it.
    """

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    media: list[Medium | None] = dataclasses.field(default_factory=list)

    @property
    def instructions(self) -> int:
        """Retired instructions since power-on."""
        return int(self.meta["instructions"])

    @property
    def time(self) -> float:
        """Guest seconds since power-on."""
        return float(self.meta["time"])

    def disk(self, n: int) -> Disk | None:
        """The disk of drive n as it was then; a new one at each call."""
        kept = self.meta["disks"][n]
        medium = self.media[n]
        if kept is None or medium is None:
            return None
        disk = Disk(medium[0], **{name: kept[name] for name in SETTINGS})
        disk.restore(medium[1])
        return disk

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file (numpy's .npz, compressed).  Answers the path.

        A floppy, or an image that was given as bytes, is written whole; of an image file there are the changes and its path, size and time.
        """
        target = Path(path).expanduser()
        if target.is_dir() or not target.absolute().parent.is_dir():
            raise ValueError(f"save({str(path)!r}): give the path of a file in a directory that exists")
        with open(target, "wb") as f:
            bases, arrays = packed_media(self.media)
            meta = np.frombuffer(json.dumps({**self.meta, "bases": bases}).encode(), np.uint8)
            np.savez_compressed(f, allow_pickle=False, meta=meta, **self.arrays, **arrays)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            For a file that is not there, or is not a snapshot.
        """
        source = Path(path).expanduser()
        if not source.is_file():
            raise FileNotFoundError(f"there is no snapshot {str(path)!r}; give the path that s.save() answered")
        try:
            with np.load(source, allow_pickle=False, max_header_size=LONG_HEADER) as f:
                arrays = {n: f[n] for n in f.files}
            meta = json.loads(arrays.pop("meta").tobytes())
        except (ValueError, KeyError, OSError, zipfile.BadZipFile):
            raise ValueError(f"{str(path)!r} is not a snapshot that s.save() wrote, or it is damaged") from None
        if meta.get("format") != FORMAT:
            raise ValueError(f"{str(path)!r} has snapshot format {meta.get('format')}; this version reads format {FORMAT}")
        return cls(meta, arrays, unpacked_media(meta.pop("bases"), arrays))

    def __repr__(self) -> str:
        return f"<Snapshot at {self.time:.6f} s, {self.instructions:,} instructions, {self.arrays['memory'].size >> 10:,} KiB>"


# DISKS IN A FILE

def packed_media(media: list[Medium | None]) -> tuple[list[Any], dict[str, np.ndarray]]:
    """What a file needs to find the images again, and the arrays with what the guest wrote."""
    bases: list[Any] = []
    arrays: dict[str, np.ndarray] = {}
    for n, medium in enumerate(media):
        if medium is None:
            bases.append(None)
            continue
        image, changes = medium
        whole = image.origin is None or image.size <= WHOLE
        bases.append({"name": image.name, "path": None if whole else str(Path(image.origin).absolute()), "stamp": image.stamp})  # type: ignore[arg-type]
        if whole:
            arrays[f"disk{n}.image"] = np.frombuffer(image.read(0, image.size), np.uint8)
        arrays[f"disk{n}.blocks"] = np.array(sorted(changes), np.int64)
        arrays[f"disk{n}.data"] = np.frombuffer(b"".join(changes[k].ljust(BLOCK, b"\0") for k in sorted(changes)), np.uint8)
    return bases, arrays


def unpacked_media(bases: list[Any], arrays: dict[str, np.ndarray]) -> list[Medium | None]:
    """The images and changes again.  FileNotFoundError, ValueError when an image is gone or is another one."""
    media: list[Medium | None] = []
    for n, base in enumerate(bases):
        if base is None:
            media.append(None)
            continue
        if base["path"] is None:
            image = Image(arrays.pop(f"disk{n}.image").tobytes(), base["name"])
        else:
            image = found(base)
        blocks, data = arrays.pop(f"disk{n}.blocks").tolist(), arrays.pop(f"disk{n}.data").tobytes()
        media.append((image, {k: data[i * BLOCK:(i + 1) * BLOCK][:image.size - k * BLOCK] for i, k in enumerate(blocks)}))
    return media


def found(base: dict[str, Any]) -> Image:
    path = Path(base["path"])
    if not path.is_file():
        raise FileNotFoundError(f"the snapshot needs the disk image {path}, which is not there; put it back to where it was")
    if list(stamp(path)) != list(base["stamp"]):
        raise ValueError(f"the snapshot needs the disk image {path} as it was, but it has been changed since; give the one it was made with")
    return open_image(path)


def take(vm: VM) -> Snapshot:
    """The snapshot of a machine at rest."""
    machine, inputs, runner = vm._machine, vm._inputs, vm._runner
    processor, bus = machine.processor, machine.board.bus
    arrays = {"memory": machine.memory.host.copy(), "board": machine.board.snapshot(), "firmware": np.frombuffer(machine.firmware[0], np.uint8),
              "vga_firmware": np.frombuffer(machine.firmware[1], np.uint8)}
    arrays |= {f"cpu.{n}": processor.array[n].copy() for n in ARCHITECTURAL}
    arrays |= {f"irq.{n}": getattr(bus, n).copy() for n in TRACE}
    if vm._options.kernel is not None:                   # it is read again after a reset
        arrays |= {"kernel": np.frombuffer(vm._options.kernel, np.uint8)}
        arrays |= {f"module{i}": np.frombuffer(data, np.uint8) for i, (_, data) in enumerate(vm._options.initrd)}
    disks: list[dict[str, Any] | None] = []
    media: list[Medium | None] = []
    for drive in vm._drives.values():
        disk = machine.disk(drive.number)
        disks.append(None if disk is None else {"source": drive.source, **{n: getattr(disk, n) for n in SETTINGS}})
        media.append(None if disk is None else (disk.base, disk.changes()))
    options = {n: getattr(vm._options, n) for n in KEPT}
    meta = {
        "format": FORMAT, "options": options, "rtc": vm._options.rtc.isoformat() if vm._options.rtc else None, "now": processor.now,
        "extra": processor.cpu.extra, "instructions": int(processor.instructions), "time": machine.time, "shift": machine.shift, "disks": disks,
        "typing": [list(e) for e in inputs.typing], "next_edge": inputs.next_edge, "held": sorted(vm._events.held), "buttons": vm._events.buttons,
        "outgoing": [bytes(b).hex() for b in machine.outgoing], "serial": [bytes(p.line.data).hex() for p in vm.serial],
        "pending_reset": runner.pending_reset, "modules": [name for name, _ in vm._options.initrd]}
    return Snapshot(meta, arrays, media)


def put_back(vm: VM, s: Snapshot) -> None:
    """Make a machine at rest what the snapshot says.

    Raises
    ------
    ValueError
        If it has another memory size or firmware; the machine is unchanged.
    """
    machine, inputs, runner, meta = vm._machine, vm._inputs, vm._runner, s.meta
    memory, processor, bus = machine.memory, machine.processor, machine.board.bus
    if s.arrays["memory"].shape != memory.host.shape or meta["options"]["memory"] != vm._options.memory:
        raise ValueError(f"this snapshot is of a machine with {meta['options']['memory']:,} bytes of memory, this machine has "
                         f"{vm._options.memory:,}, or other firmware; make one with VM.from_snapshot(s)")
    built_in = [n for n in HARD_DISKS if (meta["disks"][vm._drives[n].number] is None) != (machine.disk(vm._drives[n].number) is None)]
    if built_in:
        raise ValueError(f"this snapshot and this machine differ in what is built in ({', '.join(built_in)}); make one with VM.from_snapshot(s)")
    other = other_shapes(vm, s)
    if other:
        raise ValueError(f"this snapshot was made by another version of pyv86_nb: {', '.join(other[:3])} differ in form; boot anew")
    for drive in vm._drives.values():
        kept = meta["disks"][drive.number]
        machine.put_disk(drive.number, s.disk(drive.number))
        drive.source = kept["source"] if kept else ""
    machine.board.restore(s.arrays["board"])
    memory.host[:] = s.arrays["memory"]
    for name in ARCHITECTURAL:
        processor.array[name] = s.arrays[f"cpu.{name}"]
    processor.now = meta["now"]
    processor.cpu.extra = meta["extra"]
    processor.forget()
    memory.changed(0, len(memory.read_frame))            # all translated code is of another time
    bus.resize_trace(len(s.arrays["irq.ring"]))
    for name in TRACE:
        getattr(bus, name)[...] = s.arrays[f"irq.{name}"]
    machine.shift = meta["shift"]
    machine.outgoing = [bytearray.fromhex(b) for b in meta["outgoing"]]
    for port, data in zip(vm.serial, meta["serial"], strict=True):
        port._restore(bytes.fromhex(data), machine.now)
    inputs.typing, inputs.next_edge = deque(_event(e) for e in meta["typing"]), meta["next_edge"]
    inputs.ahead = inputs.refused = 0
    vm._events.held, vm._events.buttons = set(meta["held"]), meta["buttons"]
    runner.pending_reset = meta["pending_reset"]
    runner.pace_from()
    vm._watcher.restored(machine.now)
    vm.trace._restored(machine)
    inputs.note(machine.now, ("restored", s.instructions))


def other_shapes(vm: VM, s: Snapshot) -> list[str]:
    """Names of arrays of the processor and of the interrupt trace that this version keeps and the snapshot has not, or in another shape."""
    kept = {f"cpu.{n}": vm._machine.processor.array[n] for n in ARCHITECTURAL} | {f"irq.{n}": getattr(vm._machine.board.bus, n) for n in TRACE}
    shape = lambda name, array: (array.shape[name == "irq.ring":], array.dtype)   # the ring is as long as it was made
    return [n for n, array in kept.items() if n not in s.arrays or shape(n, s.arrays[n]) != shape(n, array)]


def _event(e: list[Any]) -> tuple[Any, ...]:
    return tuple(e)


def options_of(s: Snapshot) -> dict[str, Any]:
    """The keywords of `VM` that make a machine which can hold this snapshot."""
    given = dict(s.meta["options"])
    given["bare"] = given["bare"] or False
    if s.meta["rtc"]:
        given["rtc"] = datetime.datetime.fromisoformat(s.meta["rtc"])
    if not given["bare"]:
        given["bios"], given["vga_bios"] = s.arrays["firmware"].tobytes(), s.arrays["vga_firmware"].tobytes()
    if "kernel" in s.arrays:
        given["kernel"] = s.arrays["kernel"].tobytes()
        given["initrd"] = [(name, s.arrays[f"module{i}"].tobytes()) for i, name in enumerate(s.meta["modules"])]
    given |= {name: s.disk(n) for n, name in enumerate(NAMES) if name in HARD_DISKS}
    known = {f.name for f in dataclasses.fields(Options)}
    return {n: v for n, v in given.items() if n in known}

"""QEMU without a display, driven by its machine protocol: the oracle of whole boots, and the peer of the benchmarks.

    with Qemu("-drive", "file=dos.img,if=floppy,format=raw", "-snapshot") as q:
        q.wait("A:\\\\>")
        q.keys("shift-a", "ret")

The text screen is read from guest memory at B8000h, as 80x25 cells.  TCG, so that no hardware helps it.
"""
from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np

PROGRAM = "qemu-system-i386"


def found() -> str | None:
    """The path of QEMU, or None."""
    return shutil.which(PROGRAM)


class Qemu:
    """One running QEMU.  `started` is the host clock before the process was made."""

    def __init__(self, *options: str, memory: str = "64M") -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.page = pathlib.Path(self.folder.name, "screen")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [PROGRAM, "-accel", "tcg", "-display", "none", "-qmp", "stdio", "-nic", "none", "-m", memory, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.send("qmp_capabilities")

    def send(self, execute: str, **arguments: object) -> object:
        """One command of the protocol, and what it answers."""
        self.process.stdin.write(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:                                  # events come in between
            said = json.loads(line)
            if "return" in said:
                return said["return"]
            if "error" in said:
                raise RuntimeError(said["error"]["desc"])
        raise RuntimeError("QEMU ended")

    def screen(self) -> list[str]:
        """The rows of the text screen."""
        self.send("pmemsave", val=0xB8000, size=4000, filename=str(self.page))
        text = self.page.read_bytes()[::2].decode("cp437").replace("\0", " ")
        return [text[i:i + 80] for i in range(0, 2000, 80)]

    def wait(self, text: str, seconds: float = 60, every: float = 0.002) -> float:
        """Seconds from the start of the process until the text is on the screen.  Raises TimeoutError."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if text in "\n".join(rows := self.screen()):
                return time.perf_counter() - self.started
            time.sleep(every)
        raise TimeoutError(f"{text!r} did not appear under QEMU:\n" + "\n".join(rows))

    def screenshot(self, path: pathlib.Path) -> np.ndarray:
        """The picture as (height, width, 3) bytes; `path` is a file to be written (PPM)."""
        self.send("screendump", filename=str(path))
        kind, size, _, dots = path.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        assert kind == b"P6"
        return np.frombuffer(dots, np.uint8).reshape(height, width, 3)

    def keys(self, *names: str) -> None:
        """Press keys one after the other, by the names of QEMU's monitor: a, shift-a, ret."""
        for name in names:
            self.send("human-monitor-command", **{"command-line": f"sendkey {name} 20"})
            time.sleep(0.06)

    def mouse(self, dx: int = 0, dy: int = 0) -> None:
        """Move the mouse, at most 127 counts each way, and wait 0.2 s: guests accelerate what comes in quick succession."""
        self.send("input-send-event", events=[{"type": "rel", "data": {"axis": a, "value": v}} for a, v in (("x", dx), ("y", dy))])
        time.sleep(0.2)

    def click(self) -> None:
        """Press the left button and release it."""
        for down in (True, False):
            self.send("input-send-event", events=[{"type": "btn", "data": {"button": "left", "down": down}}])
            time.sleep(0.1)

    def wheel(self, clicks: int) -> None:
        """Turn the wheel, towards the user if positive."""
        for _ in range(abs(clicks)):
            for down in (True, False):
                self.send("input-send-event", events=[{"type": "btn", "data": {"button": "wheel-down" if clicks > 0 else "wheel-up", "down": down}}])
            time.sleep(0.1)

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

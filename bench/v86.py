"""v86 in node, the other peer of boots.  It comes through npm when it is first asked for, into the user's cache folder."""
from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import subprocess
import time

SCRIPT = pathlib.Path(__file__).with_name("v86_boot.mjs")
ROMS = pathlib.Path("/usr/share/seabios")


def cache(name: str) -> pathlib.Path:
    """A folder of that name for what the benchmarks fetch."""
    path = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "pyv86_nb-bench", name)
    path.mkdir(parents=True, exist_ok=True)
    return path


@functools.cache
def folder() -> pathlib.Path | None:
    """Where node_modules/v86 is; None without node, npm, SeaBIOS or network."""
    if not shutil.which("node") or not shutil.which("npm") or not (ROMS / "bios.bin").exists():
        return None
    here = cache("npm")
    if not (here / "node_modules/v86").exists():
        done = subprocess.run(["npm", "install", "--prefix", here, "--no-audit", "--no-fund", "v86"], capture_output=True)
        if done.returncode:
            return None
    return here


def seconds(text: str, memory: int, **given: object) -> float | None:
    """Host seconds from the start of node until v86 has said the text on COM1; paths are given as options of its constructor.  None when
    there is no v86 here, or it does not get there."""
    if folder() is None:
        return None
    files = {"bios": ROMS / "bios.bin", "vga_bios": ROMS / "vgabios-stdvga.bin", **given}
    options = {name: {"url": str(v)} if isinstance(v, pathlib.Path) else v for name, v in files.items()}
    start = time.perf_counter()
    done = subprocess.run(["node", SCRIPT, str(folder()), json.dumps({"memory_size": memory, **options}), text], capture_output=True)
    return time.perf_counter() - start if done.returncode == 0 else None

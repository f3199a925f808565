"""Kernels of Debian 12 for i386 and an initial RAM disk with its busybox, fetched by apt and unpacked without installing anything.

apt works in folders of its own, as another architecture, with the sources and keys of the system; nothing of the system is changed.
"""
import fcntl
import gzip
import pathlib
import re
import shutil
import subprocess

KERNELS = ("linux-image-686", "linux-image-686-pae")
INIT = b"""#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
echo BOOT-OK
exec setsid cttyhack sh
"""


class NotHere(Exception):
    """What is needed cannot be had on this machine; says why."""


def apt(folder: pathlib.Path, tool: str, *words: str) -> str:
    """Run an apt tool for i386 within the folder."""
    for part in ("state/lists/partial", "cache/archives/partial"): (folder / part).mkdir(parents=True, exist_ok=True)
    options = {"Dir::State": folder / "state", "Dir::Cache": folder / "cache", "Dir::State::status": "/dev/null", "APT::Architecture": "i386",
               "APT::Architectures::": "i386"}
    done = subprocess.run([tool, *(f"-o{k}={v}" for k, v in options.items()), *words], cwd=folder, capture_output=True, text=True, timeout=600)
    return done.stdout


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """The folder in which the packages are unpacked; fetched if they are not there.  Raises NotHere."""
    with open(folder / "lock", "w") as lock:                               # several test processes come here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return fetched(folder, folder / "root")


def fetched(folder: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    if list(root.glob("boot/vmlinuz-*-686")) and list(root.glob("boot/vmlinuz-*-686-pae")) and (root / "bin/busybox").exists(): return root
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"): raise NotHere("apt-get and dpkg-deb are needed to fetch Debian's kernels")
    apt(folder, "apt-get", "update")
    names = ["busybox-static"]
    for k in KERNELS:
        found = re.search(r"Depends: (linux-image-[\w.-]+)", apt(folder, "apt-cache", "depends", k))
        if not found: raise NotHere(f"no package {k} of i386 in the package sources of this system, or no network")
        names.append(found[1])
    apt(folder, "apt-get", "download", *names)
    for deb in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        deb.unlink()
    if not list(root.glob("boot/vmlinuz-*")): raise NotHere("the packages could not be fetched")
    return root


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file of a cpio archive of the "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst of Linux)."""
    path = name.encode() + b"\0"
    head = "070701" + "".join(f"{v:08X}" for v in (hash(name) & 0xFFFF, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0))
    pad = lambda b: b + bytes(-len(b) % 4)
    return pad(head.encode() + path) + pad(data)


def initrd(busybox: bytes, **more: bytes) -> bytes:
    """An initial RAM disk: busybox, an init that says BOOT-OK and becomes a shell, and more files in its root."""
    folders = b"".join(entry(d, 0o40755) for d in ("bin", "proc", "sys", "dev"))
    files = entry("dev/console", 0o20600, device=(5, 1)) + entry("bin/busybox", 0o100755, busybox) + entry("bin/sh", 0o120777, b"busybox")
    files += b"".join(entry(name, 0o100644, data) for name, data in more.items())
    return gzip.compress(folders + files + entry("init", 0o100755, INIT) + entry("TRAILER!!!", 0), 1)

"""Finding firmware: SeaBIOS and its VGA BIOS, as the system has them or as given.

`bios(None)` and `bios("seabios")` look where distributions put SeaBIOS; anything else is a path or the bytes themselves.
A BIOS image is a multiple of 64 KiB up to 1 MiB whose last 16 bytes hold the reset jump; an option ROM begins with 55h AAh and its
size in 512-byte blocks, and its bytes add up to 0 (PnP BIOS Specification 1.0A, section 3.2).
"""
import os
import pathlib

FOLDERS = ("/usr/share/seabios", "/usr/share/qemu", "/usr/local/share/qemu", "/usr/share/qemu-kvm", "/usr/share/vgabios",
           "/opt/homebrew/share/qemu", "/run/current-system/sw/share/qemu")
BIOS_NAMES, VGA_NAMES = ("bios.bin", "bios-256k.bin"), ("vgabios-stdvga.bin",)
HELP = "install SeaBIOS (`apt-get install seabios`) or give a path"


class FirmwareError(ValueError):
    """An image that cannot be what it is said to be."""


def find(names, folders=FOLDERS) -> pathlib.Path | None:
    """The first file of one of these names; in every folder the names in their order."""
    for folder in map(pathlib.Path, folders):
        for name in names:
            if (folder / name).is_file(): return folder / name
    return None


def load(given, names, what, folders) -> bytes:
    if isinstance(given, (bytes, bytearray, memoryview)): return bytes(given)
    if given is None or given == "seabios":
        path = find(names, folders)
        if path is None: raise FileNotFoundError(f"no {what} found ({' or '.join(names)}); {HELP}")
        return path.read_bytes()
    if not isinstance(given, (str, os.PathLike)): raise TypeError(f"{what} is a path or bytes, not {type(given).__name__}")
    path = pathlib.Path(given)
    if not path.is_file(): raise FileNotFoundError(f"{what}: there is no file {str(path)!r}; {HELP}")
    return path.read_bytes()


def bios(given=None, folders=FOLDERS) -> bytes:
    """A PC BIOS image: None or "seabios" for the system's SeaBIOS, a path, or bytes."""
    image = load(given, BIOS_NAMES, "BIOS", folders)
    if not image or len(image) % 0x10000 or len(image) > 1 << 20:
        raise FirmwareError(f"a BIOS image is a multiple of 64 KiB up to 1 MiB; this one has {len(image)} bytes")
    return image


def vga_bios(given=None, folders=FOLDERS) -> bytes:
    """A VGA BIOS image (an option ROM of at most 64 KiB), padded to its stated size."""
    image = load(given, VGA_NAMES, "VGA BIOS", folders)
    if image[:2] != b"\x55\xAA" or len(image) > 0x10000:
        raise FirmwareError(f"a VGA BIOS is an option ROM (55h AAh ...) of at most 64 KiB; this one has {len(image)} bytes and begins with "
                            f"{image[:2].hex() or 'nothing'}")
    if len(image) < image[2] * 512:
        raise FirmwareError(f"this VGA BIOS says it has {image[2] * 512} bytes and is cut off at {len(image)}")
    return image

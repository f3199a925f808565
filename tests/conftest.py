"""What all suites share: where the images, the captured oracles, the firmware and the other emulators are.

Nothing is fetched and nothing is in the repository.  Images are looked for in the folder PYV86_IMAGES, oracles in
PYV86_ORACLES, and both in a folder `shared` beside the checkout.  A test that needs what is not here is skipped by name,
and the summary at the end of the run lists it with the reason.
"""
import os
import pathlib
import shutil

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEABIOS = pathlib.Path("/usr/share/seabios/bios.bin")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def look(variable, folder, name):
    """The path of `name` in the folder that the environment names, else in `shared/<folder>` beside the checkout."""
    if os.environ.get(variable):
        places = [pathlib.Path(os.environ[variable])]
    else:
        places = [above / "shared" / folder for above in list(ROOT.parents)[:2]]
    for place in places:
        if (place / name).exists():
            return place / name
    return None


def image(name):
    """The path of a boot image, `image("freedos722.img")`; skips the test where it is not to be found."""
    return look("PYV86_IMAGES", "images", name) or pytest.skip(f"boot image {name} is not here (PYV86_IMAGES names its folder)")


def oracle(name):
    """The path of a captured oracle, `oracle("singlestep-80286")`; skips the test where it is not to be found."""
    return look("PYV86_ORACLES", "oracles", name) or pytest.skip(f"oracle {name} is not here (PYV86_ORACLES names its folder)")


def command(*names):
    """The path of the first of these programs that is installed; skips the test where none is."""
    found = [p for p in map(shutil.which, names) if p]
    return found[0] if found else pytest.skip(f"{' or '.join(names)} is not installed")


def seabios():
    """The path of the system's SeaBIOS; skips the test where it is not installed."""
    return SEABIOS if SEABIOS.exists() else pytest.skip("SeaBIOS is not installed (apt-get install seabios)")


@pytest.fixture(name="image", scope="session")
def image_fixture():
    return image


@pytest.fixture(name="oracle", scope="session")
def oracle_fixture():
    return oracle


@pytest.fixture(name="command", scope="session")
def command_fixture():
    return command


@pytest.fixture(name="seabios")
def seabios_fixture():
    return seabios()


def pytest_report_header():
    there = {
        "SeaBIOS": SEABIOS.exists(), "QEMU": shutil.which("qemu-system-i386"), "mtools": shutil.which("mcopy"),
        "Chromium": any(map(shutil.which, CHROMIUM)), "gcc": shutil.which("gcc"),
        "images": look("PYV86_IMAGES", "images", "freedos722.img"), "oracles": look("PYV86_ORACLES", "oracles", "singlestep-80286"),
    }
    return "oracles here: " + ", ".join(f"{name} {'yes' if found else 'NO'}" for name, found in there.items())

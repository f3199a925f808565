"""`pyv86-nb`: exit status, files and JSON.  Runs as a user would, in a process of its own, on the demonstration disk."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def cli(*args, cwd=None, **environment):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, "-m", "pyv86_nb.cli", *map(str, args)], cwd=cwd, text=True, capture_output=True, timeout=300,
                          env={**os.environ, "PYTHONPATH": path, **environment})


def answer(done):
    assert len(done.stdout.splitlines()) == 1, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_demonstration_disk_boots_and_types(tmp_path):
    done = cli("run", "--until", "Type something", "--type", "abc\\n", "--until", "abc", "--timeout", 120, "--json",
               "--screenshot", tmp_path / "x.png", "--serial", tmp_path / "com1.txt")
    assert done.returncode == 0, done.stderr
    said = answer(done)
    assert said["reason"] == "until" and said["met"] is True and said["instructions"] > 1000 and 0 < said["time"] < 60
    assert said["wall"] > 0 and said["mips"] > 0 and said["tier"] in ("native", "threaded", "python")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "com1.txt").read_text().startswith("pyv86_nb demo disk on COM1")


def test_the_screen_is_printed():
    done = cli("run", "--until", "Type something", "--timeout", 120)
    assert done.returncode == 0 and "Timer ticks" in done.stdout and "until at instruction" in done.stderr
    assert "no disk was given" in done.stderr


def test_under_seabios(tmp_path, seabios):
    from pyv86_nb import demo
    (tmp_path / "demo.img").write_bytes(demo.disk())
    done = cli("run", "--fda", "demo.img", "--until", "Type something", "--timeout", 120, "--json", cwd=tmp_path)
    assert done.returncode == 0 and answer(done)["time"] > 0.01, done.stderr
    assert (tmp_path / "demo.img").read_bytes() == demo.disk()


def test_what_does_not_come_is_status_1():
    done = cli("run", "--until", "no such text", "--seconds", 0.2, "--json")
    assert done.returncode == 1
    said = answer(done)
    assert said["reason"] == "seconds" and said["met"] is False and said["time"] == pytest.approx(0.2, abs=0.02)


def test_without_until_an_end_is_an_end():
    done = cli("run", "--instructions", 12345, "--json")
    assert done.returncode == 0 and answer(done)["instructions"] == 12345


@pytest.mark.parametrize("tier", ["threaded", "native"])
def test_the_tier_is_the_one_asked_for(tier):
    said = answer(cli("run", "--tier", tier, "--instructions", 50_000, "--json"))
    assert said["tier"] == tier and said["instructions"] == 50_000


@pytest.mark.parametrize("args, says", [
    (["--fda", "nowhere.img"], "nowhere.img"),
    (["--fda", "."], "directory"),
    (["--fda", "empty.img"], "empty"),
    (["--fda", "odd.img"], "513"),
    (["--bios", "odd.img"], "BIOS"),
    (["--memory", "0"], "memory"),
    (["--memory", "5G"], "memory"),
    (["--tier", "quick"], "quick"),
    (["--boot", "xyz"], "xyz"),
    (["--hda", "odd.img"], "hda"),
    (["--cdrom", "odd.img"], "cdrom"),
    (["--kernel", "odd.img"], "kernel"),
    (["--screenshot", "no/such/folder/x.png"], "folder"),
    (["--timeout", "-1"], "timeout"),
    (["--until", ""], "visible character"),
])
def test_bad_input_is_one_sentence_and_status_2(tmp_path, args, says):
    (tmp_path / "empty.img").write_bytes(b"")
    (tmp_path / "odd.img").write_bytes(bytes(513))
    done = cli("run", *args, "--instructions", 1, cwd=tmp_path)
    said = [line for line in done.stderr.splitlines() if "no disk was given" not in line]
    assert done.returncode == 2 and len(said) == 1 and says.lower() in said[0].lower(), done.stderr


def test_an_unknown_option_is_refused():
    done = cli("run", "--floppy", "x.img")
    assert done.returncode == 2 and "--floppy" in done.stderr


def test_doctor_says_what_works():
    done = cli("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["tier auto"] in ("native", "threaded")
    assert found["tier python"].startswith("works") and found["tier threaded"].startswith("works")
    assert str(pathlib.Path(found["cache"].split(" (")[0])) and "SeaBIOS" in found
    done = cli("doctor")
    assert done.returncode == 0 and "tier auto" in done.stdout

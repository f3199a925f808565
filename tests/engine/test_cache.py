"""The cache against its promises, in fresh processes on a package of its own: cache.py beside a caller and a callee."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from pyv86_nb.engine import cache

CALLEE = "from .cache import compiled\n@compiled\ndef callee(x): return x + {n}\n"
CALLER = """
from numba import types
from .cache import compiled, compiled_c
from .callee import callee
@compiled
def caller(x): return callee(x) * 2
@compiled_c(types.int64(types.int64))
def c(x): return callee(x) * 3
def make(n):
    def f(x): return x * n
    f.__qualname__ = f"times_{n}"
    return compiled(f)
"""
RUN = """
import time, numba.core.registry
from pkg.engine import cache
t = time.process_time()
from pkg.engine.caller import caller, c, make
r = caller(20), c.ctypes(20), make(5)(3), make(7)(3)
print(*r, len(cache.misses), cache.folder(), time.process_time() - t)
"""


@pytest.fixture
def pkg(tmp_path):
    class Package:
        root = tmp_path / "root"
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"),
               "PYTHONDONTWRITEBYTECODE": "1"}

        def put(self, name, text): (self.root / "pkg" / "engine" / name).write_text(text)

        def start(self, **env):
            return subprocess.Popen([sys.executable, "-c", RUN], cwd=self.root, env=self.env | env, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def end(self, p):
            out, err = p.communicate(timeout=120)
            assert p.returncode == 0, err
            *answers, misses, folder, seconds = out.split()
            return [*map(int, answers)], int(misses), pathlib.Path(folder), float(seconds)

        def run(self, **env): return self.end(self.start(**env))

    p = Package()
    (p.root / "pkg" / "engine").mkdir(parents=True)
    for d in ("home", "tmp"): (tmp_path / d).mkdir()
    p.put("cache.py", pathlib.Path(cache.__file__).read_text())
    p.put("caller.py", CALLER)
    p.put("callee.py", CALLEE.format(n=1))
    return p


def test_the_second_process_compiles_nothing_and_is_quick(pkg, tmp_path):
    first = pkg.run()
    assert first[0] == [42, 63, 15, 21] and first[1] >= 4
    assert first[2].parent == tmp_path / "home/.cache/pyv86_nb"
    again = pkg.run()
    assert again[:3] == (first[0], 0, first[2]) and again[3] < min(.5, first[3])


def test_an_edit_in_a_callee_is_seen_by_its_callers(pkg):
    before = pkg.run()
    pkg.put("callee.py", CALLEE.format(n=5))
    after = pkg.run()
    assert after[0][:2] == [50, 75] and after[2] != before[2]
    pkg.put("callee.py", CALLEE.format(n=1))
    assert pkg.run()[:2] == (before[0], 0)               # and back: the old folder is still right


def test_old_folders_are_forgotten(pkg):
    kept = pkg.run()[2].parent
    for i in range(cache.KEEP + 3):
        (kept / f"{i:032x}").mkdir()
        os.utime(kept / f"{i:032x}", (i, i))
    (kept / "not ours").mkdir()
    now = pkg.run()[2]
    assert now.exists() and (kept / "not ours").exists() and len(list(kept.iterdir())) == cache.KEEP + 1
    assert not (kept / f"{0:032x}").exists()


def test_the_environment_names_the_folder(pkg, tmp_path):
    assert pkg.run(PYV86_CACHE=str(tmp_path / "mine"))[2].parent == tmp_path / "mine"


def test_nothing_writable_but_the_temporary_folder(pkg, tmp_path):
    """A file where a folder should be is unwritable for everybody, root included."""
    shutil.rmtree(tmp_path / "home")
    (tmp_path / "home").write_text("")
    first = pkg.run(PYV86_CACHE=str(tmp_path / "home" / "x"))
    assert first[0] == [42, 63, 15, 21] and tmp_path / "tmp" in first[2].parents
    assert pkg.run(PYV86_CACHE=str(tmp_path / "home" / "x"))[1] == 0
    assert not list(pkg.root.rglob("*.nbc"))             # nothing beside the sources


@pytest.mark.skipif(os.name == "nt", reason="permission bits")
def test_a_folder_that_others_may_write_is_not_trusted(pkg, tmp_path):
    there = pkg.run(PYV86_CACHE=str(tmp_path / "mine"))[2]
    there.chmod(0o777)
    assert pkg.run(PYV86_CACHE=str(tmp_path / "mine"))[2] != there


def test_two_at_once(pkg):
    for answers, *_ in [pkg.end(p) for p in [pkg.start() for _ in range(3)]]: assert answers == [42, 63, 15, 21]
    assert pkg.run()[1] == 0


def test_a_damaged_file_is_compiled_again(pkg):
    for f in pkg.run()[2].iterdir(): f.write_bytes(f.read_bytes()[:100])
    answers, misses, *_ = pkg.run()
    assert answers == [42, 63, 15, 21] and misses >= 4
    assert pkg.run()[1] == 0


def test_numbas_own_settings_are_untouched():
    from numba.core import config
    assert not config.CACHE_DIR

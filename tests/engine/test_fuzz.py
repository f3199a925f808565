"""Random code on all tiers in a process of its own (fuzz.py): no crash, no difference, nothing outside the buffers."""
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def fuzz(first, cases, timeout):
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    p = subprocess.run([sys.executable, str(HERE / "fuzz.py"), str(first), str(cases)], env={**os.environ, "PYTHONPATH": path},
                       capture_output=True, text=True, timeout=timeout)
    assert p.returncode == 0, (p.returncode, p.stderr[-500:].replace("\r", "\n"), p.stdout[-500:])
    print(p.stdout)
    return p.stdout


def test_random_code():
    assert "no difference" in fuzz(0, 300, 600)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_much_random_code(part):
    assert "no difference" in fuzz(10000 + 5000 * part, 1500, 850)

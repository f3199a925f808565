"""No sum, product or shift of compiled code, the processor's or a chip's, leaves 64 bits (exact_arithmetic.py): the same sources, each operation checked, in Python."""
import os
import pathlib
import subprocess
import sys

from pyv86_nb import compile

HERE = pathlib.Path(__file__).parent


def test_nothing_leaves_64_bits():
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    compile.prepare("python")                            # the wires are compiled code there too, which numba cannot make of the sources under watch
    p = subprocess.run([sys.executable, str(HERE / "exact_arithmetic.py"), "150", "1500", "6"], env={**os.environ, "PYTHONPATH": path},
                       capture_output=True, text=True, timeout=800)
    assert p.returncode == 0 and p.stdout.endswith("\n0 places\n"), (p.stdout[-1000:], p.stderr[-1000:])

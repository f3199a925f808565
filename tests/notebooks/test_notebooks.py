"""The notebooks run from top to bottom in a fresh kernel.  Oracle: their own assertions, and that no cell raises."""
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = [pytest.mark.notebook, pytest.mark.slow]


def read(path):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4)


def execute(path, monkeypatch, **environment):
    nbclient = pytest.importorskip("nbclient")
    for name in ("PYV86_FLOPPY", "PYV86_PROMPT"): monkeypatch.delenv(name, raising=False)
    for name, value in environment.items(): monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = read(path)
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def pictures(notebook):
    return sum("image/png" in out.get("data", {}) for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs)


def said(notebook):
    return "".join(out.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_kept_without_outputs(path):
    assert not any(cell.outputs or cell.execution_count for cell in read(path).cells if cell.cell_type == "code")


def test_power_on_with_the_demonstration_disk(monkeypatch):
    ran = execute(ROOT / "notebooks/00_power_on.ipynb", monkeypatch)
    assert "hello, world" in said(ran) and "from the next cell" in said(ran) and pictures(ran) >= 2


@pytest.mark.boot
def test_power_on_with_freedos(monkeypatch, image, seabios):
    ran = execute(ROOT / "notebooks/00_power_on.ipynb", monkeypatch, PYV86_FLOPPY=str(image("freedos722.img")))
    assert "FreeDOS" in said(ran) and pictures(ran) >= 2


def test_interrupt_timing(monkeypatch):
    ran = execute(ROOT / "notebooks/01_interrupt_timing.ipynb", monkeypatch)
    assert pictures(ran) >= 6 and "wrapped 2 times" in said(ran)


def test_serial_line(monkeypatch):
    ran = execute(ROOT / "notebooks/02_serial_line.ipynb", monkeypatch)
    assert pictures(ran) == 1 and "560 interrupts without FIFO, 40 at level 14" in said(ran)
    shown = [out["data"]["text/plain"] for cell in ran.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    assert any("COM1\x1b[m is listening" in text and "\\r" not in text for text in shown), "the terminal's text, where widgets do not run"

"""A notebook executed without a browser: it ends, and its exports show a picture where widgets do not run."""

from __future__ import annotations

import base64
import pathlib

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the notebook tools (pip install pyv86_nb[lab])")
nbclient = pytest.importorskip("nbclient", reason="needs the notebook tools (pip install pyv86_nb[lab])")

CELL = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})\nfrom fake_vm import FakeVM\nvm = FakeVM(); vm.start()\nvm"


def executed() -> object:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, kernel_name="python3", store_widget_state=False, timeout=300, startup_timeout=300).execute()
    return notebook


def test_executed_notebook_shows_a_picture_in_html_and_markdown() -> None:
    nbconvert = pytest.importorskip("nbconvert", reason="needs the notebook tools (pip install pyv86_nb[lab])")
    notebook = executed()  # it ends, or raises after the timeout
    (output,) = notebook.cells[0].outputs
    png = base64.b64decode(output.data["image/png"])
    assert png.startswith(b"\x89PNG")
    assert output.data["text/plain"] == "<FakeVM fake>"
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert output.data["image/png"][:60] in html
    _, resources = nbconvert.MarkdownExporter().from_notebook_node(notebook)
    assert png in resources["outputs"].values()

"""One JupyterLab server and one Chromium for all browser tests; one page and kernel for each test."""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jlab
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "notebook"))  # fake_vm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = jlab.missing()
    for item in items:
        if "browser" in item.keywords and reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def lab() -> Iterator[jlab.Lab]:
    server = jlab.Lab()
    yield server
    server.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=jlab.CHROMIUM, args=jlab.CHROME_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def notebook(lab: jlab.Lab, chromium: Any) -> Iterator[Callable[..., jlab.Notebook]]:
    """notebook(cells, **options) -> Notebook; instead of cells, the name of a notebook that is there already."""
    pages: list[jlab.Notebook] = []
    names = itertools.count()

    def make(cells: list[str] | str, **options: Any) -> jlab.Notebook:
        name = cells if isinstance(cells, str) else f"test{next(names)}-{id(pages)}.ipynb"
        if isinstance(cells, list):
            lab.write(name, cells)
        pages.append(jlab.Notebook(chromium, lab, name, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()

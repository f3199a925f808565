"""The walls that import-linter's contracts cannot say, the size of files, and links in the documents."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pyv86_nb"
LONG = {}                                                                  # files over 700 lines, each with its reason


def imports(path):
    """Modules of this package that a file imports, by absolute name."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for line in path.read_text(encoding="utf-8").splitlines():
        if m := re.match(r"\s*from (\.*)([\w.]*) import (.+)", line):
            dots, module, names = len(m[1]), m[2], [n.split(" as ")[0].strip(" ()") for n in m[3].split("#")[0].split(",")]
            base = ".".join([*package[:len(package) - dots + 1], *([module] if module else [])]) if dots else module
            yield from (f"{base}.{n}" for n in names if n)
        elif m := re.match(r"\s*import (pyv86_nb[\w.]*)", line):
            yield m[1]


def test_isa_imports_only_itself():
    for path in (PACKAGE / "engine/isa").glob("*.py"):
        for name in imports(path):
            assert not name.startswith("pyv86_nb") or name.startswith("pyv86_nb.engine.isa"), f"{path.name} imports {name}"


@pytest.mark.parametrize("room", ["devices", "media", "screen", "demo"])
def test_ground_floor_rooms_import_nothing_else_of_ours(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imports(path):
            assert not name.startswith("pyv86_nb.") or name.startswith(f"pyv86_nb.{room}"), f"{path.name} imports {name}"


def test_no_file_is_too_long():
    for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.js"), *(ROOT / "tests").rglob("*.py")]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 700 or path.name in LONG, f"{path.relative_to(ROOT)} has {lines} lines"


def test_names_of_test_files_are_unique():
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)


def test_links_in_the_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "tests").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert target.startswith("http") or (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readme_names_the_command_that_ci_runs():
    assert "tools/check" in (ROOT / "README.md").read_text() and "exec tools/check" in (ROOT / ".ci/run").read_text()

"""The house: imports point down only, and every door stays light until it is used."""

import ast
import subprocess
import sys
from collections import Counter

import pytest
from conftest import ROOT

# Higher rooms may import lower ones and themselves.
LEVELS = {
    "doors": 7,
    "perf": 6,  # measures the training step
    "cli": 5,
    "launch": 5,
    "training": 4,
    "exports": 5,
    "serving": 5,
    "inference": 4,
    "evaluation": 3,
    "data": 2,
    "models": 2,
    "options": 1,
    "config": 0,
    "presets": -2,
    "rules": -1,
    "progress": 0,
    "cpu": 0,
    "__init__": 0,
}
DOORS = {"train", "evaluate", "predict", "compare", "ablate", "export", "serve", "doctor",
         "verify"}  # fmt: skip
SOURCES = sorted((ROOT / "dftk").rglob("*.py")) + sorted((ROOT / "tfds_rvf10k").rglob("*.py"))


def room(parts):
    name = parts[0]
    return "doors" if name in DOORS else name


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    names = [name.split(".") for name in imported(path) if name.split(".")[0] == "dftk"]
    if ROOT / "tfds_rvf10k" in path.parents:
        assert not names, "the dataset imports nothing of dftk"
        return
    here = room(path.relative_to(ROOT / "dftk").with_suffix("").parts)
    for parts in names:
        there = room(parts[1:]) if len(parts) > 1 else "__init__"
        if there.startswith("__") and there.endswith("__"):
            continue  # an attribute of the package
        if there != here:
            assert LEVELS[there] < LEVELS[here], f"{here} imports {there}"


def test_flags_are_read_in_doors_only():
    readers = {
        path.relative_to(ROOT / "dftk").parts[0]
        for path in SOURCES
        if any(name.startswith("absl.flags") for name in imported(path))
    }
    assert readers <= {f"{door}.py" for door in DOORS} | {"cli.py"}


def test_config_and_help_do_not_load_tensorflow():
    code = "import sys, dftk.config, dftk.train; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_two_files_of_one_name():
    files = [*SOURCES, *(ROOT / "tests").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    names = Counter(path.name for path in files if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_every_module_has_its_test():
    untested = {"__init__.py", "tfds_rvf10k_dataset_builder.py"}  # its test lies beside it
    tests = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    modules = {path.name for path in SOURCES if not path.name.endswith("_test.py")}
    assert {name for name in modules - untested if f"test_{name}" not in tests} == set()


def test_files_stay_readable():
    long = {path.name for path in SOURCES if len(path.read_text().splitlines()) > 250}
    assert long == set()

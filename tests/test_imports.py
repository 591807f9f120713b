"""The house: imports point down only, and every command stays light until it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

# A room may import itself and the rooms before it; rooms on one line do not import each other.
FLOORS = [
    ["utils"],
    ["input", "models"],
    ["datasets", "images"],
    ["runs"],
    ["evaluation.stats"],
    ["evaluation.figures"],
    ["evaluation.checks"],
    ["evaluation.pages"],
    ["evaluation"],
    ["evaluation.comparison"],
    ["training", "inference"],
    ["training.resume"],
    ["training.devices"],
    ["training.step"],
    ["training.features"],
    ["training.folds"],
    ["launch", "exports", "serving", "cli"],
    ["perf"],
    ["commands"],
]
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
COMMANDS = {"train", "evaluate", "predict", "compare", "ablate", "export", "serve", "doctor",
            "verify"}  # fmt: skip
SOURCES = sorted((ROOT / "dftk").rglob("*.py")) + sorted((ROOT / "tfds_rvf10k").rglob("*.py"))
MOST_IN_A_ROOM = 10  # files


def room(parts):
    """The room of a module, by the parts of its name below dftk."""
    if parts[0] in COMMANDS:
        return "commands"
    inner = ".".join(parts[:2])
    return inner if inner in LEVELS else parts[0]


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
    if path == ROOT / "dftk" / "__init__.py":
        assert not names
        return
    here = room(path.relative_to(ROOT / "dftk").with_suffix("").parts)
    for parts in names:
        if len(parts) == 1 or parts[1].startswith("__"):
            continue  # the package, or an attribute of it
        there = room(parts[1:])
        if there != here:
            assert LEVELS[there] < LEVELS[here], f"{here} imports {there}"


def modules():
    """Each module's file by its name."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}


def test_no_file_imports_itself_by_way_of_others():
    names = modules()
    arrows = {
        name: {
            target
            for found in imported(path)
            for target in (found, found.rpartition(".")[0])
            if target in names and target != name
        }
        for name, path in names.items()
    }
    left = dict(arrows)
    while leaves := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in leaves:
            del left[name]
    assert left == {}, "these import each other in a circle"


def test_no_room_is_crowded():
    rooms = {}
    for path in SOURCES:
        if path.name != "__init__.py" and not path.name.endswith("_test.py"):
            rooms.setdefault(path.parent.relative_to(ROOT), []).append(path.name)
    rooms[Path("dftk")] = [n for n in rooms[Path("dftk")] if n.removesuffix(".py") not in COMMANDS]
    assert {str(name): files for name, files in rooms.items() if len(files) > MOST_IN_A_ROOM} == {}


def test_flags_are_read_by_commands_only():
    readers = {
        path.relative_to(ROOT / "dftk").parts[0]
        for path in SOURCES
        if any(name.startswith("absl.flags") for name in imported(path))
    }
    assert readers <= {f"{command}.py" for command in COMMANDS} | {"cli.py"}


def test_config_and_help_do_not_load_tensorflow():
    code = "import sys, dftk.training.config, dftk.train; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_module_has_its_test_in_the_room_of_its_name():
    untested = {"__init__", "tfds_rvf10k_dataset_builder"}  # its test lies beside it
    missing = []
    for path in SOURCES:
        if path.stem in untested or path.name.endswith("_test.py"):
            continue
        top, *rooms = path.parent.relative_to(ROOT).parts
        rooms = ["builder", *rooms] if top == "tfds_rvf10k" else rooms or ["commands"]
        test = ROOT.joinpath("tests", *rooms, f"test_{path.stem}.py")
        if not test.is_file():
            missing.append(str(test.relative_to(ROOT)))
    assert missing == []


def test_files_stay_readable():
    long = {path.name for path in SOURCES if len(path.read_text().splitlines()) > 300}
    assert long == set()

"""Test sets as the command line names them: found fit to be scored before anything is done."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from dftk.images import encoded
from dftk.runs.results import METRICS, TEST_SETS
from dftk.utils.errors import UsageError, UserError


def open_folders(
    root: Path, paths: Sequence[str], names: Sequence[str] | None = None
) -> dict[str, encoded.Folder]:
    """Test sets by name, found fit to be scored in the time that it takes to list them.

    Args:
      root: of the workdir, which need not be there yet.
      paths: of directories with `real/` and `fake/` in them.
      names: of the sets, in that order; the directories' if not given.

    Raises:
      UsageError: two sets of one name, or a name that is taken by another directory's.
      UserError: a directory without an image in it that can be read.
    """
    given: Sequence[str | None] = [None] * len(paths) if names is None else names
    if not paths or not all(paths) or len(given) != len(paths):
        said = f" --name={','.join(names)}" if names else ""
        raise UsageError(f"test sets {','.join(paths)}{said}: a directory or a name is missing")
    sets: dict[str, encoded.Folder] = {}
    for path, told in zip(map(Path, paths), given):
        name, folder = name_of(path, told), encoded.find(path)
        if name in sets:
            raise UsageError(
                f"test sets {sets[name].path} and {path}: both would be {name}; give "
                "dftk.evaluate a --name for each"
            )
        claim(root, name, path)
        _require_readable(folder)
        sets[name] = folder
    return sets


def _require_readable(folder: encoded.Folder) -> None:
    """Goes by headers: the first file is enough, nearly always."""
    errors = []
    for image in folder.read():
        if not image.error:
            return
        errors.append({"filename": image.filename, "error": image.error})
    refuse_unreadable(folder, errors)


def refuse_unreadable(folder: encoded.Folder, broken: Sequence[Mapping[str, str]]) -> NoReturn:
    """Raises the UserError of a set whose images are all broken."""
    first = broken[0]
    raise UserError(
        f"test set {folder.path}: none of its {len(broken)} images can be read; the first, "
        f"{first['filename']}: {first['error']}"
    )


def name_of(path: Path, given: str | None) -> str:
    """The name of a test set: as given, or its folder's.

    Raises:
      UsageError: a name that cannot be a folder's.
    """
    name = path.resolve().name if given is None else given
    if not re.fullmatch(r"[^/\\\0]+", name) or name.startswith("."):
        raise UsageError(f"--name={name}: give a plain folder name, without / and a dot in front")
    return name


def claim(root: Path, name: str, source: Path) -> Path:
    """The path of tests/NAME of a workdir, if it is new or of the same images.

    Args:
      root: of the workdir.
      name: of the test set.
      source: the folder of its images.

    Raises:
      UsageError: what is there is of another folder.
    """
    target = root / TEST_SETS / name
    if not (path := target / METRICS).is_file():
        return target
    former = json.loads(path.read_text(encoding="utf-8")).get("source", "a folder not recorded")
    if former != str(source.resolve()):
        raise UsageError(
            f"test set {source}: {path} is of {former}; give dftk.evaluate --name=OTHER, or "
            f"remove {target}"
        )
    return target

"""The folders of test sets, checked before anything is trained or scored."""

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
    """Lists the folders of test sets, and checks that they can be scored.

    Args:
      root: the path of the workdir, which need not exist yet.
      paths: of directories that contain `real/` and `fake/`.
      names: of the sets, in the same order; by default the names of the directories.

    Returns:
      the folders by name.

    Raises:
      UsageError: two sets have the same name, or the workdir has a set of this name with images
        from another directory.
      UserError: no image in a directory can be read.
    """
    given: Sequence[str | None] = [None] * len(paths) if names is None else names
    if not paths or not all(paths) or len(given) != len(paths):
        name_flag = f" --name={','.join(names)}" if names else ""
        raise UsageError(
            f"test sets {','.join(paths)}{name_flag}: a directory or a name is missing"
        )
    sets: dict[str, encoded.Folder] = {}
    for path, given_name in zip(map(Path, paths), given):
        name, folder = name_of(path, given_name), encoded.find(path)
        if name in sets:
            raise UsageError(
                f"test sets {sets[name].path} and {path}: both would be named {name}; give "
                "dftk.evaluate a --name for each"
            )
        require_same_source(root, name, path)
        _require_readable(folder)
        sets[name] = folder
    return sets


def _require_readable(folder: encoded.Folder) -> None:
    """Checks headers only, and stops at the first readable image."""
    errors = []
    for image in folder.read():
        if not image.error:
            return
        errors.append({"filename": image.filename, "error": image.error})
    refuse_unreadable(folder, errors)


def refuse_unreadable(folder: encoded.Folder, broken: Sequence[Mapping[str, str]]) -> NoReturn:
    """Raises the UserError about a set in which no image can be read."""
    first = broken[0]
    raise UserError(
        f"test set {folder.path}: none of its {len(broken)} images can be read; the first, "
        f"{first['filename']}: {first['error']}"
    )


def name_of(path: Path, given: str | None) -> str:
    """The name of a test set: the given one, or else that of its directory.

    Raises:
      UsageError: the name cannot be that of a folder.
    """
    name = path.resolve().name if given is None else given
    if not re.fullmatch(r"[^/\\\0]+", name) or name.startswith("."):
        raise UsageError(f"--name={name}: give the name of a folder, without / or a leading dot")
    return name


def require_same_source(root: Path, name: str, source: Path) -> None:
    """Checks that tests/NAME of a workdir is new, or was made from the same directory.

    Args:
      root: the path of the workdir.
      name: of the test set.
      source: the directory of its images.

    Raises:
      UsageError: tests/NAME was made from another directory.
    """
    target = root / TEST_SETS / name
    if not (path := target / METRICS).is_file():
        return
    former = json.loads(path.read_text(encoding="utf-8")).get("source", "an unknown folder")
    if former != str(source.resolve()):
        raise UsageError(
            f"test set {source}: {path} has the scores of {former}; give dftk.evaluate "
            f"--name=OTHER, or remove {target}"
        )

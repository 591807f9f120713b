"""Tables, JSON and folders, written so that each is whole or not there."""

import contextlib
import csv
import io
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TEMPORARY = ".part-"  # begins the names of files that are being written


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows as dicts; fields that read as a number become one, except filenames."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: text if name == "filename" else _number(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def columns(rows: Sequence[Mapping[str, Any]], *names: str) -> tuple[np.ndarray, ...]:
    """Columns of a table as arrays, each of shape [len(rows)]."""
    return tuple(np.array([row[name] for row in rows]) for name in names)


def _number(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows; floats with the nine digits that give a float32 back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: row[name] for name in columns}
        writer.writerow(
            {name: f"{v:.9g}" if isinstance(v, float) else v for name, v in cells.items()}
        )
    write_text(path, text.getvalue())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes readable JSON; NaN, which JSON lacks, becomes null."""
    write_text(path, json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_text(path: Path, text: str) -> None:
    """Writes a file that is whole or not there."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def beside(path: Path) -> Path:
    """A name in the same folder, of the same suffix, that nothing else has."""
    # Not the process's number: in containers that share a folder, all of them may be number 1.
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}.{path.name}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path`, of the same suffix, that takes its place when the block ends well."""
    temporary = beside(path)
    try:
        yield temporary
        put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put(temporary: Path, path: Path) -> None:
    """Brings a file to the disk and into its place."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)  # the name, too, is on the disk


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As `replacing`, of a folder, which the block makes.

    No call replaces a folder that holds something: the former one steps aside, so that for a moment
    there is none, and comes back if the new one cannot take its place.
    """
    temporary = beside(path)
    try:
        yield temporary
        for part in (temporary, *temporary.rglob("*")):
            _sync(part)
        with away(path):
            temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def away(path: Path) -> Iterator[None]:
    """What is at `path`, if anything, is not there in the block; after it gone, or back on failure.

    Raises:
      OSError: it cannot be brought back; says where it is.
    """
    former = beside(path)
    done = False
    try:
        if path.exists():
            path.rename(former)
        yield
        done = True
    finally:
        if not done and former.exists():
            _bring_back(former, path)
    if former.is_dir():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.unlink(missing_ok=True)


def _bring_back(former: Path, path: Path) -> None:
    try:
        former.rename(path)
    except OSError as error:
        words = f"{error.strerror}; what was there is now {former}, rename it back"
        raise OSError(error.errno, words) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""CSV, JSON, text and folders. Each is written completely or not at all."""

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

TEMPORARY = ".part-"  # begins the names of files and folders that are being written


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows as dicts. Fields that look like numbers become numbers, except filenames."""
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
    """Writes rows. Floats have nine digits, from which a float32 can be read back exactly."""
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
    """Writes indented JSON. NaN, which JSON lacks, becomes null."""
    write_text(path, json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_text(path: Path, text: str) -> None:
    """Writes a text file, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def temporary_path(path: Path) -> Path:
    """A unique path in the same folder, with the same suffix."""
    # A process id is not unique: in each of several containers that share a folder it may be 1.
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}.{path.name}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replaces a file atomically.

    Yields:
      a temporary path in the same folder, with the same suffix, for the block to write to. It
      replaces `path` when the block ends, and is removed if the block raises.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        replace_durably(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_durably(temporary: Path, path: Path) -> None:
    """Renames a file to `path` such that a power cut loses neither its content nor its name."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Replaces a folder, like `replacing` a file; the block makes the temporary folder.

    No system call replaces a folder that is not empty. The former folder is therefore moved aside
    for a moment, and moved back if the new one cannot take its place.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        for part in (temporary, *temporary.rglob("*")):
            _sync(part)
        with moved_aside(path):
            temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def moved_aside(path: Path) -> Iterator[None]:
    """Moves a file or folder, if there is one, out of the way while the block runs.

    It is removed when the block ends, and moved back if the block raises.

    Raises:
      OSError: it cannot be moved back; names its present path.
    """
    former = temporary_path(path)
    done = False
    try:
        if path.exists():
            path.rename(former)
        yield
        done = True
    finally:
        if not done and former.exists():
            _move_back(former, path)
    if former.is_dir():
        shutil.rmtree(former, ignore_errors=True)
    else:
        former.unlink(missing_ok=True)


def _move_back(former: Path, path: Path) -> None:
    try:
        former.rename(path)
    except OSError as error:
        message = f"{error.strerror}; what was at {path} is now at {former}, rename it back"
        raise OSError(error.errno, message) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

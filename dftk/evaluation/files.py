"""Tables and JSON, written so that a file is whole or not there."""

import contextlib
import csv
import io
import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPORARY = ".part-"  # begins the names of files that are being written


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows as dicts; fields that read as a number become one, except filenames."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: text if name == "filename" else _number(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path`, of the same suffix, that takes its place when the block ends well."""
    # Not the process's number: in containers that share a folder, all of them may be number 1.
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)  # the name, too, is on the disk
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

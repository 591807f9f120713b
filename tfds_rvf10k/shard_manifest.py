"""The manifest beside the shards: what each holds, so that a later reader can tell."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k import shards

NAME = "manifest.json"
GROUPS = "groups.csv"
QUARANTINE = "quarantine.csv"
LEFT_OUT = "left_out.csv"
_FORMAT = 1


def write(folder: epath.Path, name: str, config: Mapping[str, Any], splits: Mapping[str, Any],
          metadata: Mapping[str, Any]) -> None:  # fmt: skip
    """Writes the manifest of a dataset whose tables and shards are there.

    Args:
      folder: of the dataset's version.
      name: "rvf10k/kfold5/1.0.0".
      config: the fields of its config that decide what it holds.
      splits: for each split a list of shards: file, fold, examples, bytes, sha256.
      metadata: as TFDS keeps it; a stale or edited fold layout shows by it.
    """
    tables = {}
    for table in (GROUPS, QUARANTINE, LEFT_OUT):
        if (folder / table).exists():
            tables[table] = shards.digest(str(folder / table))[1]
    content = {
        "format": _FORMAT,
        "name": name,
        "config": dict(config),
        "splits": splits,
        "tables": tables,
        "metadata": dict(metadata),
    }
    (folder / NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(folder: epath.Path) -> dict[str, Any]:
    """Reads the manifest of a dataset.

    Raises:
      ValueError: there is none, or not one of this format; says what to do.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(
            f"{path}: missing; a dataset from before manifests, or damaged: build it again"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); build the dataset again") from error
    if content.get("format") != _FORMAT:
        raise ValueError(f"{path}: format {content.get('format')}, not {_FORMAT}; build it again")
    return content


def write_table(path: epath.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_text(text.getvalue())


def read_table(path: epath.Path) -> list[dict[str, str]]:
    """Rows of a CSV file that `write_table` wrote; none if there is no such file."""
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))

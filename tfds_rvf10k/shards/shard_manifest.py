"""The manifest of a built dataset: what its shards and tables hold, so that it can be verified."""

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.shards.shard_writer import size_and_sha256

NAME = "manifest.json"
GROUPS = "groups.csv"
QUARANTINE = "quarantine.csv"
LEFT_OUT = "left_out.csv"
_FORMAT = 1
_BUILD_AGAIN = "build the dataset again"
_FIELDS: dict[str, type] = {
    "name": str, "config": dict, "splits": dict, "tables": dict, "metadata": dict
}  # fmt: skip
_SHARD_FIELDS = {"file": str, "fold": int, "examples": int, "bytes": int, "sha256": str}


def write(folder: epath.Path, name: str, config: Mapping[str, Any], splits: Mapping[str, Any],
          metadata: Mapping[str, Any]) -> None:  # fmt: skip
    """Writes the manifest of a dataset whose tables and shards are written.

    Args:
      folder: of the dataset's version.
      name: "rvf10k/kfold5/1.0.0".
      config: the fields of its config that decide what it holds.
      splits: for each split a list of shards: file, fold, examples, bytes, sha256.
      metadata: as TFDS stores it; the copy shows whether TFDS's has been edited.
    """
    tables = {}
    for table in (GROUPS, QUARANTINE, LEFT_OUT):
        if (folder / table).exists():
            tables[table] = size_and_sha256(str(folder / table))[1]
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
      DatasetError: there is none, it is damaged, or it has another format.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: missing; a dataset from before manifests, or damaged", _BUILD_AGAIN
        ) from None
    except ValueError as error:
        raise DatasetError(f"{path}: damaged ({error})", _BUILD_AGAIN) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != _FORMAT:
        raise DatasetError(f"{path}: format {found}, not {_FORMAT}", _BUILD_AGAIN)
    if damage := _damage(content):
        raise DatasetError(f"{path}: damaged ({damage})", _BUILD_AGAIN)
    return content


def _damage(content: Mapping[str, Any]) -> str:
    """Why a manifest cannot be used; "" if it can."""
    for field, kind in _FIELDS.items():
        if not isinstance(content.get(field), kind):
            return f"{field} is no {kind.__name__}"
    if type(limit := content["config"].get("near_duplicates", 0)) is not int or (
        not 0 <= limit <= near_duplicates.MAX_LIMIT
    ):
        return f"near_duplicates is {limit!r}"
    if not isinstance(content["splits"].get("train"), list):
        return "no shards of train"
    for key in ("k", "shards_per_fold"):
        if type(value := content["metadata"].get(key)) is not int or value < 1:
            return f"{key} is {value!r}"
    for shard in itertools.chain.from_iterable(content["splits"].values()):
        for key, exact in _SHARD_FIELDS.items():
            if not isinstance(shard, dict) or type(shard.get(key)) is not exact:
                return f"a shard without {key}: {shard!r}"
        if "/" in shard["file"]:
            return f"a shard elsewhere: {shard['file']!r}"
    return ""


def write_tables(
    folder: epath.Path,
    groups: Iterable[Sequence[Any]],
    problems: Iterable[Sequence[Any]],
    left_out: Iterable[Sequence[Any]],
) -> None:
    """Writes the tables beside the shards.

    Args:
      folder: of the dataset's version.
      groups: rows of duplicates.Groups.
      problems: (filename, problem) of quarantined files.
      left_out: (filename, why) of images that another dataset has.
    """
    write_table(folder / GROUPS, ("group", "filename", "split", "class", "why"), groups)
    write_table(folder / QUARANTINE, ("filename", "problem"), problems)
    write_table(folder / LEFT_OUT, ("filename", "why"), left_out)


def write_table(path: epath.Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_text(text.getvalue())


def read_table(path: epath.Path) -> list[dict[str, str]]:
    """The rows of a CSV file that `write_table` wrote; none if there is no such file."""
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))

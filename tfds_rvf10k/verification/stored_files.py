"""Compares the files beside the shards with the manifest: TFDS's files, tables, unknown files."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from tfds_rvf10k.shards import shard_manifest
from tfds_rvf10k.shards.shard_writer import size_and_sha256
from tfds_rvf10k.sources.source_images import CLASS_NAMES
from tfds_rvf10k.sources.tree_walk import is_system_name
from tfds_rvf10k.verification.faults import Fault

_INFO, _FEATURES, _METADATA, _LABELS = (
    "dataset_info.json",
    "features.json",
    "metadata.json",
    "label.labels.txt",
)
_TFDS_FILES = {_INFO, _FEATURES, _METADATA, _LABELS}
_CACHES = {"dftk_pixels", "dftk_features"}  # of dftk, which checks them itself
_FEATURE_NAMES = {"image", "label", "fold", "filename"}


def check(folder: epath.Path, manifest: Mapping[str, Any]) -> Iterator[Fault]:
    """Yields the faults of all files but the shards, and of shards that are not in the manifest.

    Args:
      folder: of the dataset's version.
      manifest: see shard_manifest.
    """
    listed = {shard["file"] for split in manifest["splits"].values() for shard in split}
    known = listed | set(manifest["tables"]) | _TFDS_FILES | _CACHES | {shard_manifest.NAME}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not is_system_name(path.name):
            kind = "an extra shard" if ".tfrecord-" in path.name else "an unknown file"
            yield Fault(f"{path}: {kind}, which is not in the manifest", remedy="remove it")
    checks = (
        _tables(folder, manifest["tables"]),
        _info(folder, manifest),
        _metadata(folder, manifest["metadata"]),
        _features(folder),
    )
    for file, what in itertools.chain.from_iterable(checks):
        yield Fault(f"{folder / file}: {what}")


def _tables(folder: epath.Path, tables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields (file, what is wrong with it), like the next functions."""
    for name, sha256 in tables.items():
        try:
            if size_and_sha256(str(folder / name))[1] != sha256:
                yield name, "its SHA-256 is not the manifest's: edited, or of another build"
        except FileNotFoundError:
            yield name, "missing"
        except OSError as error:
            yield name, f"cannot be read ({error.strerror or error})"


def _info(folder: epath.Path, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    info, damage = _read(folder / _INFO)
    if damage:
        yield _INFO, damage
        return
    name = "/".join(str(info.get(key)) for key in ("name", "configName", "version"))
    if name != manifest["name"]:
        yield _INFO, f"of {name}, the manifest is of {manifest['name']}"
    try:
        stored = {split["name"]: _shards(folder, info, split) for split in info["splits"]}
    except (KeyError, TypeError, ValueError) as error:
        yield _INFO, f"damaged, its splits cannot be read ({error!r})"
        return
    wanted = manifest["splits"]
    if set(stored) != set(wanted):
        yield _INFO, f"splits {sorted(stored)}, the manifest has {sorted(wanted)}"
    for split in sorted(set(stored) & set(wanted)):
        yield from _lengths(split, stored[split], wanted[split])


def _shards(folder: epath.Path, info: Mapping[str, Any], split: Mapping[str, Any]) -> list[tuple]:
    """(file, records) of a split's shards, as TFDS will read them."""
    lengths = [int(length) for length in split["shardLengths"]]
    template = tfds.core.ShardedFileTemplate(
        folder, split["filepathTemplate"], info["name"], split["name"], info["fileFormat"]
    )
    paths = template.sharded_filepaths(len(lengths))
    return [(path.name, length) for path, length in zip(paths, lengths)]


def _lengths(split: str, stored: list[tuple], wanted: list[Any]) -> Iterator[tuple[str, str]]:
    if len(stored) != len(wanted):
        yield _INFO, f"{len(stored)} shards of {split}, the manifest has {len(wanted)}"
        return
    for (name, length), shard in zip(stored, wanted):
        if name != shard["file"]:
            yield _INFO, f"{split} reads {name}, the manifest has {shard['file']}"
        elif length != shard["examples"]:
            yield _INFO, f"{length} records in {name}, the manifest says {shard['examples']}"


def _metadata(folder: epath.Path, wanted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    stored, damage = _read(folder / _METADATA)
    if damage:
        yield _METADATA, damage
        return
    for key in sorted(set(stored) | set(wanted)):
        if stored.get(key) != wanted.get(key):
            yield (
                _METADATA,
                f"{key} is {_short(stored.get(key))}, the manifest says {_short(wanted.get(key))}: "
                "stale or edited",
            )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _features(folder: epath.Path) -> Iterator[tuple[str, str]]:
    stored, damage = _read(folder / _FEATURES)
    features = stored.get("featuresDict")
    if damage:
        yield _FEATURES, damage
    elif not isinstance(features, dict) or set(features.get("features", ())) != _FEATURE_NAMES:
        yield _FEATURES, f"damaged, its features are not {sorted(_FEATURE_NAMES)}"
    try:
        if (names := tuple((folder / _LABELS).read_text().split())) != CLASS_NAMES:
            yield _LABELS, f"{_short(names)}, labels 0 and 1 are {_short(CLASS_NAMES)}"
    except FileNotFoundError:
        yield _LABELS, "missing"
    except (OSError, UnicodeDecodeError) as error:
        yield _LABELS, f"cannot be read ({error})"


def _read(path: epath.Path) -> tuple[dict[str, Any], str]:
    """A JSON object, and what is wrong with its file; "" if nothing is."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}, "missing"
    except (OSError, ValueError) as error:
        return {}, f"damaged ({error})"
    return (content, "") if isinstance(content, dict) else ({}, "damaged, no JSON object")

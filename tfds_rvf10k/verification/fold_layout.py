"""The folds of a built dataset: by the manifest, and by the records themselves."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfds_rvf10k.verification.shard_contents import Record


def fold_of_shard(manifest: Mapping[str, Any], split: str, index: int) -> int:
    """The fold to which training assigns a shard, by its number in its split; -1 in valid."""
    return index // manifest["metadata"]["shards_per_fold"] if split == "train" else -1


def check(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yields the contradictions in the manifest."""
    metadata, train = manifest["metadata"], manifest["splits"]["train"]
    for key in ("k", "seed", "shards_per_fold", "stratified"):
        if (chosen := manifest["config"].get(key)) != metadata.get(key):
            yield f"{key} is {chosen} in its config and {metadata.get(key)} in its metadata: edited"
    k, per_fold = metadata["k"], metadata["shards_per_fold"]
    if len(train) != k * per_fold:
        yield f"{len(train)} shards of train, not {k} folds of {per_fold}"
    for split, shards in manifest["splits"].items():
        for index, shard in enumerate(shards):
            if shard["fold"] != (fold := fold_of_shard(manifest, split, index)):
                number = f"its number belongs to fold {fold}"
                yield f"{shard['file']} is of fold {shard['fold']}, but {number}"


def misplaced(records: Sequence[Record], fold: int) -> Iterator[str]:
    """Yields what is wrong with the records of a shard, one line for each kind of fault.

    Args:
      records: of the shard.
      fold: the fold of the shard, by its number.
    """
    kinds: dict[str, list[int]] = collections.defaultdict(list)
    for index, record in enumerate(records):
        if record.problem:
            kinds[record.problem].append(index)
        elif record.fold != fold:
            kinds[f"its fold is {record.fold}, its shard belongs to fold {fold}"].append(index)
    for what, indices in kinds.items():
        name = records[indices[0]].filename
        more = f", as of {len(indices) - 1} more records" if len(indices) > 1 else ""
        yield f"record {indices[0] + 1}{f' ({name})' if name else ''}: {what}{more}"


def sizes(manifest: Mapping[str, Any], counts: Mapping[tuple[int, int], int]) -> Iterator[str]:
    """Yields the differences between the numbers of images and the metadata.

    Args:
      manifest: see shard_manifest.
      counts: the number of images by fold (-1 in valid) and label.
    """
    metadata = manifest["metadata"]
    for split, folds, wanted in (
        ("train", range(metadata["k"]), metadata.get("fold_sizes")),
        ("valid", [-1], [metadata.get("valid_size")]),
    ):
        found = [[counts.get((fold, label), 0) for label in (0, 1)] for fold in folds]
        if found != wanted:
            yield f"[real, fake] of {split} are {found}, the metadata says {wanted}"

"""Whether a built dataset is whole, and whether its folds have anything in common.

All is read back: nothing that the builder noted is believed before the shards have confirmed it.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k.executors import Executor, Threads
from tfds_rvf10k.shards import shard_manifest
from tfds_rvf10k.shards import shard_writer as shards
from tfds_rvf10k.verification import fold_layout, leaks, shard_contents, stored_files
from tfds_rvf10k.verification.leaks import BUILD_AGAIN, Findings, Stored
from tfds_rvf10k.verification.shard_contents import Contents, ShardReader

_MOST = 10  # lines about one kind of fault; a dataset with more of them is beyond mending
_WORDS = {
    "bytes": "of the same bytes",
    "pixels": "of the same pixels in other bytes",
    "near": "of near-duplicates",
    "group": "of one value in the group column",
}


@dataclasses.dataclass
class Report:
    """What a verification found.

    Attributes:
      folder: of the dataset's version.
      name: "rvf10k/kfold5/1.0.0"; "" if there is no manifest to read it from.
      shards: number of files.
      images: number of images of each split.
      folds: number of folds.
      groups: number of sets of two and more images, by what they have in common: bytes, pixels,
        near (if the config asks for near-duplicates), group.
      notes: what is no fault and should be known.
      faults: a line each, with the file, what is wrong, and what to do.
    """

    folder: str
    name: str = ""
    shards: int = 0
    images: dict[str, int] = dataclasses.field(default_factory=dict)
    folds: int = 0
    groups: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)

    def summary(self) -> str:
        """A few lines for a reader: what was read, and what that proves if nothing is wrong."""
        if not self.name:
            return f"{self.folder}: not verified"
        images = ", ".join(f"{count:,} of {split}" for split, count in self.images.items())
        lines = [
            f"{self.name} in {self.folder}",
            f"  {self.shards} shards, {sum(self.images.values()):,} images ({images})",
        ]
        groups = ", ".join(f"{count:,} {_WORDS[why]}" for why, count in self.groups.items())
        lines.append(f"  sets of two and more images: {groups}")
        if self.faults:
            noun = "fault" if len(self.faults) == 1 else "faults"
            return "\n".join([*lines, f"  {len(self.faults)} {noun}"])
        valid = ", valid has no copy from train" if "valid" in self.images else ""
        lines.append("  whole: every file is what the manifest says")
        lines.append(
            f"  no leak: no set is in two of the {self.folds} folds{valid}, no picture has two "
            "labels"
        )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Dataset:
    """What was read: the manifest, each shard's contents by its file, the pictures' scale."""

    folder: epath.Path
    manifest: Mapping[str, Any]
    contents: Mapping[str, Contents]
    scale: int

    def shards(self) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Split, fold by place, and the manifest's entry of each shard."""
        for split, entries in self.manifest["splits"].items():
            for index, entry in enumerate(entries):
                yield split, fold_layout.place(self.manifest, split, index), entry


def verify(folder: epath.PathLike, executor: Executor | None = None) -> Report:
    """Reads a dataset that tfds_rvf10k built, every byte of it, and finds all that is wrong.

    Args:
      folder: of its version, such as `~/tensorflow_datasets/rvf10k/kfold5/1.0.0`.
      executor: what reads the shards; threads here if not given.

    Returns:
      The report. A dataset without a manifest, or with a damaged one, is one fault.
    """
    path = epath.Path(folder)
    report = Report(os.fspath(path))
    try:
        manifest = shard_manifest.read(path)
    except (OSError, ValueError) as error:
        report.faults.append(str(error))
        return report
    dataset = _read(path, manifest, executor or Threads())
    images = list(_stored(dataset))
    counts = collections.Counter(image.split for image in images)
    report.name, report.folds = manifest["name"], manifest["metadata"]["k"]
    report.shards = sum(not found.problem for found in dataset.contents.values())
    report.images = {split: counts[split] for split in manifest["splits"]}
    beside = [f"{path / name}: {what}" for name, what in stored_files.check(path, manifest)]
    layout = [f"{path / shard_manifest.NAME}: {what}" for what in fold_layout.check(manifest)]
    damaged = _damaged(dataset)
    for faults in (beside, layout, damaged, _misplaced(dataset), leaks.same_names(images)):
        report.faults += map(_with_remedy, _capped(faults))
    for found in _findings(dataset, images, complete=not damaged):
        report.groups.update(found.groups)
        report.notes += found.notes
        report.faults += map(_with_remedy, _capped(found.faults))
    return report


def _with_remedy(what: str) -> str:
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in what)  # whatever a name holds
    return line if line.endswith("; remove it") else f"{line}; {BUILD_AGAIN}"


def _capped(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MOST:
        return list(lines)
    return [*lines[:_MOST], f"{len(lines) - _MOST} more such faults, the last of them {lines[-1]}"]


def _read(folder: epath.Path, manifest: Mapping[str, Any], executor: Executor) -> _Dataset:
    sizes = {
        shard["file"]: shard["examples"] for part in manifest["splits"].values() for shard in part
    }
    near = bool(manifest["config"].get("near_duplicates"))

    def read(scale: int) -> _Dataset:
        reader = ShardReader(os.fspath(folder), scale, near)
        found = list(executor.run(reader, list(sizes), "verifying", lambda file: sizes[file]))
        return _Dataset(folder, manifest, dict(zip(sizes, found)), scale)

    dataset = read(1 if near else 8)
    kinds = {record.is_png for shard in dataset.contents.values() for record in shard.records}
    # A JPEG at an eighth has nothing in common with a PNG, which has no such scale.
    return read(1) if len(kinds) > 1 and not near else dataset


def _damaged(dataset: _Dataset) -> list[str]:
    """Shards whose file is not what the manifest says."""
    by_sha256 = {shard["sha256"]: shard["file"] for _, _, shard in dataset.shards()}
    return [
        f"{dataset.folder / shard['file']}: {what}"
        for _, _, shard in dataset.shards()
        if (what := shard_contents.explain(shard, dataset.contents[shard["file"]], by_sha256))
    ]


def _homes(dataset: _Dataset) -> Iterator[tuple[str, int, str]]:
    """Split and place of each shard, and the file that holds its contents: shards swapped with
    one another are told once, and not by all of their records.
    """
    files = {found.sha256: file for file, found in dataset.contents.items()}
    wanted = {shard["sha256"] for _, _, shard in dataset.shards()}
    for split, place, shard in dataset.shards():
        own = shard["file"]
        if (file := files.get(shard["sha256"])) is not None:
            yield split, place, file
        elif dataset.contents[own].sha256 not in wanted:
            yield split, place, own


def _misplaced(dataset: _Dataset) -> list[str]:
    """Records that are none, or of another fold, and folds of other sizes than they should be."""
    faults = []
    counts: collections.Counter[tuple[int, int]] = collections.Counter()
    for _, place, file in _homes(dataset):
        records = dataset.contents[file].records
        counts.update((place, record.label) for record in records)
        faults += [f"{dataset.folder / file}: {w}" for w in fold_layout.misplaced(records, place)]
    if not _damaged(dataset):
        faults += [
            f"{dataset.folder}: {what}" for what in fold_layout.sizes(dataset.manifest, counts)
        ]
    return faults


def _stored(dataset: _Dataset) -> Iterator[Stored]:
    for split, place, file in _homes(dataset):
        for index, record in enumerate(dataset.contents[file].records):
            if not record.problem:
                yield Stored(
                    record.filename, record.label, split, place, os.fspath(dataset.folder / file),
                    index, record.sha256, record.picture, record.perceptual,
                )  # fmt: skip


def _findings(dataset: _Dataset, images: Sequence[Stored], complete: bool) -> Iterator[Findings]:
    """What folds have in common; of a damaged dataset, so far as its records can be read."""
    yield leaks.copies(images, dataset.scale, shard_contents.whole_pictures)
    if limit := dataset.manifest["config"].get("near_duplicates"):
        yield leaks.near(images, limit)
    yield leaks.recorded(images, _groups(dataset), complete)


def _groups(dataset: _Dataset) -> list[dict[str, str]]:
    """Rows of groups.csv; none of one that is not the manifest's, which has been said."""
    table = dataset.folder / shard_manifest.GROUPS
    wanted = dataset.manifest["tables"].get(shard_manifest.GROUPS)
    try:
        same = shards.digest(os.fspath(table))[1] == wanted
    except OSError:
        return []
    return shard_manifest.read_table(table) if same else []

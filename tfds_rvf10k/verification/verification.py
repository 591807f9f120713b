"""Verifies that a built dataset is complete, and that its folds have nothing in common.

It reads every shard. It believes nothing that the builder wrote before the shards confirm it.
"""

import collections
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.executors import Executor, Threads
from tfds_rvf10k.shards import shard_manifest
from tfds_rvf10k.shards.shard_writer import size_and_sha256
from tfds_rvf10k.verification import fold_layout, leaks, shard_contents, stored_files
from tfds_rvf10k.verification.faults import Fault
from tfds_rvf10k.verification.leaks import Findings, StoredImage
from tfds_rvf10k.verification.shard_contents import ShardContents, ShardReader

_MAX_LINES = 10  # about one kind of fault
_GROUP_LABELS = {
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
      name: "rvf10k/kfold5/1.0.0"; "" if the manifest cannot be read.
      shards: number of files.
      images: number of images of each split.
      folds: number of folds.
      groups: number of sets of two or more images, by what they share: bytes, pixels, near (if the
        config asks for near-duplicates), group.
      notes: what a reader should know and is no fault.
      faults: one line each, with the file, what is wrong, and what to do.
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
        """A few lines: what was read, and what that proves if nothing is wrong."""
        if not self.name:
            return f"{self.folder}: not verified"
        images = ", ".join(f"{count:,} of {split}" for split, count in self.images.items())
        lines = [
            f"{self.name} in {self.folder}",
            f"  {self.shards} shards, {sum(self.images.values()):,} images ({images})",
        ]
        groups = ", ".join(f"{count:,} {_GROUP_LABELS[why]}" for why, count in self.groups.items())
        lines.append(f"  sets of two and more images: {groups}")
        if self.faults:
            noun = "fault" if len(self.faults) == 1 else "faults"
            return "\n".join([*lines, f"  {len(self.faults)} {noun}"])
        valid = ", valid has no copy from train" if "valid" in self.images else ""
        lines.append("  complete: every file matches the manifest")
        lines.append(
            f"  no leak: no set is in two of the {self.folds} folds{valid}, no picture has two "
            "labels"
        )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Dataset:
    """What was read.

    Attributes:
      folder: of the dataset's version.
      manifest: see shard_manifest.
      contents: of each shard, by its file.
      scale: of the pixel digests.
    """

    folder: epath.Path
    manifest: Mapping[str, Any]
    contents: Mapping[str, ShardContents]
    scale: int

    def shards(self) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        """Yields the split, the fold and the manifest's entry of each shard."""
        for split, entries in self.manifest["splits"].items():
            for index, entry in enumerate(entries):
                yield split, fold_layout.fold_of_shard(self.manifest, split, index), entry


def verify(folder: epath.PathLike, executor: Executor | None = None) -> Report:
    """Reads every byte of a dataset that tfds_rvf10k built, and finds everything that is wrong.

    Args:
      folder: of its version, such as `~/tensorflow_datasets/rvf10k/kfold5/1.0.0`.
      executor: reads the shards; threads of this process if it is not given.

    Returns:
      The report. A missing or damaged manifest is the only fault of its dataset.
    """
    path = epath.Path(folder)
    report = Report(os.fspath(path))
    try:
        manifest = shard_manifest.read(path)
    except (OSError, DatasetError) as error:
        report.faults.append(str(error))
        return report
    dataset = _read(path, manifest, executor or Threads())
    images = list(_stored(dataset))
    counts = collections.Counter(image.split for image in images)
    report.name, report.folds = manifest["name"], manifest["metadata"]["k"]
    report.shards = sum(not found.problem for found in dataset.contents.values())
    report.images = {split: counts[split] for split in manifest["splits"]}
    damaged = _damaged(dataset)
    kinds = [
        list(stored_files.check(path, manifest)),
        _faults(f"{path / shard_manifest.NAME}: {what}" for what in fold_layout.check(manifest)),
        _faults(damaged),
        _faults(_misplaced(dataset)),
        _faults(leaks.same_names(images)),
    ]
    for found in _findings(dataset, images, complete=not damaged):
        report.groups.update(found.groups)
        report.notes += found.notes
        kinds.append(_faults(found.faults))
    build_again = _build_again(path, report.name)
    for faults in kinds:
        report.faults += _limited([fault.line(build_again) for fault in faults])
    return report


def _faults(lines: Iterable[str]) -> list[Fault]:
    return list(map(Fault, lines))


def _build_again(folder: epath.Path, name: str) -> str:
    """How the dataset is built again. Only the command that builds rvf10k has --overwrite."""
    if name.partition("/")[0] == "rvf10k":
        return "build the dataset again with --overwrite"
    return f"remove {folder} and build the dataset again"


def _limited(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MAX_LINES:
        return list(lines)
    more = f"{len(lines) - _MAX_LINES} more such faults, the last of them {lines[-1]}"
    return [*lines[:_MAX_LINES], more]


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
    # The digest of a JPEG at an eighth of its size is never that of a PNG, which has no such scale.
    return read(1) if len(kinds) > 1 and not near else dataset


def _damaged(dataset: _Dataset) -> list[str]:
    """Shards that differ from the manifest, one line each."""
    by_sha256 = {shard["sha256"]: shard["file"] for _, _, shard in dataset.shards()}
    return [
        f"{dataset.folder / shard['file']}: {what}"
        for _, _, shard in dataset.shards()
        if (what := shard_contents.difference(shard, dataset.contents[shard["file"]], by_sha256))
    ]


def _shard_files(dataset: _Dataset) -> Iterator[tuple[str, int, str]]:
    """Yields the split and the fold of each shard, and the file that holds its contents.

    It finds the contents of swapped shards in each other's files, so that these are one fault each
    and not one fault for each record.
    """
    files = {found.sha256: file for file, found in dataset.contents.items()}
    wanted = {shard["sha256"] for _, _, shard in dataset.shards()}
    for split, fold, shard in dataset.shards():
        own = shard["file"]
        if (file := files.get(shard["sha256"])) is not None:
            yield split, fold, file
        elif dataset.contents[own].sha256 not in wanted:
            yield split, fold, own


def _misplaced(dataset: _Dataset) -> list[str]:
    """Records of another fold or another kind, and folds whose sizes are wrong; one line each."""
    faults = []
    counts: collections.Counter[tuple[int, int]] = collections.Counter()
    for _, fold, file in _shard_files(dataset):
        records = dataset.contents[file].records
        counts.update((fold, record.label) for record in records)
        faults += [f"{dataset.folder / file}: {w}" for w in fold_layout.misplaced(records, fold)]
    if not _damaged(dataset):
        faults += [
            f"{dataset.folder}: {what}" for what in fold_layout.sizes(dataset.manifest, counts)
        ]
    return faults


def _stored(dataset: _Dataset) -> Iterator[StoredImage]:
    """Yields the sound records."""
    for split, fold, file in _shard_files(dataset):
        for index, record in enumerate(dataset.contents[file].records):
            if not record.problem:
                yield StoredImage(
                    filename=record.filename,
                    label=record.label,
                    split=split,
                    fold=fold,
                    shard=os.fspath(dataset.folder / file),
                    index=index,
                    sha256=record.sha256,
                    pixel_digest=record.pixel_digest,
                    perceptual=record.perceptual,
                )


def _findings(
    dataset: _Dataset, images: Sequence[StoredImage], complete: bool
) -> Iterator[Findings]:
    """Yields what folds have in common, as far as the records can be read."""
    yield leaks.copies(images, dataset.scale, shard_contents.full_pixel_digests)
    if limit := dataset.manifest["config"].get("near_duplicates"):
        yield leaks.near(images, limit)
    yield leaks.recorded(images, _groups(dataset), complete)


def _groups(dataset: _Dataset) -> list[dict[str, str]]:
    """Rows of groups.csv; none if it is not the manifest's, which is a fault of its own."""
    table = dataset.folder / shard_manifest.GROUPS
    wanted = dataset.manifest["tables"].get(shard_manifest.GROUPS)
    try:
        same = size_and_sha256(os.fspath(table))[1] == wanted
    except OSError:
        return []
    return shard_manifest.read_table(table) if same else []

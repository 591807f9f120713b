"""Opens a dataset, and tells which of its files hold which fold."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import tensorflow_datasets as tfds
from google.protobuf import json_format

import tfds_rvf10k  # registers rvf10k
from dftk.datasets import building, image_tree, sample
from dftk.input.shards import Shard, record_checksums
from dftk.utils.errors import UsageError, UserError

_SIZE_REMEDY = "give --stored_size to resize them all"


@dataclasses.dataclass(frozen=True)
class Catalog:
    """A built dataset.

    Attributes:
      name: of the dataset, its config and its version: "rvf10k/kfold5/1.0.0".
      folds: number of folds.
      train: the shards of `train`, ordered by fold.
      valid: the shards of `valid`; empty if the dataset was built without it.
      missing: by split, how many files its CSV file names that the source tree lacked.
      set_aside: by split, how many images were unusable; see the README of tfds_rvf10k.
    """

    name: str
    folds: int
    train: tuple[Shard, ...]
    valid: tuple[Shard, ...]
    missing: Mapping[str, int]
    set_aside: Mapping[str, int]

    def shortfall(self, split: str) -> str:
        """Says in words which images of its source a split lacks; "" if it lacks none."""
        lacking, aside = self.missing.get(split, 0), self.set_aside.get(split, 0)
        there = sum(shard.length for shard in self.split(split))
        if aside:
            lost = f", and {lacking} that its CSV names were missing" if lacking else ""
            return (
                f"{split} has {there} of {there + aside + lacking} images: {aside} were set aside "
                f"as they were built (quarantine.csv){lost}"
            )
        if not lacking:
            return ""
        return f"{split} has {there} of the {there + lacking} images that its CSV names"

    def split(self, name: str) -> tuple[Shard, ...]:
        """Returns the shards of `train` or `valid`."""
        return {"train": self.train, "valid": self.valid}[name]

    def fingerprint(self) -> str:
        """Returns a hash of the name, the fold layout and every record's checksum, in hex.

        Two builds with different records have different fingerprints.

        Raises:
          DataError: a file is not a whole TFRecord file.
        """
        digest = hashlib.sha256(self.name.encode())
        for shard in self.train + self.valid:
            digest.update(f"{Path(shard.path).name} {shard.length} {shard.fold}".encode())
            digest.update(record_checksums(shard))
        return digest.hexdigest()


def open_dataset(
    dataset: str, data_dir: str | None, folds: int, *, any_size: bool = False
) -> Catalog:
    """Opens a dataset that `tfds build tfds_rvf10k` wrote, the embedded sample, or other images.

    The sample and other images are built when they are first used.

    Args:
      dataset: "rvf10k", "rvf10k/CONFIG", "sample", the version directory of a dataset (a path, or
        a path below data_dir), or images that dftk.datasets.image_tree can build.
      data_dir: TFDS's directory of datasets; None is TFDS's default.
      folds: the number of folds that the dataset must have.
      any_size: whether images that are built now may differ in size.

    Raises:
      UserError: the dataset does not exist, has no folds, or cannot be built; see
        dftk.datasets.image_tree.build.
      UsageError: the dataset has another number of folds.
    """
    builder = _open_builder(dataset, data_dir, folds, any_size)
    with building.reading(builder.data_path):
        metadata = dict(builder.info.metadata or {})
    if not {"k", "shards_per_fold"} <= set(metadata):
        raise UserError(
            f"{builder.data_path}: not built by tfds_rvf10k (its metadata has no folds)"
        )
    if metadata["k"] != folds:
        raise UsageError(
            f"--folds={folds}: {builder.info.full_name} has {metadata['k']}; build "
            f"one with `python -m tfds_rvf10k.build --manual_dir=DIR --config="
            f"""'{{"name": "kfold{folds}", "k": {folds}}}'` and give """
            f"--dataset=rvf10k/kfold{folds}",
            flags=["folds", "dataset"],
        )
    remedy = _rebuild_remedy(Path(builder.data_path))
    splits = {
        name: tuple(
            Shard(
                path=str(path),
                length=length,
                fold=index // metadata["shards_per_fold"] if name == "train" else -1,
                remedy=remedy,
                size_remedy=_SIZE_REMEDY,
            )
            for index, (path, length) in enumerate(zip(info.filepaths, info.shard_lengths))
        )
        for name, info in builder.info.splits.items()
    }
    for shard in splits["train"] + splits.get("valid", ()):
        if not Path(shard.path).is_file():
            raise UserError(f"{shard.path}: missing; {remedy}")
    return Catalog(
        name=image_tree.title(builder.info.full_name),
        folds=folds,
        train=splits["train"],
        valid=splits.get("valid", ()),
        missing=metadata.get("missing", {}),
        set_aside=metadata.get("set_aside", {}),
    )


def _rebuild_remedy(version: Path) -> str:
    """Returns what to do if a file in a dataset's version directory is damaged."""
    if version.absolute().parents[1].name in (
        sample.SampleBuilder.name,
        image_tree.ImagesBuilder.name,
    ):
        return f"remove {version}, which is built again when it is next used"
    return "build the dataset again with --overwrite"


def _find_version_directory(dataset: str, data_dir: str | None) -> Path | None:
    """Returns the version directory that `dataset` is the path of; None if it is no such path."""
    for folder in _candidate_paths(dataset, data_dir):
        if (folder / "dataset_info.json").is_file():
            return folder
    return None


def is_path(dataset: str, data_dir: str | None) -> bool:
    """Returns whether `open_dataset` takes a value of --dataset for a path.

    The others are names, even where the working directory has a file or folder of that name: the
    sample, TFDS's names of rvf10k, and version directories below data_dir.
    """
    if dataset == "sample":
        return False
    if folder := _find_version_directory(dataset, data_dir):
        return folder == Path(dataset).expanduser()
    return dataset.split("/")[0] != "rvf10k"


def _candidate_paths(dataset: str, data_dir: str | None) -> tuple[Path, Path]:
    """Returns `dataset` as a path, and as a path below data_dir."""
    root = Path(data_dir or tfds.core.constants.DATA_DIR)
    return Path(dataset).expanduser(), root.expanduser() / dataset


def find_folder(dataset: str, data_dir: str | None) -> Path:
    """Finds the version directory of a built dataset, even a damaged one; builds nothing.

    Args:
      dataset: see `open_dataset`; "sample" is the one with 5 folds.
      data_dir: TFDS's directory of datasets; None is TFDS's default.

    Raises:
      UserError: there is no such directory.
    """
    # A damaged dataset may lack some of these files.
    patterns = ("manifest.json", "dataset_info.json", "*.tfrecord-*")
    for folder in _candidate_paths(dataset, data_dir):
        if any(any(folder.glob(pattern)) for pattern in patterns):
            return folder
    where = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    name, _, config = dataset.partition("/")
    if name not in ("rvf10k", "sample") or (name == "sample" and config):
        there = ", ".join(map(str, image_tree.builds(dataset, data_dir)))
        raise UserError(
            f"--dataset={dataset}: no built dataset in it; give rvf10k, rvf10k/CONFIG, sample, or "
            + (f"one that was built of it: {there}" if there else "the folder of one")
        )
    if name == "sample":
        name, config = sample.SampleBuilder.name, "kfold5"
    default = tfds_rvf10k.Builder.BUILDER_CONFIGS[0].name
    folder = where / name / (config or default) / str(tfds_rvf10k.Builder.VERSION)
    if not folder.is_dir():
        draw = "python -m dftk.train --dataset=sample builds it"
        remedy = draw if dataset == "sample" else _build_remedy(data_dir)
        raise UserError(f"--dataset={dataset}: not built in {where}; {remedy}")
    return folder


def _build_remedy(data_dir: str | None) -> str:
    elsewhere = f" --data_dir={data_dir}" if data_dir else ""
    return (
        f"build it with `python -m tfds_rvf10k.build --manual_dir=DIR{elsewhere}`, DIR being "
        "Kaggle's rvf10k folder, or try --dataset=sample"
    )


def _open_builder(
    dataset: str, data_dir: str | None, folds: int, any_size: bool
) -> tfds.core.DatasetBuilder:
    if dataset == "sample":
        return sample.build(data_dir, folds)
    if folder := _find_version_directory(dataset, data_dir):
        with building.reading(folder):
            return tfds.builder_from_directory(folder)
    if is_path(dataset, data_dir):
        return image_tree.build(dataset, data_dir, folds, any_size)
    where = data_dir or tfds.core.constants.DATA_DIR
    remedy = _build_remedy(data_dir)
    try:
        builder = tfds.builder(dataset, data_dir=data_dir)
    except (json_format.Error, UnicodeDecodeError, OSError) as error:
        raise building.unreadable(f"{where}/{dataset}", error) from error
    except (tfds.core.DatasetNotFoundError, ValueError):
        raise UserError(f"--dataset={dataset}: not built in {where}; {remedy}") from None
    if not builder.data_path.exists():
        raise UserError(f"--dataset={dataset}: not built in {where}; {remedy}")
    return builder

"""RVF10K as fold-sharded TFRecords: fold f is shards [f*S, (f+1)*S) of `train`."""

import csv
import dataclasses
import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from etils import epath

# The archive's layout. Labels come from the folder names: the CSV numbers them the other way.
CLASS_NAMES = ("real", "fake")
SPLITS = ("train", "valid")
_SUFFIXES = (".jpg", ".jpeg")

# A directory on any filesystem, or a directory inside a zip archive: the same methods.
Tree: TypeAlias = "epath.Path | zipfile.Path"


@dataclasses.dataclass(eq=False)
class FoldConfig(tfds.core.BuilderConfig):
    """How `train` is cut into folds.

    Attributes:
      k: number of folds, at least 2.
      seed: seed of the fold assignment and of the order inside a fold.
      shards_per_fold: S, the number of TFRecord files of one fold.
      stratified: equal class shares in every fold; False is plain `KFold`, as in the notebook
        that this project replaces.
    """

    k: int = 5
    seed: int = 42
    shards_per_fold: int = 4
    stratified: bool = True

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ValueError(f"config {self.name!r}: k must be at least 2, got {self.k}")
        if self.shards_per_fold < 1:
            raise ValueError(
                f"config {self.name!r}: shards_per_fold must be at least 1, "
                f"got {self.shards_per_fold}"
            )


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One image file of the source tree."""

    filename: str  # relative to the tree, with forward slashes: "train/real/28609.jpg"
    label: int  # index into CLASS_NAMES
    path: Tree


class Builder(tfds.core.ShardBasedBuilder):
    """DatasetBuilder for RVF10K. Beam is not used: TFDS 4.9.10 mis-orders its shards past 10."""

    name = "rvf10k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Fold-sharded `train`, untouched `valid`."}
    BUILDER_CONFIGS = [
        FoldConfig(name="kfold5", description="5 stratified folds, seed 42, 4 shards a fold.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download https://www.kaggle.com/datasets/sachchitkunichetty/rvf10k and pass its folder as "
        "--manual_dir: the folder that holds rvf10k/, rvf10k/ itself, or the one with Kaggle's zip."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "fold": tfds.features.Scalar(np.int64),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.kaggle.com/datasets/sachchitkunichetty/rvf10k",
            metadata=tfds.core.MetadataDict(),  # filled in as the folds are cut
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Any]]:
        config = self.builder_config
        root = find_tree(epath.Path(dl_manager.manual_dir))
        images = {split: list_images(root, split) for split in SPLITS}
        if not images["train"]:
            raise FileNotFoundError(f"no .jpg under {root}/train/real or {root}/train/fake")
        folds = assign_folds(images["train"], config.k, config.seed, config.stratified)
        self.info.metadata.update(
            k=config.k,
            seed=config.seed,
            shards_per_fold=config.shards_per_fold,
            stratified=config.stratified,
            fold_sizes=[
                [sum(images["train"][i].label == label for i in fold) for label in (0, 1)]
                for fold in folds
            ],
            valid_size=[sum(image.label == label for image in images["valid"]) for label in (0, 1)],
            missing={split: report_missing(root, split, images[split]) for split in SPLITS},
        )
        shards = {
            "train": [
                functools.partial(_examples, [images["train"][i] for i in part], fold)
                for fold, members in enumerate(folds)
                for part in cut(members, config.shards_per_fold)
            ]
        }
        if images["valid"]:
            # One class follows the other in the listing: mix them, as inside a fold.
            order = np.random.default_rng(config.seed).permutation(len(images["valid"]))
            parts = cut(order, min(config.shards_per_fold, len(order)))
            shards["valid"] = [
                functools.partial(_examples, [images["valid"][i] for i in part], -1)
                for part in parts
            ]
        return shards


def _examples(images: Sequence[SourceImage], fold: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the (key, example) pairs of one shard; `image` is the file's bytes, unchanged."""
    for image in images:
        yield (
            image.filename,
            {
                "image": image.path.read_bytes(),
                "label": image.label,
                "fold": fold,
                "filename": image.filename,
            },
        )


def find_tree(manual_dir: epath.Path) -> Tree:
    """Returns the directory that holds `train/real` and `train/fake`.

    Args:
      manual_dir: that directory, a parent one or two levels up, or a folder with Kaggle's zip,
        which is read in place and never unpacked.

    Raises:
      FileNotFoundError: no such directory and no such zip.
    """
    tops: list[Tree] = [manual_dir]
    tops += [zipfile.Path(zipfile.ZipFile(path)) for path in sorted(manual_dir.glob("*.zip"))]
    for top in tops:
        for tree in (top, top / "rvf10k", top / "rvf10k" / "rvf10k"):
            if all((tree / "train" / name).is_dir() for name in CLASS_NAMES):
                return tree
    raise FileNotFoundError(
        f"no train/real and train/fake in {manual_dir}, {manual_dir}/rvf10k, "
        f"{manual_dir}/rvf10k/rvf10k or a zip there. {Builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
    )


def list_images(root: Tree, split: str) -> list[SourceImage]:
    """Lists a split's images sorted by filename, so that no filesystem's order shows."""
    images = []
    for label, class_name in enumerate(CLASS_NAMES):
        folder = root / split / class_name
        if not folder.is_dir():
            continue
        images += [
            SourceImage(f"{split}/{class_name}/{path.name}", label, path)
            for path in folder.iterdir()
            if path.name.lower().endswith(_SUFFIXES)
        ]
    return sorted(images, key=lambda image: image.filename)


def assign_folds(
    images: Sequence[SourceImage], k: int, seed: int, stratified: bool = True
) -> list[np.ndarray]:
    """Returns, for each of k folds, the indices of its images in a seeded random order.

    Byte-identical images count as one for the assignment, so they always share a fold.

    Raises:
      ValueError: the same bytes lie under both classes, or a class has fewer than k images.
    """
    # Imported here: `import tfds_rvf10k` must stay light for those who only read the dataset.
    from sklearn.model_selection import KFold, StratifiedKFold

    groups: dict[bytes, list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(hashlib.sha256(image.path.read_bytes()).digest(), []).append(index)
    members = list(groups.values())
    for group in members:
        if len({images[i].label for i in group}) > 1:
            names = ", ".join(images[i].filename for i in group)
            raise ValueError(f"the same image is labelled real and fake: {names}; remove one")
    labels = np.array([images[group[0]].label for group in members])
    for label, class_name in enumerate(CLASS_NAMES):
        if (count := int((labels == label).sum())) < k:
            raise ValueError(f"{count} distinct images of class {class_name!r}, {k} folds need {k}")
    splitter = (StratifiedKFold if stratified else KFold)(k, shuffle=True, random_state=seed)
    rng = np.random.default_rng(seed)
    return [
        rng.permutation(np.array([i for group in held_out for i in members[group]]))
        for _, held_out in splitter.split(np.zeros(len(labels)), labels)
    ]


def cut(indices: np.ndarray, parts: int) -> list[np.ndarray]:
    """Cuts into consecutive parts whose sizes differ by at most one, none of them empty."""
    if len(indices) < parts:
        raise ValueError(f"{len(indices)} images do not fill {parts} shards; lower shards_per_fold")
    return np.array_split(indices, parts)


def report_missing(root: Tree, split: str, images: Sequence[SourceImage]) -> int:
    """Logs which files the split's CSV names and the tree lacks; returns how many."""
    parent: Any = root.parent  # zipfile.Path types it as less than it is
    for table in (root / f"{split}.csv", parent / f"{split}.csv"):
        if table.exists():
            break
    else:
        return 0
    rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    named = {row["path"] for row in rows}
    absent = sorted(named - {image.filename for image in images})
    if absent:
        logging.warning(
            "%s names %d files, %d of them are not in %s (first: %s); building the %d that are",
            table, len(named), len(absent), root, absent[0], len(images),
        )  # fmt: skip
    return len(absent)

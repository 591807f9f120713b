"""What the user chooses about a dataset, as `tfds build --config` gives it."""

import dataclasses
from typing import Any

import tensorflow_datasets as tfds

from tfds_rvf10k.inspection import MAX_PIXELS
from tfds_rvf10k.listing import CLASS_NAMES, Layout
from tfds_rvf10k.plan import Cut


@dataclasses.dataclass(eq=False)
class FoldConfig(tfds.core.BuilderConfig):
    """What is built, and how `train` is cut into folds.

    Attributes:
      k: number of folds, at least 2.
      seed: seed of the fold assignment and of the order inside a fold.
      shards_per_fold: S, the number of TFRecord files of one fold.
      stratified: equal class shares in every fold; False is plain `KFold`, as in the notebook
        that this project replaces.
      on_bad: "strict" builds nothing if anything is wrong with the source; "quarantine" builds
        what is sound and lists the rest in quarantine.csv and in the metadata.
      any_size: images may have other sizes than most.
      max_pixels: a file with more by its header is not decoded.
      near_duplicates: images whose perceptual hashes differ in at most so many of 256 bits share a
        fold; 0, the default, looks for copies only; 40 is what measurement recommends.
      real, fake: names of the class folders, or values in the table's label column.
      table: a CSV file that lists the images, by its path below the manual directory.
      label_column, group_column: of the table; images of one group share a fold.
      without: another built dataset (its directory, or a name below the same data_dir): images
        that its `valid` holds are left out.
    """

    k: int = 5
    seed: int = 42
    shards_per_fold: int = 4
    stratified: bool = True
    on_bad: str = "strict"
    any_size: bool = False
    max_pixels: int = MAX_PIXELS
    near_duplicates: int = 0
    real: str = CLASS_NAMES[0]
    fake: str = CLASS_NAMES[1]
    table: str = ""
    label_column: str = ""
    group_column: str = ""
    without: str = ""

    def __post_init__(self) -> None:
        for field, low, high in (
            ("k", 2, None), ("shards_per_fold", 1, None), ("max_pixels", 64, None),
            ("near_duplicates", 0, 127), ("seed", 0, 2**32 - 1),
        ):  # fmt: skip
            value = getattr(self, field)
            if value < low:
                raise ValueError(
                    f"config {self.name!r}: {field} must be at least {low}, got {value}"
                )
            if high is not None and value > high:
                raise ValueError(
                    f"config {self.name!r}: {field} must be at most {high}, got {value}"
                )
        if self.on_bad not in ("strict", "quarantine"):
            raise ValueError(
                f"config {self.name!r}: on_bad is strict or quarantine, got {self.on_bad!r}"
            )
        if self.real == self.fake:
            raise ValueError(f"config {self.name!r}: real and fake are both {self.real!r}")

    def layout(self) -> Layout:
        """How the source says what is what."""
        return Layout((self.real, self.fake), self.table, self.label_column, self.group_column)

    def choices(self) -> dict[str, Any]:
        """The fields that this class adds: they decide what a built dataset holds."""
        added = {f.name for f in dataclasses.fields(self)} - {
            f.name for f in dataclasses.fields(tfds.core.BuilderConfig)
        }
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in added}

    def cut(self) -> Cut:
        """Into folds and shards."""
        return Cut(self.k, self.seed, self.shards_per_fold, self.stratified)

"""The config of a dataset, as --config of the build commands gives it."""

import dataclasses
import json
import math
import re
import shlex
from typing import Any

import tensorflow_datasets as tfds

from tfds_rvf10k.errors import ConfigError
from tfds_rvf10k.inspection import near_duplicates
from tfds_rvf10k.inspection.inspection import MAX_PIXELS
from tfds_rvf10k.planning.plan import FoldOptions
from tfds_rvf10k.sources.source_images import CLASS_NAMES, Layout

_RANGES = {
    "k": (2, math.inf),
    "seed": (0, 2**32 - 1),
    "shards_per_fold": (1, math.inf),
    "max_pixels": (64, math.inf),
    "near_duplicates": (0, near_duplicates.MAX_LIMIT - 1),  # at the limit every pair is close
}


@dataclasses.dataclass(eq=False)
class FoldConfig(tfds.core.BuilderConfig):
    """What is built, and how `train` is divided into folds.

    Attributes:
      k: number of folds, at least 2.
      seed: seed of the assignment to folds and of the order inside a fold.
      shards_per_fold: S, the number of TFRecord files of one fold.
      stratified: gives every fold equal shares of the classes. False is plain `KFold`, as in the
        notebook that this project replaces.
      on_bad: "strict" builds nothing if anything is wrong with the source. "quarantine" builds the
        sound images and lists the others in quarantine.csv and in the metadata.
      any_size: allows images of other sizes than most.
      max_pixels: a file whose header declares more pixels is not decoded.
      near_duplicates: images whose perceptual hashes differ in at most this many of 256 bits share
        a fold. 0, the default, looks for copies only. The measured recommendation is 40.
      real, fake: names of the class folders, or values in the table's label column.
      table: a CSV file that lists the images, by its path below the manual directory.
      label_column, group_column: of the table. Images of one group share a fold.
      without: another built dataset (its directory, or a name in the same data_dir). Images of its
        `valid` are left out; with near_duplicates also images that look like one of them.
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

    def __new__(cls, *_: Any, **given: Any) -> "FoldConfig":
        """Refuses unknown fields: the commands pass the fields of --config on as they are."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(given.keys() - set(known)):
            raise ConfigError(
                f"config: no field {', '.join(map(repr, unknown))}",
                f"the fields are name, {', '.join(cls._added())}",
            )
        if given and "name" not in given and not _:
            raise ConfigError("config: it has no name", 'add "name" with one of its own')
        return super().__new__(cls)

    def __post_init__(self) -> None:
        is_text = isinstance(self.name, str)  # JSON may give anything
        if not is_text or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", self.name):
            raise ConfigError(
                f"config: {self.name!r} is no name", "take letters, digits and any of _ . + -"
            )
        for name in self._added():
            value, default = getattr(self, name), getattr(FoldConfig, name)
            if type(value) is not type(default):
                kind = type(default).__name__
                raise ConfigError(f"config {self.name!r}: {name} is {kind}, got {value!r}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                limit = f"at least {low}" if value < low else f"at most {high}"
                raise ConfigError(f"config {self.name!r}: {name} must be {limit}, got {value}")
        if self.on_bad not in ("strict", "quarantine"):
            raise ConfigError(
                f"config {self.name!r}: on_bad is strict or quarantine, got {self.on_bad!r}"
            )
        if self.real == self.fake:
            raise ConfigError(f"config {self.name!r}: real and fake are both {self.real!r}")

    def layout(self) -> Layout:
        """How the source tells splits, classes and groups."""
        return Layout((self.real, self.fake), self.table, self.label_column, self.group_column)

    def choices(self) -> dict[str, Any]:
        """The fields that decide what a built dataset holds."""
        return {name: getattr(self, name) for name in self._added()}

    @staticmethod
    def _added() -> list[str]:
        known = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
        return [field.name for field in dataclasses.fields(FoldConfig) if field.name not in known]

    def fold_options(self) -> FoldOptions:
        """How images are assigned to folds and shards."""
        return FoldOptions(self.k, self.seed, self.shards_per_fold, self.stratified)

    def as_option(self, **changes: Any) -> str:
        """A --config option, quoted for a shell, that gives this config with some fields changed.

        Args:
          **changes: fields and values. The name is made of this config's name and the changes.
        """
        name = "-".join([self.name, *(_suffix(field, value) for field, value in changes.items())])
        fields = {**self.choices(), **changes}
        others = {field: v for field, v in fields.items() if v != getattr(FoldConfig, field)}
        return f"--config={shlex.quote(json.dumps({'name': name, **others}))}"


def _suffix(field: str, value: Any) -> str:
    if field == "on_bad":
        return "sound"
    return f"{field}{value}"

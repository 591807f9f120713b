"""Two-class images of one's own, as folders, a zip archive or a CSV file, built when first used."""

import dataclasses
import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.config import UserError
from dftk.data import building
from dftk.progress import say
from tfds_rvf10k.listing import Layout, Listing, find_source, list_images
from tfds_rvf10k.plan import OTHER_SIZE_REMEDY, BadSource
from tfds_rvf10k.sources import Source

_SHAPES = (
    "give a folder (or a .zip of one) with real/ and fake/ in it, alone or in train/ and valid/, "
    "or a .csv file with the columns path, label and perhaps split"
)
_NAME_LENGTH = 60  # of a config's, before the digits; file systems stop at 255 bytes
_DEFAULTS = tfds_rvf10k.FoldConfig(name="defaults")
_SEVERAL_SHARDS = 40  # images of a fold, on average, from which on it is worth several files


class ImagesBuilder(building.LocalBuilder):
    """DatasetBuilder for images of one's own."""

    name = "dftk_images"
    DESCRIPTION = "Images that `--dataset=DIR` named, built by dftk when they were first used."
    MANUAL_DOWNLOAD_INSTRUCTIONS = _SHAPES


@dataclasses.dataclass(frozen=True)
class _Given:
    """What --dataset names, as `tfds build` would be told."""

    dataset: str  # as the user wrote it
    manual: Path
    table: str  # "" for folders
    data_dir: str | None

    def tfds_build(self, choices: dict[str, Any]) -> str:
        """The command that does so by other choices, in whatever folder it is run."""
        if self.table:
            choices = {**choices, "table": self.table}
        where = f" --data_dir={shlex.quote(self.data_dir)}" if self.data_dir else ""
        return (
            "tfds build rvf10k --imports=tfds_rvf10k "
            f"--manual_dir={shlex.quote(str(self.manual))}{where} "
            f"--config={shlex.quote(json.dumps(choices))}"
        )


def build(
    dataset: str, data_dir: str | None, k: int, any_size: bool = False
) -> tfds.core.DatasetBuilder:
    """Returns the builder of these images with k folds; builds what is not there as it is now.

    A build is known by its source's path and the names, sizes and times of its files: when they
    change, another one is made beside it.

    Args:
      dataset: a folder, a .zip or a .csv file.
      data_dir: where TFDS keeps datasets; None is its default, `~/tensorflow_datasets`.
      k: number of folds.
      any_size: images may differ in size; False refuses to build them.

    Raises:
      UserError: no such images, what is wrong with them line by line, or no way to write data_dir.
    """
    path = Path(dataset).expanduser().resolve()
    if not path.exists():
        raise UserError(
            f"--dataset={dataset}: no such file or directory; {_SHAPES}; or rvf10k, or sample"
        )
    table = path.name if path.suffix.lower() == ".csv" else ""
    given = _Given(dataset, path.parent if table else path, table, data_dir)
    try:
        source = find_source(str(given.manual), Layout(table=table), _SHAPES)
        listing = list_images(source, Layout(table=table))
        config = _config(path, source, listing, k, any_size, table)
        builder = ImagesBuilder(data_dir=data_dir, config=config)
        if not builder.data_path.exists():
            say(f"--dataset={dataset}: building {builder.info.full_name} in {builder.data_path}")
            building.prepare(builder, given.manual, dataset)
            for note in builder.info.metadata["notes"]:
                say(f"note: {note}")
    except BadSource as error:
        raise UserError(_all_problems(given, config, error)) from error
    except (ValueError, OSError) as error:
        raise UserError(_one_problem(given, str(error))) from error
    return builder


def _config(
    path: Path, source: Source, listing: Listing, k: int, any_size: bool, table: str
) -> tfds_rvf10k.FoldConfig:
    """Of these images as they are now, its name included."""
    shards = 4 if len(listing.images) >= _SEVERAL_SHARDS * k else 1
    config = tfds_rvf10k.FoldConfig(name="images", k=k, shards_per_fold=shards, table=table)
    # Before any_size: images of one size are the same records with and without it.
    digest = _digest(source, listing, config.choices())
    config.any_size = any_size
    word = re.sub(r"[^A-Za-z0-9_]+", "_", path.stem).strip("_")[:_NAME_LENGTH] or "images"
    config.name = f"{word}-{digest[:12]}"
    return config


def _digest(source: Source, listing: Listing, choices: dict[str, Any]) -> str:
    """SHA-256 of all that decides what would be built, contents only by their sizes and times."""
    digest = hashlib.sha256(f"{source} {json.dumps(choices)}\n".encode(errors="backslashreplace"))
    if source.inside is not None:
        digest.update(_state(source.path))
    for image in listing.images:
        digest.update(repr(image).encode(errors="backslashreplace"))
        if source.inside is None:
            digest.update(_state(os.path.join(source.path, image.filename)))
    for rest in (listing.problems, listing.missing, listing.notes):
        digest.update(repr(rest).encode(errors="backslashreplace"))
    return digest.hexdigest()


def _state(path: str) -> bytes:
    """Size and time of a file; nothing of one that is not there, which the build will say."""
    try:
        status = os.stat(path)
    except OSError:
        return b""
    return f"{status.st_size} {status.st_mtime_ns}\n".encode()


def _all_problems(given: _Given, config: tfds_rvf10k.FoldConfig, error: BadSource) -> str:
    """What is wrong, a line each, and the commands that would leave it out."""
    count = len(error.problems)
    lines = "\n".join(f"  {problem}" for problem in error.problems)
    lines = lines.replace(OTHER_SIZE_REMEDY, "give --stored_size=PIXELS")
    choices = {
        name: value
        for name, value in config.choices().items()
        if name in ("k", "shards_per_fold", "any_size") and value != getattr(_DEFAULTS, name)
    }
    command = given.tfds_build({"name": config.name, "on_bad": "quarantine", **choices})
    return (
        f"--dataset={given.dataset}: {count} problem{'s' * (count > 1)}, nothing was built:\n"
        f"{lines}\nMend them; or build the rest with\n  {command}\n"
        f"and train on it with --dataset=rvf10k/{config.name}"
    )


def _one_problem(given: _Given, text: str) -> str:
    """The builder's words, its remedies in terms of this door."""
    text = text.replace("as --manual_dir", "as --dataset")
    if "in the config" in text:
        command = given.tfds_build(
            {"name": "own", "label_column": "label", "real": "0", "fake": "1"}
        )
        text = f"{text}, such as {command}, and train with --dataset=rvf10k/own"
    return f"--dataset={given.dataset}: {text}"

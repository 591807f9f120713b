"""Images of the user in two classes: folders, an archive or a table, built when first used."""

import dataclasses
import hashlib
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.datasets import building
from dftk.utils.errors import UserError
from dftk.utils.progress import say
from tfds_rvf10k.errors import BadSource, DatasetError, SourceNotFound
from tfds_rvf10k.sources.listing import find_source, list_images
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout, Listing, Problem

_SHAPES = (
    "give a folder (or a .zip of one) with real/ and fake/ in it, alone or in train/ and valid/, "
    "or a .csv file with the columns path, label and perhaps split"
)


class ImagesBuilder(building.LocalBuilder):
    """DatasetBuilder for images of the user."""

    name = "dftk_images"
    DESCRIPTION = "Images that `--dataset=DIR` named, built by dftk when they were first used."
    MANUAL_DOWNLOAD_INSTRUCTIONS = _SHAPES


def build(
    dataset: str, data_dir: str | None, k: int, any_size: bool = False
) -> tfds.core.DatasetBuilder:
    """Returns the builder of these images with k folds. It builds them if they are not built yet.

    A build has the name of its source and a hash of the names, sizes and times of its files. When
    the files change, another build is made beside it.

    Args:
      dataset: a folder, a .zip or a .csv file.
      data_dir: where TFDS keeps datasets; None is its default, `~/tensorflow_datasets`.
      k: number of folds.
      any_size: allows images of different sizes; False refuses to build them. Images of one size
        give the same records either way, and so the same build.

    Raises:
      UserError: there are no such images, something is wrong with them, or data_dir cannot be
        written.
    """
    path = Path(dataset).expanduser().resolve()
    if not path.exists():
        raise _missing(dataset, data_dir)
    if path.is_file() and path.suffix.lower() not in {".csv", ".zip"} and not is_zipfile(path):
        raise UserError(f"--dataset={dataset}: neither a .zip nor a .csv file; {_SHAPES}")
    table = path.name if path.suffix.lower() == ".csv" else ""
    images = _Images(
        dataset=dataset,
        manual_dir=path.parent if table else path,
        table=table,
        data_dir=data_dir,
        folds=k,
        any_size=any_size,
    )
    layout = Layout(table=table)
    try:
        source = find_source(str(images.manual_dir), layout, _SHAPES)
        listing = list_images(source, layout)
    except (DatasetError, OSError) as error:
        raise UserError(images.message(error)) from error
    train_images = sum(image.split == "train" for image in listing.images)
    config = tfds_rvf10k.FoldConfig(
        name=f"{_config_name(path.stem)}-{_digest(source, listing, k)[:12]}",
        k=k,
        any_size=any_size,
        table=table,
        # Two images or more in each, as far as copies do not make folds uneven.
        shards_per_fold=max(1, min(4, train_images // (2 * k))),
    )
    try:
        return _prepare(images, config)
    except BadSource as error:
        raise UserError(images.problems(error, config)) from error
    except (DatasetError, OSError) as error:
        raise UserError(images.message(error)) from error


def _prepare(images: "_Images", config: tfds_rvf10k.FoldConfig) -> tfds.core.DatasetBuilder:
    builder = building.make_builder(ImagesBuilder, images.data_dir, config)
    if builder.data_path.exists():
        return builder
    name = f"--dataset={images.dataset}"
    say(f"{name}: building {builder.info.full_name} in {builder.data_path}")
    try:
        building.prepare(builder, images.manual_dir, images.dataset)
    except DatasetError as error:
        # Groups of copies can make a fold much smaller than the others.
        if not (fitting := error.settings.get("shards_per_fold")):
            raise
        say(f"{name}: {error.what}; building with {fitting} per fold")
        return _prepare(images, dataclasses.replace(config, shards_per_fold=fitting))
    for note in builder.info.metadata["notes"]:
        say(f"note: {note}")
    return builder


def title(full_name: str) -> str:
    """The name of a dataset without the hash that distinguishes builds of the user's images.

    A run depends on the records only. Copied or touched files are another build of the same data.
    """
    return re.sub(rf"^({ImagesBuilder.name}/.+)-[0-9a-f]{{12}}/.+$", r"\1", full_name)


def builds(dataset: str, data_dir: str | None) -> list[Path]:
    """The version directories that were built from images of this name; the newest first."""
    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / ImagesBuilder.name
    word = _config_name(Path(dataset).expanduser().resolve().stem)
    found = root.glob(f"{word}-*/*/dataset_info.json")
    return [file.parent for file in sorted(found, key=lambda f: -f.stat().st_mtime_ns)]


def _missing(dataset: str, data_dir: str | None) -> UserError:
    """The error for images that do not exist. It names builds of that name and takes none of them.

    Many folders are called faces.
    """
    there = ", ".join(map(str, builds(dataset, data_dir)))
    built = f"; or one of what was built of images of that name: {there}" if there else ""
    return UserError(
        f"--dataset={dataset}: no such dataset, file or directory; give sample, rvf10k or "
        f"rvf10k/CONFIG; or {_SHAPES}{built}"
    )


def _digest(source: Source, listing: Listing, k: int) -> str:
    """SHA-256 of everything that decides what would be built; of contents the sizes and times.

    The path of the source is not in it: a folder that was moved is the same one.
    """
    digest = hashlib.sha256(f"{k} {source.inside}\n".encode())
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
    """Size and time of a file; b"" for a missing one, which the build reports."""
    try:
        status = os.stat(path)
    except OSError:
        return b""
    return f"{status.st_size} {status.st_mtime_ns}\n".encode()


def _config_name(name: str) -> str:
    """A name that a config may have."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:60] or "images"


@dataclasses.dataclass(frozen=True)
class _Images:
    """What the user named, and messages about it with remedies for the commands of dftk.

    Attributes:
      dataset: the value of --dataset.
      manual_dir: the folder or archive that holds the images.
      table: the name of the CSV file in it; "" if there is none.
      data_dir: the value of --data_dir.
      folds: the number of folds.
      any_size: images may differ in size.
    """

    dataset: str
    manual_dir: Path
    table: str
    data_dir: str | None
    folds: int
    any_size: bool

    def message(self, error: DatasetError | OSError) -> str:
        """One line for an error."""
        if not isinstance(error, DatasetError):
            return f"--dataset={self.dataset}: {error}"
        return f"--dataset={self.dataset}: {error.what}; {self._remedy(error)}".rstrip("; ")

    def _remedy(self, error: DatasetError) -> str:
        if error.option == "manual_dir":
            return "give one of them as --dataset"
        if error.option == "k":
            return "add images" + (", or give a lower --folds" if self.folds > 2 else "")
        if error.option == "label_column":
            column = next(iter(error.found), "COLUMN")
            return (
                f'call the column with real and fake "label"; or build with another one by '
                f"{self._build_command(name='own', label_column=column)}, and train with "
                "--dataset=rvf10k/own"
            )
        if error.option == "real":
            real, fake = _real_and_fake(error.found)
            command = self._build_command(name="own", real=real, fake=fake)
            if isinstance(error, SourceNotFound):
                return f"{_SHAPES}; or name your folders by {command}" if error.found else _SHAPES
            return (
                f"say which is which, such as {command}, and train with --dataset=rvf10k/own; that "
                f"takes {real!r} for real, which is your choice"
            )
        return error.remedy

    def problems(self, error: BadSource, config: tfds_rvf10k.FoldConfig) -> str:
        """All problems, and the commands that build the other images and train on them."""
        noun = "problem" if len(error.problems) == 1 else "problems"
        lines = [
            f"--dataset={self.dataset}: {len(error.problems)} {noun}, nothing was built:",
            *(f"  {_problem_line(problem)}" for problem in error.problems),
        ]
        if not error.settings:
            return "\n".join([*lines, error.remedy])
        name = f"{config.name}-sound"
        command = self._build_command(
            name=name, on_bad="quarantine", shards_per_fold=config.shards_per_fold
        )
        return "\n".join(
            [
                *lines,
                "Correct them. Or build the other images, and train on them with "
                f"--dataset=rvf10k/{name}:",
                f"  {command}",
            ]
        )

    def _build_command(self, **fields: Any) -> str:
        """The command that builds these images with these fields of a config."""
        fields["k"] = self.folds
        if self.table:
            fields["table"] = self.table
        if self.any_size:
            fields["any_size"] = True
        command = ["python", "-m", "tfds_rvf10k.build", "--manual_dir", str(self.manual_dir)]
        if self.data_dir:
            command += ["--data_dir", self.data_dir]
        return shlex.join([*command, "--config", json.dumps(fields)])


def _real_and_fake(found: Sequence[str]) -> list[str]:
    """The names found for the two classes; real comes first if the names tell."""
    if len(found) != 2:
        return ["REAL", "FAKE"]
    return sorted(found, key=lambda name: (name.casefold() == "fake", name.casefold() != "real"))


def _problem_line(problem: Problem) -> str:
    remedies = {"any_size": ", or give --stored_size=PIXELS"}
    remedy = f"{problem.remedy}{remedies.get(problem.setting, '')}"
    return f"{problem.printable_name}: {problem.what}; {remedy}"

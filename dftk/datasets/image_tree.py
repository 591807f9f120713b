"""Two-class images of one's own, as folders, a zip archive or a CSV file, built when first used."""

import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.datasets import building
from dftk.utils.errors import UserError
from dftk.utils.progress import say
from tfds_rvf10k.planning.plan import OTHER_SIZE_REMEDY, BadSource
from tfds_rvf10k.sources.listing import find_source, list_images
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout, Listing

_SHAPES = (
    "give a folder (or a .zip of one) with real/ and fake/ in it, alone or in train/ and valid/, "
    "or a .csv file with the columns path, label and perhaps split"
)


class ImagesBuilder(building.LocalBuilder):
    """DatasetBuilder for images of one's own."""

    name = "dftk_images"
    DESCRIPTION = "Images that `--dataset=DIR` named, built by dftk when they were first used."
    MANUAL_DOWNLOAD_INSTRUCTIONS = _SHAPES


def build(
    dataset: str, data_dir: str | None, k: int, any_size: bool = False
) -> tfds.core.DatasetBuilder:
    """Returns the builder of these images with k folds; builds what is not there as it is now.

    A build is known by its source's name and the names, sizes and times of its files: when they
    change, another one is made beside it.

    Args:
      dataset: a folder, a .zip or a .csv file.
      data_dir: where TFDS keeps datasets; None is its default, `~/tensorflow_datasets`.
      k: number of folds.
      any_size: images may differ in size; False refuses to build them. Images of one size are the
        same records either way, and so the same build.

    Raises:
      UserError: no such images, what is wrong with them line by line, or no way to write data_dir.
    """
    path = Path(dataset).expanduser().resolve()
    if not path.exists():
        raise _gone(dataset, data_dir)
    table = path.name if path.suffix.lower() == ".csv" else ""
    manual = path.parent if table else path
    layout = Layout(table=table)
    try:
        source = find_source(str(manual), layout, _SHAPES)
        listing = list_images(source, layout)
        config = tfds_rvf10k.FoldConfig(
            name=f"{_word(path.stem)}-{_digest(source, listing, k)[:12]}",
            k=k,
            any_size=any_size,
            table=table,
            shards_per_fold=max(1, min(4, len(listing.images) // (2 * k))),
        )
        builder = ImagesBuilder(data_dir=data_dir, config=config)
        if not builder.data_path.exists():
            say(f"--dataset={dataset}: building {builder.info.full_name} in {builder.data_path}")
            building.prepare(builder, manual, dataset)
            for note in builder.info.metadata["notes"]:
                say(f"note: {note}")
    except BadSource as error:
        raise UserError(_in_words(dataset, manual, config, data_dir, error)) from error
    except (ValueError, OSError) as error:
        raise UserError(_in_a_line(dataset, manual, table, data_dir, str(error))) from error
    return builder


def title(full_name: str) -> str:
    """A dataset's name without what tells builds of one's own images apart.

    A run goes by the records: copied or touched files are the same data, built once more.
    """
    return re.sub(rf"^({ImagesBuilder.name}/.+)-[0-9a-f]{{12}}/.+$", r"\1", full_name)


def builds(dataset: str, data_dir: str | None) -> list[Path]:
    """Version directories built of images of this name, wherever they lay; newest first."""
    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / ImagesBuilder.name
    word = _word(Path(dataset).expanduser().resolve().stem)
    found = root.glob(f"{word}-*/*/dataset_info.json")
    return [file.parent for file in sorted(found, key=lambda f: -f.stat().st_mtime_ns)]


def _gone(dataset: str, data_dir: str | None) -> UserError:
    """Never another's build in its place: many folders are called faces."""
    there = ", ".join(map(str, builds(dataset, data_dir)))
    built = f"; or one of what was built of images of that name: {there}" if there else ""
    return UserError(f"--dataset={dataset}: no such file or directory; {_SHAPES}{built}")


def _digest(source: Source, listing: Listing, k: int) -> str:
    """SHA-256 of all that decides what would be built, contents only by their sizes and times.

    Without the source's path: a folder that moves is the same one.
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
    """Size and time of a file; nothing of one that is not there, which the build will say."""
    try:
        status = os.stat(path)
    except OSError:
        return b""
    return f"{status.st_size} {status.st_mtime_ns}\n".encode()


def _word(name: str) -> str:
    """What of a name may stand in that of a config."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:60] or "images"


def _in_words(
    dataset: str,
    manual: Path,
    config: tfds_rvf10k.FoldConfig,
    data_dir: str | None,
    error: BadSource,
) -> str:
    """All problems, and the commands that build and train on the rest."""
    lines = "\n".join(f"  {problem}" for problem in error.problems)
    lines = lines.replace(OTHER_SIZE_REMEDY, "give --stored_size=PIXELS")
    noun = "problem" if len(error.problems) == 1 else "problems"
    name = f"{config.name}-sound"
    choices = {"name": name, "on_bad": "quarantine", "any_size": config.any_size}
    choices |= {"k": config.k, "shards_per_fold": config.shards_per_fold}
    choices |= {"table": config.table} if config.table else {}
    return (
        f"--dataset={dataset}: {len(error.problems)} {noun}, nothing was built:\n{lines}\n"
        f"Mend them; or build what is sound, and train on that with --dataset=rvf10k/{name}:\n"
        f"  {_tfds_build(manual, data_dir, choices)}"
    )


def _in_a_line(dataset: str, manual: Path, table: str, data_dir: str | None, text: str) -> str:
    """The builder's words, with remedies for this door."""
    if "in the config" in text:
        choices = {"name": "own", "table": table, "label_column": "label", "real": "0", "fake": "1"}
        command = _tfds_build(manual, data_dir, choices)
        text = f"{text}, such as {command}, and train with --dataset=rvf10k/own"
    return f"--dataset={dataset}: {text.replace('as --manual_dir', 'as --dataset')}"


def _tfds_build(manual: Path, data_dir: str | None, choices: dict[str, Any]) -> str:
    """The command, in whatever folder it is run: `tfds build tfds_rvf10k` wants the checkout's."""
    where = ["--data_dir", data_dir] if data_dir else []
    command = ["tfds", "build", "rvf10k", "--imports", "tfds_rvf10k", "--manual_dir", str(manual)]
    return shlex.join([*command, *where, "--config", json.dumps(choices)])

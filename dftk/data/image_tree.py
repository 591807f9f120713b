"""Two-class images of one's own, as folders, a zip archive or a CSV file, built when first used."""

import hashlib
import os
import re
from pathlib import Path

import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.config import UserError
from dftk.data import building
from dftk.progress import say
from tfds_rvf10k.listing import Layout, Listing, find_source, list_images
from tfds_rvf10k.plan import BadSource
from tfds_rvf10k.sources import Source

_SHAPES = (
    "give a folder (or a .zip of one) with real/ and fake/ in it, alone or in train/ and valid/, "
    "or a .csv file with the columns path, label and perhaps split"
)


class ImagesBuilder(building.LocalBuilder):
    """DatasetBuilder for images of one's own."""

    name = "dftk_images"
    DESCRIPTION = "Images that `--dataset=DIR` named, built by dftk when they were first used."
    MANUAL_DOWNLOAD_INSTRUCTIONS = _SHAPES


def build(dataset: str, data_dir: str | None, k: int) -> tfds.core.DatasetBuilder:
    """Returns the builder of these images with k folds; builds what is not there as it is now.

    A build is known by its source's path and the names, sizes and times of its files: when they
    change, another one is made beside it.

    Args:
      dataset: a folder, a .zip or a .csv file.
      data_dir: where TFDS keeps datasets; None is its default, `~/tensorflow_datasets`.
      k: number of folds.

    Raises:
      UserError: no such images, what is wrong with them line by line, or no way to write data_dir.
    """
    path = Path(dataset).expanduser().resolve()
    if not path.exists():
        raise UserError(f"--dataset={dataset}: no such file or directory; {_SHAPES}")
    table = path.name if path.suffix.lower() == ".csv" else ""
    manual = path.parent if table else path
    layout = Layout(table=table)
    try:
        source = find_source(str(manual), layout, _SHAPES)
        listing = list_images(source, layout)
        name = f"{_word(path.stem)}-{_digest(source, listing, k)[:12]}"
        config = tfds_rvf10k.FoldConfig(name=name, k=k, any_size=True, table=table)
        builder = ImagesBuilder(data_dir=data_dir, config=config)
        if not builder.data_path.exists():
            say(f"--dataset={dataset}: building {builder.info.full_name} in {builder.data_path}")
            building.prepare(builder, manual, dataset)
            for note in builder.info.metadata["notes"]:
                say(f"note: {note}")
    except BadSource as error:
        raise UserError(_in_words(dataset, manual, table, error)) from error
    except (ValueError, OSError) as error:
        raise UserError(f"--dataset={dataset}: {error}") from error
    return builder


def _digest(source: Source, listing: Listing, k: int) -> str:
    """SHA-256 of all that decides what would be built, contents only by their sizes and times."""
    digest = hashlib.sha256(f"{source} {k}\n".encode())
    if source.inside is not None:
        status = os.stat(source.path)
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    for image in listing.images:
        digest.update(repr(image).encode(errors="backslashreplace"))
        if source.inside is None:
            digest.update(_state(os.path.join(source.path, image.filename)))
    digest.update(repr(listing.problems).encode(errors="backslashreplace"))
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
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "images"


def _in_words(dataset: str, manual: Path, table: str, error: BadSource) -> str:
    lines = "\n".join(f"  {problem}" for problem in error.problems)
    more = f', "table": "{table}"' if table else ""
    return (
        f"--dataset={dataset}: {len(error.problems)} problems, nothing was built:\n{lines}\n"
        "Mend them; or build what is sound, and train on that with --dataset=rvf10k/sound:\n"
        f"  tfds build tfds_rvf10k --manual_dir={manual} "
        f"""--config='{{"name": "sound", "on_bad": "quarantine", "any_size": true{more}}}'"""
    )

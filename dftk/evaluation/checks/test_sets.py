"""Test sets: folders of real and fake images, scored by a run and written to its workdir."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.evaluation.checks import shortcuts, slices
from dftk.evaluation.figures import ensemble_plots
from dftk.images import encoded
from dftk.input.shards import Shard
from dftk.runs.results import METRICS, PREDICTIONS, TEST_SETS
from dftk.runs.saved_models import Ensemble
from dftk.utils.files import columns, replacing_folder, write_csv, write_json
from dftk.utils.progress import Progress, duration


def score(
    ensemble: Ensemble, folds: Sequence[int], folder: encoded.Folder
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Scores the files of a folder in bounded memory, in batches of images of one size.

    Returns:
      predictions in the order of the files: filename (its path below the folder), label,
      probability (the ensemble's), fold_<f> (each member's), digest (of the file); and filename and
      error of each broken file.
    """
    rows: dict[str, dict[str, Any]] = {}
    broken: list[dict[str, str]] = []

    def readable() -> Iterator[encoded.Decoded]:
        for item in encoded.decoded(folder.read()):
            if item.error:
                broken.append({"filename": item.encoded.filename, "error": item.error})
            else:
                yield item

    progress = Progress("test set", len(folder.files))
    for group, pixels in encoded.groups(readable()):
        members = ensemble(tf.constant(pixels))
        for item, values in zip(group, members.T):
            rows[item.filename] = {
                "filename": item.filename,
                "label": item.label,
                "probability": float(values.mean()),
                **{f"fold_{fold}": float(value) for fold, value in zip(folds, values)},
                "digest": digest(item.data),
            }
        progress.update(len(rows) + len(broken))
    progress.close(
        f"{len(rows):,} images scored, {len(broken)} broken, in {duration(progress.seconds)}"
    )
    return [rows[name] for name in sorted(rows)], broken


def digest(data: bytes) -> str:
    """A hash of a file, to find equal files."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def training_digests(shards: Sequence[Shard]) -> dict[str, str]:
    """The filename of each training image, by the digest of its file."""
    return {digest(image.data): image.filename for image in encoded.from_shards(shards)}


def member_probabilities(rows: Sequence[Mapping[str, Any]], folds: Sequence[int]) -> np.ndarray:
    """Each member's probability of fake, float [folds, n], from rows as `score` gives them."""
    return np.array(columns(rows, *(f"fold_{fold}" for fold in folds)))


def notes(result: dict[str, Any]) -> list[str]:
    """What readers of the scores must know, a sentence for each fact."""
    found = []
    (tn, fp), (fn, tp) = result["ensemble"]["confusion_matrix"]
    for count, name in ((tn + fp, "real"), (fn + tp, "fake")):
        if not count:
            found.append(
                f"no {name} image: the AUC is undefined, and the accuracy is that of one class only"
            )
    if result["broken"]:
        found.append(f"not scored, since unreadable: {_count(result['broken'], 'file')}")
    if result["ignored"]:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in result["ignored"].items())
        found.append(f"skipped, since not named as JPEG, PNG, GIF or BMP: {kinds}")
    if result["in_training"] is None:
        found.append(f"not compared with the training images: {result['not_compared']}")
    elif result["in_training"]:
        found.append(
            f"identical to a training image of this run, byte by byte: "
            f"{_count(result['in_training'], 'image')}; remove them, since they test nothing"
        )
    if result["shortcuts"] is None:
        found.append(f"not searched for shortcuts: {result['not_searched']}")
    elif result["shortcuts"]:
        groups = ", ".join(f"{name} (AUC {auc:.3f})" for name, auc in result["shortcuts"].items())
        found.append(
            f"real and fake can be told apart without the face, by {groups}: the scores may be due "
            "to that"
        )
    return found


def _count(found: Sequence[Any], what: str) -> str:
    return f"{len(found):,} {what}{'s' * (len(found) != 1)}"


def write(
    root: Path,
    name: str,
    folder: encoded.Folder,
    rows: Sequence[dict[str, Any]],
    result: dict[str, Any],
    audit: Mapping[str, Any] | None,
) -> Path:
    """Writes tests/NAME of a workdir. Replaces a former one only when all files are written.

    Args:
      root: the path of the workdir.
      name: of the test set.
      folder: its images.
      rows: as `score` returns them, for predictions.csv.
      result: for metrics.json.
      audit: for shortcuts.json; None if there are too few images for an audit.

    Returns:
      the path of tests/NAME.
    """
    target = root / TEST_SETS / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(target) as fresh:
        fresh.mkdir()
        folds = [entry["fold"] for entry in result["folds"]]
        names = ["filename", "label", "probability", *(f"fold_{fold}" for fold in folds)]
        write_csv(fresh / PREDICTIONS, names, rows)
        labels, mean = columns(rows, "label", "probability")
        members = member_probabilities(rows, folds)
        ensemble_plots.draw(
            fresh / "plots", name, result, labels=labels, members=members, mean=mean
        )
        slices.write(fresh, "", _with_folders(rows), folder.read())
        if audit is not None:
            shortcuts.write(fresh, audit)
        write_json(fresh / METRICS, result)
    return target


def _with_folders(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with the folder of each file if there are folders below real/ and fake/."""
    folders = [PurePosixPath(row["filename"]).parent.as_posix() for row in rows]
    if set(folders) <= set(encoded.CLASSES):
        return list(rows)
    return [{**row, "folder": folder} for row, folder in zip(rows, folders)]

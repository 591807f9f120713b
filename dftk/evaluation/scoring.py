"""Saved models on examples and on image files; results keep the name of what they belong to."""

import collections
import concurrent.futures
import dataclasses
import functools
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dftk.config import UserError
from dftk.data import pipeline
from dftk.data.residency import Examples
from dftk.evaluation import plots
from dftk.evaluation.workdir import Workdir

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_BATCH = 32  # images of a forward pass at most,
_PIXELS = 2**24  # and their pixels: 50 MB as uint8, 200 MB as float32


class Ensemble:
    """One or more detectors as they are saved; their probability is the mean of the members'."""

    def __init__(self, models: Sequence[keras.Model]):
        self.members = list(models)
        # One function each: their weights differ, and any image size shares one trace.
        spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
        self._forward = [
            tf.function(functools.partial(model, training=False), input_signature=[spec])
            for model in self.members
        ]

    def __call__(self, images: tf.Tensor) -> np.ndarray:
        """uint8 [b, h, w, 3] to each member's probability of fake, float32 [members, b]."""
        return np.stack([forward(images).numpy()[:, 0] for forward in self._forward])

    def score(self, examples: Examples, rows: np.ndarray) -> np.ndarray:
        """Each member's probabilities for the given rows, float32 [members, len(rows)]."""
        result = np.full([len(self.members), len(examples.labels)], np.nan, np.float32)
        dataset = examples.batches(rows, batch_size=_BATCH, images=True)
        with examples.explained():
            for batch in dataset:
                result[:, batch["index"].numpy()] = self(batch["image"])
        return result[:, rows]


def load_ensemble(paths: Sequence[Path]) -> Ensemble:
    """Loads `.keras` files; raises as `load_model`."""
    return Ensemble([load_model(path) for path in paths])


def load_model(path: Path) -> keras.Model:
    """Loads a saved detector, refusing code inside the file.

    Raises:
      UserError: no such file, or not a detector.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model; dftk.train writes fold_<f>/model.keras")
    if not zipfile.is_zipfile(path):
        # Keras would open HDF5 too, where safe_mode is not heeded.
        raise UserError(
            f"{path}: not a whole .keras file; remove its fold's folder and train it again"
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: not a model that Keras can load ({error})".splitlines()[0]
        ) from error
    if [tuple(t.shape) for t in (*model.inputs, *model.outputs)] != [
        (None, None, None, 3),
        (None, 1),
    ]:
        raise UserError(f"{path}: not a detector (uint8 images in, one probability out)")
    return model


def model_paths(model: Path) -> list[Path]:
    """The file itself, or the models of all finished folds of a workdir.

    Raises:
      UserError: neither a file nor a workdir with a finished fold.
    """
    if not model.is_dir():
        return [model]
    workdir = Workdir(model)
    workdir.config()  # complains if this is no workdir
    return [workdir.model_path(fold) for fold in workdir.require_folds()]


@dataclasses.dataclass(frozen=True)
class FileScore:
    """What came of one file: a probability, or an error in words."""

    path: Path
    probability: float = float("nan")
    error: str = ""


Decoded = FileScore | tuple[Path, tf.Tensor]  # an error, or a file with its uint8 [h, w, 3]


def find_images(paths: Iterable[Path]) -> Iterator[FileScore | Path]:
    """Files as given; directories walked in sorted order for image files.

    Yields:
      a path to score, or a FileScore with the error of one that cannot be.
    """
    for path in paths:
        if path.is_dir():
            found: list[FileScore | Path] = [
                file
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
            ]
            yield from found or [
                FileScore(path, error=f"no {', '.join(IMAGE_SUFFIXES)} file in it")
            ]
        else:
            yield path


def score_files(ensemble: Ensemble, found: Iterable[FileScore | Path]) -> Iterator[FileScore]:
    """Scores files in order, decoding ahead in threads, in bounded memory.

    A file that cannot be read or decoded yields its error and stops nothing.
    """
    group: list[Decoded] = []
    pixels = 0
    for item in _decoded(found):
        group.append(item)
        pixels += 0 if isinstance(item, FileScore) else int(tf.size(item[1])) // 3
        if len(group) == _BATCH or pixels >= _PIXELS:
            yield from _score_group(ensemble, group)
            group, pixels = [], 0
    yield from _score_group(ensemble, group)


def _decoded(found: Iterable[FileScore | Path]) -> Iterator[Decoded]:
    """Decodes in order, a few files ahead."""
    ahead = os.cpu_count() or 1
    pending: collections.deque[concurrent.futures.Future[Decoded]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(ahead) as threads:
        for item in found:
            pending.append(threads.submit(_decode, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def decode_image(data: bytes) -> tf.Tensor:
    """uint8 [h, w, 3]; a JPEG exactly as in training; EXIF orientation ignored, as there.

    Raises:
      tf.errors.InvalidArgumentError: not a JPEG, PNG, GIF or BMP image.
    """
    if data.startswith(b"\xff\xd8"):
        return pipeline.decode_jpeg(data)
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _decode(item: FileScore | Path) -> Decoded:
    if isinstance(item, FileScore):
        return item
    try:
        data = item.read_bytes()
        return item, decode_image(data)
    except OSError as error:
        return FileScore(item, error=error.strerror or str(error))
    except tf.errors.InvalidArgumentError:
        what = "empty file" if not data else "not a readable JPEG, PNG, GIF or BMP image"
        return FileScore(item, error=what)


def _score_group(ensemble: Ensemble, group: Sequence[Decoded]) -> list[FileScore]:
    """Scores images of one size together; returns the scores in the order they came."""
    scores: dict[int, FileScore] = {}
    by_size: dict[tuple[int, ...], list[tuple[int, Path, tf.Tensor]]] = {}
    for position, item in enumerate(group):
        if isinstance(item, FileScore):
            scores[position] = item
        else:
            by_size.setdefault(tuple(item[1].shape), []).append((position, *item))
    for same in by_size.values():
        probabilities = ensemble(tf.stack([image for _, _, image in same])).mean(axis=0)
        for (position, path, _), probability in zip(same, probabilities):
            scores[position] = FileScore(path, float(probability))
    return [scores[position] for position in range(len(group))]


def draw_verdict(score: FileScore, folder: Path, threshold: float) -> None:
    """Writes the scored image with its verdict to `folder`, named after its path.

    Raises:
      UserError: the folder cannot be written.
    """
    name = "__".join(part for part in score.path.parts if part not in ("/", "..", "."))
    image = decode_image(score.path.read_bytes())
    try:
        plots.verdict(
            folder / f"{name}.png", image.numpy(), score.path.name, score.probability, threshold
        )
    except OSError as error:
        raise UserError(f"--plot={folder}: cannot write there ({error.strerror})") from None

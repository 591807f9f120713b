"""Pictures of scored files: the verdict, and what in the image speaks for it."""

import hashlib
from pathlib import Path

import numpy as np

from dftk.evaluation.figures import plots
from dftk.images import reading
from dftk.images.image_files import FileScore
from dftk.inference import gradcam
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError

_NAME_BYTES = 200  # of a picture's name; file systems take 255
_SIDE = 1000  # pixels that a picture shows of an image's longer side


def picture_name(path: Path) -> str:
    """A name that tells its path, and a digest that no other path shares."""
    parts = [part for part in path.parts if part not in ("/", "..", ".")]
    digest = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:10]
    readable = "__".join(parts).encode(errors="replace")[-_NAME_BYTES:].decode(errors="ignore")
    return f"{readable}.{digest}.png"


class Unreadable(Exception):
    """A scored file that is gone or another one by now; the text says what is wrong with it."""


def draw_verdict(score: FileScore, folder: Path, threshold: float, max_pixels: int) -> None:
    """Writes the scored image with its verdict to `folder`; max_pixels as when it was scored.

    Raises:
      Unreadable: the file cannot be read again.
      UserError: the folder cannot be written.
    """
    image, target = _image(score.path, max_pixels), folder / picture_name(score.path)
    try:
        plots.verdict(target, _thinned(image), _title(score), score.probability, threshold)
    except OSError as error:
        raise UserError(f"--plot={folder}: cannot write there ({error.strerror})") from None


def draw_explanation(
    score: FileScore, ensemble: Ensemble, folder: Path, threshold: float, max_pixels: int
) -> None:
    """Writes the image beside itself under the mean of the members' Grad-CAM maps.

    Raises:
      Unreadable: the file cannot be read again.
      UserError: the folder cannot be written, or a model cannot be explained.
    """
    image, target = _image(score.path, max_pixels), folder / picture_name(score.path)
    total = np.zeros(_thinned(image).shape[:2], np.float32)
    for model in ensemble.members:  # only one map of the image's own size at a time
        total += _thinned(gradcam.heatmaps(model, image[None])[0][0])
    image = _thinned(image)
    laid = gradcam.overlay(image, total / len(ensemble.members))
    try:
        plots.explanation(target, image, laid, _title(score), score.probability, threshold)
    except OSError as error:
        raise UserError(f"--explain={folder}: cannot write there ({error.strerror})") from None


def _image(path: Path, max_pixels: int) -> np.ndarray:
    file = reading.read(path, max_pixels)
    image = reading.decode(file) if isinstance(file, reading.Packed) else file
    if isinstance(image, FileScore):
        raise Unreadable(f"scored, but not readable again for its picture: {image.error}")
    assert image.pixels is not None
    return image.pixels.numpy()


def _thinned(image: np.ndarray) -> np.ndarray:
    """Every n-th pixel of a large image: a picture of it shows no more."""
    step = max(1, max(image.shape[:2]) // _SIDE)
    return image[::step, ::step]


def _title(score: FileScore) -> str:
    # matplotlib would read what stands between dollar signs as a formula.
    return score.path.name.encode(errors="replace").decode().replace("$", r"\$")

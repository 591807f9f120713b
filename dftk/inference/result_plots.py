"""Plots of scored image files: the verdict, and a heatmap of what in the image speaks for fake."""

import hashlib
from pathlib import Path

import numpy as np

from dftk.evaluation.figures import plots
from dftk.images import reading
from dftk.images.image_files import UnreadableImage
from dftk.inference import gradcam
from dftk.inference.batch_scoring import Prediction
from dftk.runs.saved_models import Ensemble
from dftk.utils.errors import UserError

_NAME_BYTES = 200  # of a plot's file name; file systems take 255
_LONGER_SIDE = 1000  # pixels that a plot shows of an image's longer side


def plot_name(path: Path) -> str:
    """A file name made of the image's path, and of a digest that no other path shares."""
    parts = [part for part in path.parts if part not in ("/", "..", ".")]
    digest = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:10]
    readable = "__".join(parts).encode(errors="replace")[-_NAME_BYTES:].decode(errors="ignore")
    return f"{readable}.{digest}.png"


def read_again(path: Path, max_pixels: int) -> np.ndarray | UnreadableImage:
    """Reads an image that was scored: a stream of files does not keep its pixels for the plots.

    Args:
      path: of the image file.
      max_pixels: the same limit as when it was scored.

    Returns:
      uint8 [h, w, 3]; or why the file cannot be read, as it may have been deleted since.
    """
    file = reading.read(path, max_pixels)
    pixels = file if isinstance(file, UnreadableImage) else reading.decode(file)
    if isinstance(pixels, UnreadableImage):
        return UnreadableImage(
            path, f"scored, but not readable again for its picture: {pixels.reason}"
        )
    return pixels.numpy()


def plot_verdict(prediction: Prediction, image: np.ndarray, folder: Path, threshold: float) -> None:
    """Writes the image with its verdict to a folder.

    Args:
      prediction: of the image.
      image: uint8 [h, w, 3].
      folder: made if it is missing.
      threshold: fake from here on.

    Raises:
      UserError: the folder cannot be written.
    """
    target = folder / plot_name(prediction.path)
    try:
        plots.verdict(
            target, _thin(image), _title(prediction.path), prediction.probability, threshold
        )
    except OSError as error:
        raise UserError(f"--plot={folder}: cannot write there ({error.strerror})") from None


def plot_explanation(
    prediction: Prediction,
    image: np.ndarray,
    ensemble: Ensemble,
    folder: Path,
    threshold: float,
) -> None:
    """Writes the image beside itself under the mean of the members' Grad-CAM maps.

    Args:
      prediction: of the image.
      image: uint8 [h, w, 3].
      ensemble: the models that scored the image.
      folder: made if it is missing.
      threshold: fake from here on.

    Raises:
      UserError: the folder cannot be written, or a model cannot be explained.
    """
    target = folder / plot_name(prediction.path)
    shown = _thin(image)
    total = np.zeros(shown.shape[:2], np.float32)
    for model in ensemble.members:  # no two maps of the image's own size are held at once
        total += _thin(gradcam.heatmaps(model, image[None])[0][0])
    overlay = gradcam.overlay(shown, total / len(ensemble.members))
    title = _title(prediction.path)
    try:
        plots.explanation(target, shown, overlay, title, prediction.probability, threshold)
    except OSError as error:
        raise UserError(f"--explain={folder}: cannot write there ({error.strerror})") from None


def _thin(image: np.ndarray) -> np.ndarray:
    """Keeps every n-th pixel of a large image; a plot shows no more of it."""
    step = max(1, max(image.shape[:2]) // _LONGER_SIDE)
    return image[::step, ::step]


def _title(path: Path) -> str:
    # matplotlib reads text between dollar signs as a formula.
    return path.name.encode(errors="replace").decode().replace("$", r"\$")

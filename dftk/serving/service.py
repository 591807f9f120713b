"""Scores uploaded images one after the other, and knows what the model is."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.inference import gradcam
from dftk.runs import saved_models
from dftk.serving import model_info, uploads
from dftk.serving.uploads import UploadError, UploadLimits

_PREVIEW_SIDE = 512  # pixels of the longer side of the images that go back to the page


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What the page shows of an image: uint8 [h, w, 3], at most _PREVIEW_SIDE on a side."""

    picture: np.ndarray
    overlay: np.ndarray  # the picture under its Grad-CAM map


@dataclasses.dataclass(frozen=True)
class Score:
    """The result for one image."""

    probability: float  # of fake
    explanation: Explanation | None = None


class Service:
    """The models of a workdir, or one model file; a lock lets one image in at a time.

    Args:
      model: a workdir, or a .keras file.
      threshold: fake from here on; None takes the one that the run chose.
      limits: of an upload, and of the number of images that wait.

    Raises:
      UserError: there is no such model, or it cannot be loaded or explained.
    """

    def __init__(self, model: Path, threshold: float | None, limits: UploadLimits):
        self.limits = limits
        self.info = model_info.read(model, threshold)
        self._ensemble = saved_models.load_ensemble(saved_models.model_paths(model))
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(limits.max_waiting)
        for explain in (False, True):  # traced now, so that no user waits for it
            self._forward(tf.zeros([64, 64, 3], tf.uint8), explain)

    @property
    def threshold(self) -> float:
        """An image is fake if its probability is at least this."""
        return self.info.threshold

    def score(self, data: bytes, explain: bool = False) -> Score:
        """Scores one file; callers on other threads wait for their turn.

        Args:
          data: the file.
          explain: whether to make an explanation, too.

        Raises:
          UploadError: as uploads.decode; or status 503, if too many images wait.
        """
        if not self._slots.acquire(blocking=False):
            waiting = self.limits.max_waiting
            raise UploadError(503, f"busy: {waiting} images wait already; try again in a minute")
        try:
            with self._lock:  # around decoding, too: memory for one image at a time
                return self._forward(uploads.decode(data, self.limits), explain)
        finally:
            self._slots.release()

    def _forward(self, image: tf.Tensor, explain: bool) -> Score:
        """Scores an image, uint8 [h, w, 3]."""
        if not explain:
            return Score(float(self._ensemble(image[None]).mean(axis=0)[0]))
        # Grad-CAM makes the same forward pass, so no other one is needed.
        maps, probabilities = zip(
            *(gradcam.heatmaps(model, image[None]) for model in self._ensemble.members)
        )
        explanation = _explanation(image, np.mean(maps, axis=0)[0])
        return Score(float(np.mean(probabilities)), explanation)


def _explanation(image: tf.Tensor, heatmap: np.ndarray) -> Explanation:
    """Of an image, uint8 [h, w, 3], and its map, float32 [h, w]."""
    picture = _preview(image)
    small = tf.image.resize(heatmap[..., None], picture.shape[:2], antialias=True)
    return Explanation(picture, gradcam.overlay(picture, np.clip(small.numpy()[..., 0], 0, 1)))


def _preview(image: tf.Tensor) -> np.ndarray:
    """Shrinks an image, uint8 [h, w, 3], to at most _PREVIEW_SIDE on a side."""
    scale = _PREVIEW_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image.numpy()
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    smaller = tf.image.resize(image, size, antialias=True)
    return tf.saturate_cast(tf.round(smaller), tf.uint8).numpy()

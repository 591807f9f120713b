"""A detector that answers one image after the other, whoever asks, and says what it is."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.inference import gradcam
from dftk.runs import saved_models
from dftk.serving import provenance, uploads
from dftk.serving.uploads import Limits, Refused

_SHOWN = 512  # longer side in pixels of the pictures that go back to a page


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of one upload: a probability, or an error with its HTTP status.

    picture and overlay are uint8 [h, w, 3], at most _SHOWN on a side; None unless asked for.
    """

    filename: str
    probability: float | None = None
    error: str = ""
    status: int = 200
    picture: np.ndarray | None = None
    overlay: np.ndarray | None = None

    def label(self, threshold: float) -> str:
        """fake, real, or "" where there is no probability."""
        if self.probability is None:
            return ""
        return "fake" if self.probability >= threshold else "real"


class Service:
    """The models of a workdir, or one model file, behind a lock.

    Args:
      model: a workdir, or a .keras file.
      threshold: None is the workdir's own.
      limits: of uploads, and of how many may wait.

    Raises:
      UserError: no such model, or one that cannot be loaded or explained.
    """

    def __init__(self, model: Path, threshold: float | None, limits: Limits):
        self.limits = limits
        self.provenance = provenance.read(model, threshold)
        self._ensemble = saved_models.load_ensemble(saved_models.model_paths(model))
        self._model = threading.Lock()
        self._places = threading.BoundedSemaphore(limits.max_waiting)
        for explain in (False, True):  # traced now, not for users
            self._forward(np.zeros([1, 64, 64, 3], np.uint8), explain)

    @property
    def threshold(self) -> float:
        """Fake when the probability is at least this."""
        return self.provenance.threshold

    def judge(self, filename: str, data: bytes, explain: bool = False) -> Verdict:
        """Scores one file; callers on other threads wait their turn.

        Args:
          filename: for the answer only.
          data: the file.
          explain: also makes the pictures.

        Returns:
          a verdict; what is wrong with the file is in it.
        """
        if not self._places.acquire(blocking=False):
            text = f"busy: {self.limits.max_waiting} images wait already; try again in a minute"
            return Verdict(filename, error=text, status=503)
        try:
            with self._model:  # decoding, too: one image's memory at a time
                return self._judge(filename, uploads.read_image(data, self.limits), explain)
        except Refused as error:
            return Verdict(filename, error=str(error), status=error.status)
        finally:
            self._places.release()

    def _judge(self, filename: str, image: np.ndarray, explain: bool) -> Verdict:
        heat, probability = self._forward(image[None], explain)
        if heat is None:
            return Verdict(filename, probability)
        small = _shrink(image)
        cool = tf.image.resize(heat[0][..., None], small.shape[:2], antialias=True)
        cool = np.clip(cool.numpy()[..., 0], 0, 1)
        return Verdict(filename, probability, picture=small, overlay=gradcam.overlay(small, cool))

    def _forward(self, images: np.ndarray, explain: bool) -> tuple[np.ndarray | None, float]:
        """uint8 [1, h, w, 3] to the mean map, float32 [1, h, w], and the mean probability."""
        if not explain:
            return None, float(self._ensemble(tf.constant(images)).mean(axis=0)[0])
        # Grad-CAM makes the same forward pass: one is enough.
        maps, probabilities = zip(*(gradcam.heatmaps(m, images) for m in self._ensemble.members))
        return np.mean(maps, axis=0), float(np.mean(probabilities))


def _shrink(image: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] with the longer side at most _SHOWN."""
    scale = _SHOWN / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[:2]]
    smaller = tf.image.resize(image, size, antialias=True)
    return tf.saturate_cast(tf.round(smaller), tf.uint8).numpy()

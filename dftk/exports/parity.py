"""Compares an exported detector with the Keras models it came from: what it says, and how fast."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from dftk.runs.saved_models import Ensemble

BATCH = 16  # images of a forward pass at most
_TIMED_BATCH, _ROUNDS = 8, 5
Run = Callable[[np.ndarray], np.ndarray]  # uint8 [b, h, w, 3] to probabilities, float32 [b, 1]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Between two sets of probabilities for the same images.

    largest: of |p - q|; NaN where either is no number. decisions: how many images are fake by one
    and real by the other.
    """

    largest: float
    decisions: int

    def within(self, tolerance: float) -> bool:
        """False for NaN, too."""
        return self.largest <= tolerance


def difference(p: np.ndarray, q: np.ndarray, threshold: float) -> Difference:
    """Of float [n] and float [n]; fake from the threshold on."""
    return Difference(
        float(np.abs(p.astype(np.float64) - q).max()),
        int(((p >= threshold) != (q >= threshold)).sum()),
    )


def as_run(ensemble: Ensemble) -> Run:
    """Keras models as an exported file of them behaves: the mean of the members."""
    return lambda images: ensemble(tf.constant(images)).mean(axis=0)[:, None]


def score(run: Run, images: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities, float32 [n], of images uint8 [h, w, 3]; those of one size share batches."""
    result = np.full(len(images), np.nan, np.float32)
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for position, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(position)
    for positions in by_shape.values():
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            result[batch] = run(np.stack([images[position] for position in batch]))[:, 0]
    return result


def speeds(runs: Mapping[str, Run], images: Sequence[np.ndarray]) -> dict[str, float]:
    """Images per second of each, in turn on the same batch: medians, so that a machine that is
    shared slows all alike.
    """
    shape = images[0].shape
    batch = np.stack([image for image in images if image.shape == shape][:_TIMED_BATCH])
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(_ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(batch)
            if turn:  # the first compiles and allocates
                seconds[name].append(time.perf_counter() - start)
    return {name: len(batch) / statistics.median(taken) for name, taken in seconds.items()}

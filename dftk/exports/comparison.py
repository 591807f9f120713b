"""Compares an exported detector with the Keras models it came from: probabilities and speed."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dftk.runs.saved_models import Ensemble

BATCH = 16  # images of a forward pass at most
_TIMED_BATCH, _ROUNDS = 8, 5
Run = Callable[[np.ndarray], np.ndarray]  # from uint8 [b, h, w, 3] to float32 [b, 1], of fake


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between two sets of probabilities for the same images."""

    largest: float  # |p - q|; NaN if a probability is NaN
    decisions: int  # the number of images that are fake by one and real by the other

    def within(self, tolerance: float) -> bool:
        """Whether the largest difference is at most the tolerance; NaN is not."""
        return self.largest <= tolerance


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How fast an export is, and how far it is from the Keras models, each by name."""

    speeds: dict[str, float]  # images per second, the export's own first
    gaps: dict[str, Difference]
    images: str  # that were compared, in words

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without the speeds, which depend on the machine and the moment."""
        gaps = {name: dataclasses.asdict(gap) for name, gap in self.gaps.items()}
        return {"images": self.images, "difference_to": gaps}

    def text_table(self) -> str:
        """For a terminal."""
        lines = [f"{'':28}{'img/s':>8}{'max |Δp|':>11}{'other verdicts':>17}"]
        for name in {**self.speeds, **self.gaps}:
            speed = f"{self.speeds[name]:8.1f}" if name in self.speeds else " " * 8
            gap = self.gaps.get(name)
            tail = f"{gap.largest:11.1e}{gap.decisions:17}" if gap else ""
            lines.append(f"{name:28}{speed}{tail}")
        return "\n".join([*lines, self.images])


def difference(p: np.ndarray, q: np.ndarray, threshold: float) -> Difference:
    """Compares probabilities, float [n] each. An image is fake from the threshold on."""
    return Difference(
        float(np.abs(p.astype(np.float64) - q).max()),
        int(((p >= threshold) != (q >= threshold)).sum()),
    )


def as_run(ensemble: Ensemble) -> Run:
    """Makes Keras models callable like an exported file: the mean of the members."""
    return lambda images: ensemble(tf.constant(images)).mean(axis=0)[:, None]


def score(run: Run, images: Sequence[np.ndarray]) -> np.ndarray:
    """Scores images, uint8 [h, w, 3] each; those of one size share batches.

    Returns:
      the probabilities of fake, float32 [n].
    """
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
    """Measures images per second on one batch.

    All take turns and the median counts, so that other work on the machine slows all alike.
    """
    shape = images[0].shape
    batch = np.stack([image for image in images if image.shape == shape][:_TIMED_BATCH])
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(_ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(batch)
            if round_:  # the first one compiles and allocates
                seconds[name].append(time.perf_counter() - start)
    return {name: len(batch) / statistics.median(taken) for name, taken in seconds.items()}

"""What the head's BatchNorm normalises with, where training's squares are not what is scored.

Precise BatchNorm in the words of Wu and Johnson 2021 (arXiv:2105.07576, section 3).
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from dftk.models import heads

_DRAW = 2**16  # ends the key; those of dftk.data.batches end on small numbers
_MEASURED = 512  # training images: the mean logit to a twentieth of its standard deviation


def measure(
    head: keras.Model,
    rows: np.ndarray,
    key: Sequence[int],
    features_of: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Measures it on some of the training images as they are, the same ones for the same key.

    Args:
      head: with BatchNorm.
      rows: int64, of the images to train on.
      key: non-negative integers such as (seed, fold).
      features_of: rows, ascending, to what the head sees of them, float32 [n, width].
    """
    drawn = np.random.default_rng([*key, _DRAW]).permutation(rows)[:_MEASURED]
    heads.measure_batchnorm(head, features_of(np.sort(drawn)))

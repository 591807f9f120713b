"""Saved models, applied to a dataset's examples. dftk.inference.stream applies them to files."""

import functools
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dftk.input.residency import Examples
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError

_BATCH = 32  # images of a forward pass


class Ensemble:
    """One or more saved detectors. The ensemble's probability is the mean of the members'."""

    def __init__(self, models: Sequence[keras.Model]):
        self.members = list(models)
        # One function for each member, as their weights differ. All image sizes share a trace.
        spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
        self._forward = [
            tf.function(functools.partial(model, training=False), input_signature=[spec])
            for model in self.members
        ]

    def __call__(self, images: tf.Tensor) -> np.ndarray:
        """Each member's probability of fake, float32 [members, b], of images uint8 [b, h, w, 3]."""
        return np.stack([forward(images).numpy()[:, 0] for forward in self._forward])

    def score(self, examples: Examples, rows: np.ndarray) -> np.ndarray:
        """Each member's probabilities of the given rows, float32 [members, len(rows)]."""
        result = np.full([len(self.members), len(examples.labels)], np.nan, np.float32)
        dataset = examples.batches(rows, batch_size=_BATCH, images=True)
        with examples.translate_data_errors():
            for batch in dataset:
                result[:, batch["index"].numpy()] = self(batch["image"])
        return result[:, rows]


def load_ensemble(paths: Sequence[Path]) -> Ensemble:
    """Loads `.keras` files. Raises what `load_model` raises."""
    return Ensemble([load_model(path) for path in paths])


def load_model(path: Path) -> keras.Model:
    """Loads a saved detector. A file with code in it is refused.

    Raises:
      UserError: the file does not exist or is no detector.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model; dftk.train writes fold_<f>/model.keras")
    if not zipfile.is_zipfile(path):
        # Keras would also open HDF5 files, in which it ignores safe_mode.
        raise UserError(
            f"{path}: not a complete .keras file; give a run's folder or a fold_<f>/model.keras "
            "(if it is one, it is damaged: remove its fold's folder and train the fold again)"
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
    """The path itself if it is no folder; else the models of all finished folds of that workdir.

    Raises:
      UserError: a folder that is no workdir, or one without a finished fold.
    """
    if not model.is_dir():
        return [model]
    workdir = Workdir(model)
    workdir.config()  # raises if this is no workdir
    return [workdir.model_path(fold) for fold in workdir.require_folds()]

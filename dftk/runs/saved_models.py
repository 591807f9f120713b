"""Saved models, on the examples of a dataset; on image files see dftk.inference.stream."""

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
        with examples.translate_data_errors():
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
            f"{path}: not a whole .keras file; give a run's folder or a fold_<f>/model.keras (if "
            "it is one, it is damaged: remove its fold's folder and train it again)"
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

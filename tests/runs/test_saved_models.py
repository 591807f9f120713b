import io
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.datasets import sample
from dftk.input import decoding
from dftk.runs import saved_models
from dftk.utils.errors import UserError


def test_jpegs_are_decoded_exactly():
    data = sample.draw_jpeg(np.random.default_rng(1), fake=True)
    np.testing.assert_array_equal(decoding.decode_image(data), Image.open(io.BytesIO(data)))


def test_models_of_a_workdir_are_its_finished_folds(trained, tmp_path):
    assert saved_models.model_paths(trained.path) == [trained.model_path(0), trained.model_path(3)]
    assert saved_models.model_paths(trained.model_path(0)) == [trained.model_path(0)]
    with pytest.raises(UserError, match=r"no config.json"):
        saved_models.model_paths(tmp_path)


def test_a_file_that_is_no_detector_is_named(tmp_path, trained):
    with pytest.raises(UserError, match=r"nowhere.keras: no such model"):
        saved_models.load_model(tmp_path / "nowhere.keras")
    (tmp_path / "text.keras").write_text("hello")
    with pytest.raises(UserError, match=r"text.keras: not a complete .keras file"):
        saved_models.load_model(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"zip.keras: not a model that Keras can load"):
        saved_models.load_model(tmp_path / "zip.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"other.keras: not a detector"):
        saved_models.load_model(tmp_path / "other.keras")
    shutil.copy(trained.model_path(0), tmp_path / "copy.keras")
    loaded = saved_models.load_model(tmp_path / "copy.keras")
    assert loaded.count_params() == keras.saving.load_model(trained.model_path(0)).count_params()


def test_a_model_file_with_code_in_it_is_refused(tmp_path):
    image = keras.Input((None, None, 3), dtype="uint8")
    code = keras.layers.Lambda(lambda x: tf.zeros([tf.shape(x)[0], 1]), output_shape=(1,))(image)
    keras.Model(image, code).save(tmp_path / "code.keras")
    with pytest.raises(UserError, match=r"code.keras: not a model that Keras can load"):
        saved_models.load_model(tmp_path / "code.keras")

import io
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.config import UserError
from dftk.data import sample
from dftk.evaluation import scoring


@pytest.fixture(scope="module")
def ensemble(trained):
    return scoring.load_ensemble(scoring.model_paths(trained.path))


@pytest.fixture
def folder(tmp_path):
    """Images of several sizes and formats, broken files among them, a folder below."""
    rng = np.random.default_rng(0)
    for index in range(5):
        jpeg = sample.draw_jpeg(np.random.default_rng(index), fake=index % 2 == 1)
        (tmp_path / f"{index}.jpg").write_bytes(jpeg)
    (tmp_path / "below").mkdir()
    noise = rng.integers(0, 256, (40, 50, 4), np.uint8)
    Image.fromarray(noise, "RGBA").save(tmp_path / "below" / "a.png")
    Image.fromarray(noise[..., 0], "L").save(tmp_path / "below" / "b.JPG")
    (tmp_path / "2b_empty.jpg").write_bytes(b"")
    (tmp_path / "3b_cut.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:500])
    (tmp_path / "notes.txt").write_text("not an image by name")
    return tmp_path


def names(scores):
    return [score.path.name for score in scores]


def test_every_file_is_answered_in_order_bad_ones_with_a_reason(ensemble, folder):
    scores = list(scoring.score_files(ensemble, scoring.find_images([folder, folder / "gone.jpg"])))
    assert names(scores) == [
        "0.jpg", "1.jpg", "2.jpg", "2b_empty.jpg", "3.jpg", "3b_cut.jpg", "4.jpg", "a.png", "b.JPG",
        "gone.jpg",
    ]  # fmt: skip
    errors = {score.path.name: score.error for score in scores if score.error}
    assert errors == {
        "2b_empty.jpg": "empty file",
        "3b_cut.jpg": "not a readable JPEG, PNG, GIF or BMP image",
        "gone.jpg": "No such file or directory",
    }
    assert all(0 <= score.probability <= 1 for score in scores if not score.error)


def test_a_probability_belongs_to_its_file_whatever_its_neighbours(ensemble, folder):
    """The notebook filtered its list and then paired names by position."""
    together = {
        score.path: score.probability
        for score in scoring.score_files(ensemble, scoring.find_images([folder]))
        if not score.error
    }
    for path, probability in together.items():
        (alone,) = scoring.score_files(ensemble, [path])
        assert alone.probability == pytest.approx(probability, abs=1e-5)


def test_a_file_is_scored_as_the_same_image_was_in_training(ensemble, dataset, examples, tmp_path):
    record = next(iter(tf.data.TFRecordDataset(dataset.train[0].path))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    (tmp_path / "x.jpg").write_bytes(features["image"].bytes_list.value[0])
    (score,) = scoring.score_files(ensemble, [tmp_path / "x.jpg"])
    members = ensemble.score(examples, np.array([0]))
    assert score.probability == pytest.approx(float(members.mean()), abs=1e-6)


def test_jpegs_are_decoded_exactly(folder):
    data = (folder / "1.jpg").read_bytes()
    np.testing.assert_array_equal(scoring.decode_image(data), Image.open(io.BytesIO(data)))


def test_a_directory_without_images_is_an_error(tmp_path):
    (found,) = scoring.find_images([tmp_path])
    assert "no .jpg, .jpeg, .png, .bmp, .gif file in it" in found.error


def test_models_of_a_workdir_are_its_finished_folds(trained, tmp_path):
    assert scoring.model_paths(trained.path) == [trained.model_path(0), trained.model_path(3)]
    assert scoring.model_paths(trained.model_path(0)) == [trained.model_path(0)]
    with pytest.raises(UserError, match=r"no config.json"):
        scoring.model_paths(tmp_path)


def test_a_file_that_is_no_detector_is_named(tmp_path, trained):
    with pytest.raises(UserError, match=r"nowhere.keras: no such model"):
        scoring.load_model(tmp_path / "nowhere.keras")
    (tmp_path / "text.keras").write_text("hello")
    with pytest.raises(UserError, match=r"text.keras: not a whole .keras file"):
        scoring.load_model(tmp_path / "text.keras")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"zip.keras: not a model that Keras can load"):
        scoring.load_model(tmp_path / "zip.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match=r"other.keras: not a detector"):
        scoring.load_model(tmp_path / "other.keras")
    shutil.copy(trained.model_path(0), tmp_path / "copy.keras")
    assert scoring.load_model(tmp_path / "copy.keras").count_params() > 2e7


def test_a_model_file_with_code_in_it_is_refused(tmp_path):
    image = keras.Input((None, None, 3), dtype="uint8")
    code = keras.layers.Lambda(lambda x: tf.zeros([tf.shape(x)[0], 1]), output_shape=(1,))(image)
    keras.Model(image, code).save(tmp_path / "code.keras")
    with pytest.raises(UserError, match=r"code.keras: not a model that Keras can load"):
        scoring.load_model(tmp_path / "code.keras")


def test_verdict_pictures_are_named_after_the_path(ensemble, folder, tmp_path):
    (score,) = scoring.score_files(ensemble, [folder / "below" / "a.png"])
    scoring.draw_verdict(score, tmp_path / "plots", 0.5)
    (picture,) = (tmp_path / "plots").iterdir()
    assert picture.name.endswith("below__a.png.png")
    with pytest.raises(UserError, match="--plot="):
        scoring.draw_verdict(score, folder / "0.jpg", 0.5)

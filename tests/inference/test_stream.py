import itertools
import threading
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.datasets import sample
from dftk.images import image_files
from dftk.images.image_files import UnreadableImage
from dftk.inference import stream
from dftk.inference.batch_scoring import Prediction
from dftk.input import decoding
from dftk.runs import saved_models
from dftk.utils.progress import Throughput


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


def test_every_file_is_answered_in_order_bad_ones_with_a_reason(small_ensemble, folder):
    found = image_files.find_images([folder, folder / "gone.jpg"])
    scores = list(stream.score_files(small_ensemble, found, max_pixels=64 * 64))
    assert names(scores) == [
        "0.jpg", "1.jpg", "2.jpg", "2b_empty.jpg", "3.jpg", "3b_cut.jpg", "4.jpg", "a.png", "b.JPG",
        "gone.jpg",
    ]  # fmt: skip
    errors = {
        score.path.name: score.reason for score in scores if isinstance(score, UnreadableImage)
    }
    assert errors == {
        "2b_empty.jpg": "empty file",
        "3b_cut.jpg": "not a readable JPEG, PNG, GIF or BMP image",
        "gone.jpg": "No such file or directory",
    }
    assert all(0 <= score.probability <= 1 for score in scores if isinstance(score, Prediction))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_a_probability_belongs_to_its_file_whatever_its_neighbours(
    small_ensemble, folder, batch_size
):
    """The notebook filtered its list and then paired names by position."""
    scores = stream.score_files(small_ensemble, image_files.find_images([folder]), batch_size)
    together = {score.path: score.probability for score in scores if isinstance(score, Prediction)}
    assert len(set(together.values())) == len(together) == 7
    for path, probability in together.items():
        image = decoding.decode_image(path.read_bytes())[None]
        assert small_ensemble(image).mean() == pytest.approx(probability, abs=1e-5)


def test_a_file_is_scored_as_the_same_image_was_in_training(trained, dataset, examples, tmp_path):
    ensemble = saved_models.load_ensemble([trained.model_path(0)])
    record = next(iter(tf.data.TFRecordDataset(dataset.train[0].path))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    (tmp_path / "x.jpg").write_bytes(features["image"].bytes_list.value[0])
    (score,) = stream.score_files(ensemble, [tmp_path / "x.jpg"])
    members = ensemble.score(examples, np.array([0]))
    assert score.probability == pytest.approx(float(members.mean()), abs=1e-6)


def test_batches_are_full_though_errors_lie_between(small_ensemble, folder):
    speed = Throughput()
    files = sorted(folder.glob("*.jpg")) * 20  # 5 good ones of 7
    scores = list(stream.score_files(small_ensemble, files, 20, speed=speed))
    assert names(scores) == [path.name for path in files]
    assert (speed.steps, speed.examples) == (4, 80), "five batches of 20; the first one compiles"


def test_files_are_found_no_further_ahead_than_memory_allows(small_ensemble, folder):
    """An endless tree: what is held does not grow, and stopping early ends the threads."""
    taken = itertools.count()
    endless = (folder / f"{next(taken) % 5}.jpg" for _ in itertools.count())
    scores = stream.score_files(small_ensemble, endless, batch_size=8)
    ahead = []
    tracemalloc.start()
    for position in range(400):
        next(scores)
        ahead.append(int(repr(taken)[6:-1]) - position)
        if position == 100:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    before = threading.active_count()
    scores.close()
    assert threading.active_count() < before
    assert max(ahead) < 150
    assert late < early + 2**20


def test_an_error_is_not_held_back_for_long(small_ensemble, folder):
    """Nothing but errors: no batch ever fills."""
    bad = itertools.repeat(folder / "2b_empty.jpg")
    scores = stream.score_files(small_ensemble, bad, batch_size=4)
    assert {score.reason for score in itertools.islice(scores, 100)} == {"empty file"}
    scores.close()


def test_errors_of_the_walk_are_handed_through(small_ensemble, folder):
    error = UnreadableImage(folder, "no image in it")
    first, second = stream.score_files(small_ensemble, [error, folder / "0.jpg"])
    assert first is error
    assert isinstance(second, Prediction)

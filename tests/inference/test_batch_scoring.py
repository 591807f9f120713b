import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dftk.images.image_files import UnreadableImage
from dftk.images.reading import ImageFile
from dftk.inference import batch_scoring
from dftk.runs.saved_models import Ensemble
from dftk.utils.progress import Throughput
from tfds_rvf10k.inspection import image_header

SIZES = [(64, 64), (64, 64), (30, 80), (700, 600), (64, 64), (30, 80), (601, 700)]
LARGE = [600 in size or 601 in size for size in SIZES]


def image_file(size, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return ImageFile(f"{seed}.png", image_header.pixels(file.getvalue()), file.getvalue()), noise


@pytest.fixture(scope="module")
def files():
    return [image_file(size, seed) for seed, size in enumerate(SIZES)]


def native(seed):
    """A detector that takes images as they are, whatever their size."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((None, None, 3), dtype="uint8")
    tensor = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    logit = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(tensor))
    return keras.Model(image, keras.layers.Activation("sigmoid")(logit))


def test_images_of_many_sizes_get_what_each_gets_alone(small_ensemble, files):
    scorer = batch_scoring.BatchScorer(small_ensemble, Throughput())
    error = UnreadableImage("bad.png", "broken")
    items = [scorer.prepare(file) for file, _ in files]
    assert [isinstance(item, batch_scoring.ResizedImage) for item in items] == LARGE
    scores = scorer.score([*items[:3], error, *items[3:]])
    assert [score.path for score in scores] == [
        "0.png", "1.png", "2.png", "bad.png", "3.png", "4.png", "5.png", "6.png"
    ]  # fmt: skip
    assert scores.pop(3) is error
    for score, (_, noise) in zip(scores, files):
        alone = small_ensemble(tf.constant(noise[None]))[:, 0]
        assert score.members == pytest.approx(alone, abs=1e-5)
        assert score.probability == pytest.approx(alone.mean(), abs=1e-5)
    assert len({score.probability for score in scores}) == len(scores), "nothing was mixed up"


def test_sizes_share_one_pass_of_the_network(small_ensemble, files, monkeypatch):
    scorer = batch_scoring.BatchScorer(small_ensemble, Throughput())
    batches = []
    for member in scorer._members:
        real = member.classify
        monkeypatch.setattr(
            member, "classify", lambda unit, real=real: batches.append(unit.shape[0]) or real(unit)
        )
    scorer.score([scorer.prepare(file) for file, _ in files])
    assert batches == [len(SIZES)] * 2


def test_networks_that_take_images_as_they_are_get_them_so(files, small_ensemble):
    for ensemble in (Ensemble([native(0)]), Ensemble([native(0), small_ensemble.members[0]])):
        scorer = batch_scoring.BatchScorer(ensemble, Throughput())
        items = [scorer.prepare(file) for file, _ in files]
        assert [isinstance(item, ImageFile) for item in items] == LARGE
        for score, (_, noise) in zip(scorer.score(items), files):
            alone = ensemble(tf.constant(noise[None]))[:, 0]
            assert score.members == pytest.approx(alone, abs=1e-5)


def test_a_large_file_that_is_damaged_is_an_error_when_its_turn_comes(files):
    scorer = batch_scoring.BatchScorer(Ensemble([native(0)]), Throughput())
    whole = files[3][0]
    cut = ImageFile(whole.path, whole.num_pixels, whole.data[:2000])
    first, second = scorer.score([scorer.prepare(cut), scorer.prepare(whole)])
    assert "not a readable" in first.reason
    assert 0 <= second.probability <= 1


def test_the_first_batch_compiles_the_others_are_counted(small_ensemble, files):
    speed = Throughput()
    scorer = batch_scoring.BatchScorer(small_ensemble, speed)
    items = [scorer.prepare(file) for file, _ in files]
    scorer.score(items)
    assert speed.examples == 0
    assert speed.compile_seconds > 0
    scorer.score([])
    scorer.score(items)
    assert (speed.examples, speed.steps) == (len(SIZES), 1)
    assert 0 <= speed.input_wait < 1


def test_no_memory_to_resize_a_large_image_is_its_own_error(small_ensemble, files, monkeypatch):
    scorer = batch_scoring.BatchScorer(small_ensemble, Throughput())

    def fail(_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(scorer._members[0], "resize", fail)
    item = scorer.prepare(files[3][0])
    assert item.reason == "no memory to decode its 420,000 pixels; score a smaller copy of it"

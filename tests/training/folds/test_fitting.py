"""Folds of a fitted head: reals alone, the same bits again, and what 0.5 means."""

import keras
import numpy as np
import pytest

from dftk.evaluation.stats import metrics
from dftk.input import residency
from dftk.models import registry
from dftk.models.backbones.catalog import FITTED
from dftk.models.heads import one_class
from dftk.runs.saved_models import Ensemble
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.folds import fitting
from dftk.training.step.context import TrainingContext
from dftk.utils.errors import UserError

GIVEN = {**FITTED, "model": "cnn", "head": "pca", "image_size": 32, "dataset": "sample"}
TIMES = ("examples_per_s", "seconds")


@pytest.fixture(scope="module", autouse=True)
def few_components():
    """On 32 images of a small network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_class, "COMPONENTS", 16)
        yield


def make(examples, **given):
    config = resolve({**GIVEN, **given})
    detector = registry.build(config, "float32", False)
    return fitting.OneClassTrainer(
        TrainingContext.create(
            config=config,
            devices=devices_lib.choose(config),
            detector=detector,
            examples=examples,
        )
    )


@pytest.fixture(scope="module")
def trainer(examples):
    return make(examples)


def scores(result):
    return np.array([row["probability"] for row in result.predictions])


def test_a_fold_fitted_again_gives_the_same(trainer, examples):
    first, other = trainer.run(1, None), trainer.run(2, None)
    for again in (trainer.run(1, None), make(examples).run(1, None)):
        assert again.predictions == first.predictions
        kept = [{k: v for k, v in r.history[0].items() if k not in TIMES} for r in (again, first)]
        assert kept[0] == kept[1]
    assert {row["fold"] for row in other.predictions} == {2}
    assert not set(scores(first)) & set(scores(other))


def test_no_fake_and_no_held_out_image_has_a_part(trainer, examples, monkeypatch):
    seen, real = [], one_class.Residual.fit

    def fit(self, features, seed):
        seen.append(features)
        return real(self, features, seed)

    monkeypatch.setattr(one_class.Residual, "fit", fit)
    trainer.run(3, None)
    rows = np.flatnonzero((examples.labels == 0) & (examples.folds != 3))
    known = {row.tobytes() for row in trainer._frozen.features_of(rows)}
    (features,) = seen
    assert len(features) == int(0.8 * len(rows))
    assert {row.tobytes() for row in features} <= known


def test_one_row_of_history_that_says_what_the_predictions_say(trainer):
    result = trainer.run(0, None)
    (row,) = result.history
    assert (row["phase"], row["epoch"], row["learning_rate"]) == ("fit", 1, 0.0)
    labels = np.array([one["label"] for one in result.predictions])
    assert row["val_auc"] == pytest.approx(metrics.auc(labels, scores(result)))
    assert row["val_accuracy"] == pytest.approx(np.mean((scores(result) >= 0.5) == labels))
    assert 0.5 < row["accuracy"] < 1, "of real images, of which few are called fake"
    assert {"fit"} <= set(result.throughput) <= {"features", "fit"}  # made by the first fold


def test_the_saved_model_gives_the_predictions_again(trainer, examples, tmp_path):
    result = trainer.run(4, None)
    trainer.detector.model.save(tmp_path / "model.keras")
    saved = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    (found,) = Ensemble([saved]).score(examples, examples.rows([4]))
    np.testing.assert_allclose(found, scores(result), atol=1e-4)


def test_inside_and_outside_rank_the_other_way_round(trainer, examples):
    inside, outside = (one.run(1, None) for one in (trainer, make(examples, fakes_lie="outside")))
    aucs = [result.history[0]["val_auc"] for result in (inside, outside)]
    assert sum(aucs) == pytest.approx(1, abs=1e-3)
    assert aucs[0] != aucs[1]


def test_a_twentieth_of_other_reals_is_called_fake_and_the_middle_one_is_surely_not():
    drawn = np.random.default_rng(0).gamma(3, 50, 2001)
    slope, shift = fitting.calibrate(drawn)
    probability = 1 / (1 + np.exp(-(slope * drawn + shift)))
    assert np.mean(probability >= 0.5) == pytest.approx(0.05, abs=1e-3)
    assert np.median(probability) == pytest.approx(0.05)
    assert np.isfinite(fitting.calibrate(np.ones(30))).all()


def test_too_few_real_images_are_one_line(dataset):
    examples = residency.open_examples(residency.limit_examples(dataset.train, 20), "ram")
    with pytest.raises(UserError, match=r"fold 0: \d+ real images .* too few for --head=pca"):
        make(examples).run(0, None)


def test_the_seed_decides(trainer, examples):
    other = make(examples)
    other._config = other._config.replaced(seed=7)
    assert not np.array_equal(scores(other.run(1, None)), scores(trainer.run(1, None)))

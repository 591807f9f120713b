import dataclasses
import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from quick_run import quick_config
from scipy.special import logit

from dftk.input import batches
from dftk.models import registry
from dftk.models.heads import trained as heads
from dftk.training.devices import devices
from dftk.training.folds import fold
from dftk.training.folds.held_out import HeldOutFold
from dftk.training.resume.checkpoint import Checkpoints
from dftk.training.step.context import TrainingContext
from dftk.utils.errors import UserError


def make(config, examples):
    chosen = devices.choose(config)
    with chosen.strategy.scope():
        detector = registry.build(config, chosen.policy, False)
    return fold.FoldTrainer(
        TrainingContext.create(config=config, devices=chosen, detector=detector, examples=examples)
    )


@pytest.fixture
def saved(tmp_path):
    """A function that gives each run an empty folder of checkpoints."""
    numbers = itertools.count()
    return lambda: Checkpoints(tmp_path / str(next(numbers)))


@pytest.fixture(scope="module")
def trainer(data_dir, examples):
    config = quick_config(data_dir).replaced(finetune_epochs=0, frozen_epochs=4,
                                 frozen_stop=2, frozen_plateau=1, frozen_lr=3e-3)  # fmt: skip
    return make(config, examples)


def test_a_fold_trained_twice_is_bit_identical_and_traced_once(trainer, saved):
    first, _, again = (trainer.run(number, saved()) for number in (1, 2, 1))
    assert again.predictions == first.predictions
    strip = [
        [{k: v for k, v in row.items() if k not in ("examples_per_s", "input_wait", "seconds")}
         for row in result.history] for result in (first, again)
    ]  # fmt: skip
    assert strip[0] == strip[1]
    assert [train_loop.traces for train_loop in trainer.phases.values()] == [1]


def test_a_fold_never_trains_on_what_it_predicts(trainer, saved, examples, monkeypatch):
    trained_on = []
    real = batches.Batcher.__call__

    def recorded(self, rows, **options):
        if options.get("shuffle"):
            trained_on.append(set(rows.tolist()))
        return real(self, rows, **options)

    monkeypatch.setattr(batches.Batcher, "__call__", recorded)
    result = trainer.run(4, saved())
    held_out = set(np.flatnonzero(examples.folds == 4).tolist())
    assert {row["filename"] for row in result.predictions} == set(
        examples.filenames[sorted(held_out)]
    )
    assert trained_on
    for rows in trained_on:
        assert not rows & held_out
        assert rows | held_out == set(range(400))


def test_patience_halves_the_rate_ends_the_phase_and_brings_the_best_weights_back(
    trainer, saved, monkeypatch
):
    val_losses = iter([0.5, 0.7, 0.6, 0.9])
    kernels = []

    def scripted(*_, **__):
        kernels.append(trainer.detector.head.get_weights()[0])
        return {"val_loss": next(val_losses), "val_accuracy": 0.5, "val_auc": 0.5}

    monkeypatch.setattr(HeldOutFold, "validate", scripted)
    history = trainer.run(0, saved()).history
    assert [row["val_loss"] for row in history] == [0.5, 0.7, 0.6]
    assert [row["learning_rate"] for row in history] == [3e-3, 3e-3, 1.5e-3]
    np.testing.assert_array_equal(trainer.detector.head.get_weights()[0], kernels[0])
    assert not np.array_equal(kernels[0], kernels[2])


def test_a_loss_that_is_no_number_stops_with_the_epoch_and_the_rate(data_dir, saved, examples):
    config = quick_config(data_dir).replaced(finetune_epochs=0, frozen_lr=1e30)
    trainer = make(config, examples)
    with pytest.raises(UserError, match=r"learning rate .*1e\+30"):
        trainer.run(0, saved())


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            {"image_size": 48, "crop_size": 32, "frozen_epochs": 0, "finetune_epochs": 2},
            id="squares",
        ),
        pytest.param(
            {
                "frozen_features": "cached",
                "augment": False,
                "frozen_epochs": 2,
                "finetune_epochs": 0,
                "temperature_scaling": True,
            },
            id="kept features",
        ),
    ],
)
def test_the_heads_batchnorm_is_measured_on_whole_training_images(
    given, data_dir, examples, saved, monkeypatch
):
    chosen = {"head": "linear", "head_batchnorm": "precise",
              "keep": "last"}  # fmt: skip
    config = quick_config(data_dir).replaced(**chosen, **given)
    trainer, seen, measure = make(config, examples), [], heads.measure_batchnorm

    def measured(head, by):
        seen.append(by)
        rows = examples.rows([0, 2, 3, 4])
        expected = trainer._context.forward.features(examples, rows, 32)
        np.testing.assert_allclose(by, expected, rtol=1e-3, atol=1e-4)
        measure(head, by)

    monkeypatch.setattr(heads, "measure_batchnorm", measured)
    if config.frozen_features == "cached":
        statistics = trainer._head_statistics
        logits_alone = SimpleNamespace(logits=trainer._context.forward.logits)
        context = dataclasses.replace(statistics._context, forward=logits_alone)
        monkeypatch.setattr(statistics, "_context", context)  # kept features are not computed again
    trainer.run(1, saved())
    assert len(seen) == 2, "after each epoch"
    moved = not np.array_equal(*seen)
    assert moved == (config.finetune.epochs > 0)
    expected = seen[1]
    found = trainer.detector.head.get_layer("standardise").moving_mean
    np.testing.assert_allclose(found, expected.mean(axis=0), rtol=1e-3, atol=1e-4)


def test_a_temperature_divides_the_logits_and_nothing_else(data_dir, examples, saved, capfd):
    """Twice: where the second fold ended must not be where the first had begun."""
    config = quick_config(data_dir).replaced(model="cnn", frozen_epochs=0, finetune_lr=3e-4)
    scaled = config.replaced(temperature_scaling=True)
    plain, divided = make(config, examples), make(scaled, examples)
    statistics = divided._head_statistics
    fitted_on, feature_batches = [], statistics._feature_batches
    statistics._feature_batches = lambda rows, base_trained: (
        fitted_on.append(rows) or feature_batches(rows, base_trained)
    )
    for number in (1, 1):
        logits, fewer = (
            logit([row["probability"] for row in trainer.run(number, saved()).predictions])
            for trainer in (plain, divided)
        )
        said = re.search(
            r"fold 1  temperature  (\S+), fitted on 320 training", capfd.readouterr().err
        )
        assert 1 / 16 < float(said[1]) < 16
        assert float(said[1]) != pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(logits / fewer, float(said[1]), rtol=1e-2)
        np.testing.assert_array_equal(fitted_on.pop(), examples.rows([0, 2, 3, 4]))

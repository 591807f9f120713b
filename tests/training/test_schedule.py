import keras
import numpy as np
import pytest

from dftk.training import schedule
from dftk.training.config import resolve
from dftk.training.phase_config import PhaseConfig
from dftk.utils.errors import UsageError


class Trained:
    """What a Keras callback needs of a model: an optimizer with a learning rate, and weights."""

    def __init__(self, rate):
        self.optimizer = keras.optimizers.Adam(rate)
        self.stop_training = False

    def get_weights(self):
        return []

    def set_weights(self, weights):
        pass


def keras_says(val_losses, rate, factor, patience, floor, stop):
    """Learning rate after each epoch, and the epoch that stopped, by Keras's own callbacks."""
    model = Trained(rate)
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("val_loss", factor, patience, min_lr=floor),
        keras.callbacks.EarlyStopping("val_loss", patience=stop),
    ]
    rates = []
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, val_loss in enumerate(val_losses):
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"val_loss": val_loss})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    return rates


def dftk_says(val_losses, rate, factor, patience, floor, stop):
    plateau, early = schedule.PlateauRate(rate, factor, patience, floor), schedule.EarlyStop(stop)
    rates = []
    for val_loss in val_losses:
        rates.append(plateau.update(val_loss))
        if early.update(val_loss):
            break
    return rates


@pytest.mark.parametrize("seed", range(20))
def test_rates_and_stops_are_those_of_the_keras_callbacks(seed):
    rng = np.random.default_rng(seed)
    noise = rng.choice([0.0, 5e-5, 2e-4, 0.1], 60)
    val_losses = np.exp(-np.arange(60) / 10) + 0.3 + noise * rng.standard_normal(60)
    options = {
        "rate": 1e-3,
        "factor": 0.5,
        "patience": int(rng.integers(1, 6)),
        "floor": 1e-5 if seed % 3 else 1e-2,  # also a floor above the rate, which must not rise
        "stop": int(rng.integers(2, 15)),
    }
    np.testing.assert_allclose(
        dftk_says(val_losses, **options), keras_says(val_losses, **options), rtol=1e-6
    )


def test_phases_are_the_promised_two():
    frozen, finetune = schedule.phases(resolve({}))
    assert (frozen.name, frozen.epochs, frozen.config.lr) == ("frozen", 20, 1e-3)
    assert (frozen.config.stop, frozen.config.plateau, frozen.train_base) == (10, 4, False)
    assert (finetune.name, finetune.epochs, finetune.config.lr) == ("finetune", 30, 1e-5)
    assert (finetune.config.stop, finetune.config.plateau, finetune.train_base) == (15, 7, True)


def test_a_phase_without_epochs_is_left_out():
    assert [p.name for p in schedule.phases(resolve({"frozen_epochs": 0}))] == ["finetune"]


def test_seed_recipe_never_unfreezes():
    assert not any(phase.train_base for phase in schedule.phases(resolve({"recipe": "seed"})))


def test_a_cosine_runs_its_epochs_whatever_val_loss_does():
    config = resolve({"decay": "cosine", "warmup": 9, "frozen_epochs": 12})
    phase = schedule.phases(config)[0]
    assert (phase.cosine, phase.warmup) == (True, 9)
    rate, stop = schedule.plateau_and_stop(phase, config)
    assert [rate.update(1.0) for _ in range(12)] == [1e-3] * 12
    assert not any(stop.update(1.0) for _ in range(12))


def test_a_rest_of_a_cosine_goes_on_where_it_was():
    four = PhaseConfig(epochs=4, lr=1e-3, stop=9, plateau=9)
    phase = schedule.Phase("finetune", four, train_base=True, warmup=5, cosine=True)
    assert schedule.rate_schedule(phase, 1e-3, 17, 10) == (1e-3, 17.0, 5.0, 35.0)
    still = schedule.Phase("finetune", four, train_base=True)
    assert schedule.rate_schedule(still, 5e-4, 17, 10) == (5e-4, 17.0, 0.0, float("inf"))


def test_a_warm_up_that_never_ends_is_refused():
    (phase,) = schedule.phases(resolve({"frozen_epochs": 0, "finetune_epochs": 2, "warmup": 20}))
    with pytest.raises(UsageError, match="--warmup=20: the phase finetune has 20 steps"):
        schedule.check_warmup(phase, 10)
    schedule.check_warmup(phase, 11)
    assert schedule.rate_schedule(phase, 1e-3, 0, 11).warmup == 20

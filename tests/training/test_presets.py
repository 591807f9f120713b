import dataclasses

import pytest

from dftk.training import presets
from dftk.training.config import Config, resolve
from dftk.training.presets import MODELS
from dftk.utils.errors import UsageError

DEFAULT = dataclasses.asdict(Config())


@pytest.mark.parametrize("table", [MODELS, presets.SAMPLE, presets.RECIPES])
def test_only_fields_that_there_are(table):
    for given in table.values():
        assert given.keys() <= DEFAULT.keys()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_resolves_to_what_it_brings(model):
    found = dataclasses.asdict(resolve({"model": model}))
    assert found == {**DEFAULT, "model": model, **MODELS[model]}


def test_every_level_rests_on_its_networks_own_range():
    for name, given in presets.NETWORKS.items():
        assert MODELS[f"{name}_multilevel"] == {**given, **presets.MULTILEVEL}
    config = resolve({"model": "convnext_tiny_multilevel"})
    assert (config.scaling, config.frozen_features, config.finetune_epochs) == (
        "imagenet", "cached", 0,
    )  # fmt: skip


def test_words_are_flags_without_dashes():
    assert presets.words({"l2": 0.01, "weights": "none"}) == "l2=0.01 weights=none"


def test_the_cnn_trains_from_scratch_in_one_phase_on_256_pixels():
    cnn = dataclasses.asdict(resolve({"model": "cnn"}))
    differ = {name: value for name, value in cnn.items() if value != DEFAULT[name]}
    assert differ == {"model": "cnn", **MODELS["cnn"]}
    assert (cnn["frozen_epochs"], cnn["image_size"]) == (0, 256)
    drawn = resolve({"model": "cnn", "dataset": "sample"})
    assert (drawn.frozen_epochs, drawn.image_size, drawn.weights) == (0, 64, "none")


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_run_of_the_sample_without_a_download(model):
    config = resolve({"model": model, "dataset": "sample"})
    assert (config.weights, config.image_size, config.crop_size) == ("none", 64, 0)
    assert config.warmup == 0


@pytest.mark.parametrize("model", [*presets.NETWORKS, "xception_multilevel", "vit_multilevel"])
def test_best_is_the_same_schedule_for_every_network_that_takes_squares(model):
    given = {"recipe": "best", "model": model}
    if model in presets.ONE_SIZE:
        with pytest.raises(UsageError, match="--crop_size=128 --model=vit"):
            resolve({**given, "weights": "none"})
        return
    found, best = resolve(given), resolve({"recipe": "best"})
    assert best.model == "mobilenetv2_multilevel"
    differ = {name for name in DEFAULT if getattr(found, name) != getattr(best, name)}
    assert differ <= {"model", "scaling"}


def test_best_on_the_sample_fits_its_pictures():
    config = resolve({"recipe": "best", "dataset": "sample"})
    assert (config.image_size, config.crop_size, config.warmup) == (64, 0, 0)
    assert config.weights == "none"

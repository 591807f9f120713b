import pytest

from dftk.models.backbones.catalog import ARCHITECTURES, MODELS, MULTILEVEL, PRETRAINED
from dftk.training.config import Config, resolve
from dftk.training.recipes import RECIPES, SAMPLE
from dftk.utils.errors import UsageError

DEFAULT = Config().values()


@pytest.mark.parametrize(
    "table", [{name: model.defaults for name, model in MODELS.items()}, SAMPLE, RECIPES]
)
def test_only_fields_that_there_are(table):
    for given in table.values():
        assert given.keys() <= DEFAULT.keys()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_resolves_to_what_it_brings(model):
    found = resolve({"model": model}).values()
    assert found == {**DEFAULT, "model": model, **MODELS[model].defaults}


def test_every_level_rests_on_its_networks_own_range():
    for name in PRETRAINED:
        defaults = {**ARCHITECTURES[name].defaults, **MULTILEVEL}
        assert MODELS[f"{name}_multilevel"].defaults == defaults
    config = resolve({"model": "convnext_tiny_multilevel"})
    assert (config.model.scaling, config.frozen_features, config.finetune.epochs) == (
        "imagenet", "cached", 0,
    )  # fmt: skip


def test_the_cnn_trains_from_scratch_in_one_phase_on_256_pixels():
    cnn = resolve({"model": "cnn"}).values()
    differ = {name: value for name, value in cnn.items() if value != DEFAULT[name]}
    assert differ == {"model": "cnn", **MODELS["cnn"].defaults}
    assert (cnn["frozen_epochs"], cnn["image_size"]) == (0, 256)
    drawn = resolve({"model": "cnn", "dataset": "sample"})
    assert (drawn.frozen.epochs, drawn.model.image_size, drawn.model.weights) == (0, 64, "none")


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_run_of_the_sample_without_a_download(model):
    config = resolve({"model": model, "dataset": "sample"})
    model = config.model
    assert (model.weights, model.image_size, config.augment.crop_size) == ("none", 64, 0)
    assert config.warmup == 0


@pytest.mark.parametrize("model", [*PRETRAINED, "xception_multilevel", "vit_multilevel"])
def test_best_is_the_same_schedule_for_every_network_that_takes_squares(model):
    given = {"recipe": "best", "model": model}
    if MODELS[model].architecture == "vit":
        with pytest.raises(UsageError, match="--crop_size=128 --model=vit"):
            resolve({**given, "weights": "none"})
        return
    found, best = resolve(given), resolve({"recipe": "best"})
    assert best.model.name == "mobilenetv2_multilevel"
    differ = {name for name, value in found.values().items() if value != best.values()[name]}
    assert differ <= {"model", "scaling"}


def test_best_on_the_sample_fits_its_pictures():
    config = resolve({"recipe": "best", "dataset": "sample"})
    assert (config.model.image_size, config.augment.crop_size, config.warmup) == (64, 0, 0)
    assert config.model.weights == "none"

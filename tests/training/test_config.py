import dataclasses

import pytest

from dftk.training.config import Config, as_flags, resolve
from dftk.utils.errors import UsageError
from dftk.utils.option import flags_of

# The contract with users: a change here is a change for everyone's scripts.
FLAGS = {
    "dataset": "rvf10k",
    "data_dir": None,
    "folds": 5,
    "max_examples": None,
    "stored_size": None,
    "cache": "auto",
    "recipe": "default",
    "model": "xception",
    "weights": "imagenet",
    "image_size": 224,
    "scaling": "symmetric",
    "head": "dense",
    "fakes_lie": "inside",
    "dropout": 0.3,
    "l2": 1e-4,
    "augment": True,
    "augment_colour": True,
    "augment_compression": False,
    "crop_size": 0,
    "batch_size": 32,
    "frozen_epochs": 20,
    "frozen_features": "live",
    "frozen_lr": 1e-3,
    "frozen_stop": 10,
    "frozen_plateau": 4,
    "finetune_epochs": 30,
    "finetune_lr": 1e-5,
    "finetune_stop": 15,
    "finetune_plateau": 7,
    "finetune_base": True,
    "freeze_blocks": 0,
    "layer_decay": 1.0,
    "label_smoothing": 0.0,
    "warmup": 0,
    "decay": "plateau",
    "lr_factor": 0.5,
    "min_lr": 1e-7,
    "keep": "best",
    "temperature_scaling": False,
    "base_batchnorm": "inference",
    "head_batchnorm": "moving",
    "batchnorm_momentum": 0.99,
    "jit": "auto",
    "seed": 42,
    "mixed_precision": False,
}


def test_defaults_are_the_promised_schedule():
    assert resolve({}).values() == FLAGS


def test_every_flag_has_a_help_text_with_all_words_filled_in():
    assert [flag.name for flag in flags_of(Config) if len(flag.help) < 6 or "{" in flag.help] == []


def test_seed_recipe_changes_only_the_notebooks_faults():
    seed = resolve({"recipe": "seed"}).values()
    differ = {name for name, value in seed.items() if value != FLAGS[name]}
    assert differ == {"recipe", "scaling", "finetune_base"}
    assert seed["scaling"] == "unit"
    assert seed["finetune_base"] is False


def test_a_flag_wins_over_recipe_and_sample():
    config = resolve(
        {"dataset": "sample", "recipe": "seed", "scaling": "symmetric", "batch_size": 8}
    )
    model = config.model
    assert (model.scaling, config.batch_size, model.weights) == ("symmetric", 8, "none")


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve({}).seed = 1


def test_a_config_comes_back_from_its_flags():
    config = resolve({"dataset": "sample", "mixed_precision": True, "stored_size": 64})
    given = {}
    for flag in as_flags(config):
        name, _, value = flag.removeprefix("--").partition("=")
        values = config.values()
        kind = type(values.get(name.removeprefix("no"), values.get(name)))
        if kind is bool:
            given[name.removeprefix("no")] = not name.startswith("no")
        else:
            given[name] = kind(value)
    assert resolve(given) == config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"finetune_epochs": 3}, "--head=pca --finetune_epochs=3: .* --finetune_epochs=0"),
        ({"augment": True}, "--augment=True: .* give --augment=False"),
        ({"frozen_features": "live"}, "give --frozen_features=cached"),
        ({"recipe": "seed"}, "--recipe=seed --model=anomaly: the notebook's was xception"),
        ({"model": "xception", "head": "pca"}, "--head=pca --frozen_features=live"),
        ({"fakes_lie": "beside"}, "choose from"),
    ],
)
def test_a_fitted_head_wants_one_pass_over_images_as_they_are(given, message):
    with pytest.raises(UsageError, match=message):
        resolve({"model": "anomaly", **given})


def test_a_fitted_head_goes_with_every_network():
    given = {"head": "forest", "frozen_epochs": 1, "model": "mobilenetv2_multilevel"}
    assert resolve(given).head.kind == "forest"

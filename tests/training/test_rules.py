import pytest

from dftk.training import rules
from dftk.training.config import resolve
from dftk.utils.errors import UsageError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "cnn", "weights": "imagenet"}, "--weights=imagenet: cnn has none"),
        ({"model": "cnn", "recipe": "seed"}, "the notebook's was xception"),
        ({"batch_size": 0}, "--batch_size=0: must be at least 1"),
        ({"frozen_lr": float("nan")}, "--frozen_lr=nan"),
        ({"dropout": 1.0}, "--dropout=1.0: must be below 1"),
        ({"l2": float("inf")}, "--l2=inf: must be finite"),
        ({"seed": 2**32}, r"--seed=4294967296: must be below 2\*\*32"),
        ({"image_size": 16}, "--image_size=16: must be at least 32"),
        ({"scaling": "caffe"}, "--scaling=caffe: choose from"),
        ({"frozen_epochs": 0, "finetune_epochs": 0}, "nothing to train"),
        ({"cache": "tape"}, "--cache=tape: choose from"),
        ({"stored_size": 16}, "--stored_size=16: must be at least 32"),
        ({"stored_size": 10**6}, "--stored_size=1000000: must be at most 4096"),
        ({"recipe": "better"}, "--recipe=better: choose from"),
        ({"model": "residual", "weights": "imagenet"}, "--weights=imagenet: residual has none"),
        ({"crop_size": 256}, "--crop_size=256: must be at most --image_size=224"),
        ({"crop_size": 8}, "--crop_size=8: must be at least 32; 0 is the whole image"),
        (
            {"model": "cnn", "crop_size": 128},
            "--crop_size=128 --model=cnn: it takes images of one size",
        ),
        ({"model": "anomaly", "head": "linear"}, "--head=linear --model=anomaly: needs fakes"),
        ({"recipe": "best", "model": "anomaly"}, "needs fakes"),
        (
            {"augment": False, "augment_compression": True},
            "no effect here: --noaugment turns all augmentation off; give --augment",
        ),
        (
            {"fakes_lie": "outside"},
            "--fakes_lie=outside: has no effect here: .*give --head=mahalanobis",
        ),
        (
            {"finetune_epochs": 0, "layer_decay": 0.5},
            "--layer_decay=0.5: has no effect here: no second phase",
        ),
        (
            {"recipe": "seed", "freeze_blocks": 1},
            "--freeze_blocks=1: has no effect here: no second phase",
        ),
        ({"head": "hidden", "head_batchnorm": "precise"}, "=precise: it has no BatchNorm; give"),
        ({"model": "anomaly", "head_batchnorm": "precise"}, "=precise: it has no BatchNorm; give"),
        ({"model": "residual", "scaling": "unit"}, "--scaling=unit --model=residual: it takes"),
        ({"model": "anomaly", "label_smoothing": 0.1}, "--label_smoothing=0.1: it is fitted once"),
    ],
)
def test_impossible_values_are_named(given, message):
    with pytest.raises(UsageError, match=message):
        resolve(given)


CACHED = {"model": "xception_multilevel", "crop_size": 64}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (CACHED, "--crop_size=64: has no effect here: .*give --frozen_features=live"),
        ({**CACHED, "crop_size": 0, "augment": True, "augment_compression": True},
         "--augment_compression: has no effect here: --frozen_features=cached"),
        ({"batchnorm_momentum": 0.9}, "momentum=0.9: has no effect here: .*=update"),
        ({"decay": "cosine", "lr_factor": 0.3}, "--lr_factor=0.3: has no effect here: --decay=cos"),
        ({"decay": "cosine", "min_lr": 1e-6}, "--min_lr=1e-06: has no effect here: --decay=cos"),
        ({"decay": "cosine", "finetune_stop": 3}, "--finetune_stop=3: has no effect here: --decay"),
    ],
)  # fmt: skip
def test_a_flag_that_would_be_ignored_is_refused(given, message):
    with pytest.raises(UsageError, match=message) as caught:
        resolve(given)
    assert set(caught.value.flags) <= given.keys()


@pytest.mark.parametrize(
    "given",
    [
        {**CACHED, "finetune_epochs": 2},
        {**CACHED, "frozen_features": "live"},
        {"base_batchnorm": "update", "batchnorm_momentum": 0.9},
        {"decay": "cosine", "lr_factor": 0.5},  # the default: nothing was asked for
        {"dataset": "sample", "base_batchnorm": "inference"},  # the sample brings a momentum
        {"recipe": "best", "crop_size": 96},
        {"frozen_epochs": 0, "frozen_lr": 1e-4, "frozen_features": "cached"},  # a phase left out
        {"finetune_epochs": 0, "finetune_lr": 1e-4, "base_batchnorm": "update"},
    ],
)
def test_a_flag_that_has_an_effect_somewhere_or_came_along_is_not_refused(given):
    config = resolve(given)
    assert {name: config.values()[name] for name in given} == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recipe": "best", "image_size": 96},
         " (--crop_size=128 comes with --recipe=best)"),
        ({"model": "anomaly", "frozen_epochs": 3},
         " (--head=pca comes with --model=anomaly)"),
        ({"dataset": "sample", "model": "vit", "recipe": "best"}, None),
        ({"model": "vit", "image_size": 64}, ""),  # no flag of these came along
    ],
)  # fmt: skip
def test_values_that_came_along_are_named_with_the_flag_that_brought_them(given, words):
    if words is None:
        resolve(given)
        return
    with pytest.raises(UsageError) as caught:
        resolve(given)
    text = str(caught.value)
    assert text.endswith(words) if words else "comes with" not in text


def test_only_chosen_flags_must_have_an_effect():
    """An ablation changes one flag of many: what the change makes idle is no mistake."""
    given = {"lr_factor": 0.3, "decay": "cosine"}
    assert resolve(given, chosen=["decay"]).decay == "cosine"
    with pytest.raises(UsageError, match="--lr_factor=0.3: has no effect here"):
        resolve(given, chosen=["lr_factor"])


def test_flags_of_a_phase_without_epochs_are_told_and_allowed():
    given = {"frozen_epochs": 0, "frozen_lr": 0.5, "finetune_lr": 1e-4}
    values = resolve(given).values()
    assert list(rules.of_no_phase(values, given)) == [
        "--frozen_lr=0.5 has no effect: --frozen_epochs=0"
    ]

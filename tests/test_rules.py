import pytest

from dftk.config import UsageError, resolve


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
        ({"average": 1.0}, "--average=1.0: must be below 1"),
        ({"model": "residual", "weights": "imagenet"}, "--weights=imagenet: residual has none"),
        ({"crop_size": 256}, "--crop_size=256: must be at most --image_size=224"),
    ],
)
def test_impossible_values_are_named(given, message):
    with pytest.raises(UsageError, match=message):
        resolve(given)

import pytest

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
        ({"model": "cnn", "crop_size": 128}, "--crop_size=128 --model=cnn: takes one size"),
        ({"model": "anomaly", "head": "linear"}, "--head=linear --model=anomaly: needs fakes"),
        ({"recipe": "best", "model": "anomaly"}, "needs fakes"),
        ({"augment": False, "augment_compression": True}, "nothing of it without --augment"),
        ({"fakes_lie": "outside"}, "--fakes_lie=outside: only for a --head of"),
        ({"finetune_epochs": 0, "layer_decay": 0.5}, "--layer_decay=0.5: only where a second"),
        ({"recipe": "seed", "freeze_blocks": 1}, "--freeze_blocks=1: only where a second"),
        ({"head": "hidden", "head_batchnorm": "precise"}, "=precise: it has no BatchNorm; give"),
        ({"model": "anomaly", "head_batchnorm": "precise"}, "=precise: it has no BatchNorm; give"),
        ({"model": "residual", "scaling": "unit"}, "--scaling=unit --model=residual: it takes"),
        ({"model": "anomaly", "label_smoothing": 0.1}, "--label_smoothing=0.1: it is fitted once"),
    ],
)
def test_impossible_values_are_named(given, message):
    with pytest.raises(UsageError, match=message):
        resolve(given)

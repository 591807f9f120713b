"""A run of seconds, for tests to which the network does not matter."""


def quick_config(data_dir):
    """Both phases of the sample at 32 pixels, one epoch each, on 200 images.

    The network is small, but has all that Xception has: BatchNorm that updates, residual sums, a
    base that is frozen first, a head with dropout. All else is what the sample brings for Xception.
    """
    from dftk.training.config import resolve

    return resolve(
        {
            "dataset": "sample",
            "data_dir": data_dir,
            "model": "residual",
            "head": "dense",
            "image_size": 32,
            "max_examples": 200,
            "frozen_epochs": 1,
            "finetune_epochs": 1,
            "finetune_lr": 1e-3,
            "batchnorm_momentum": 0.8,
            "decay": "plateau",
            "keep": "best",
            "head_batchnorm": "moving",
        }
    )

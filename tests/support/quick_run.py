"""A run of seconds."""


def quick_config(data_dir):
    """Both phases of the sample at 32 pixels, one epoch each, on 200 images."""
    from dftk.training.config import resolve

    return resolve(
        {
            "dataset": "sample",
            "data_dir": data_dir,
            "image_size": 32,
            "max_examples": 200,
            "frozen_epochs": 1,
            "finetune_epochs": 1,
        }
    )

"""Drawn images and all that computes their features."""

import dataclasses
from pathlib import Path

from dftk.input import residency
from dftk.models import registry
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.step.context import TrainingContext

GIVEN = {"model": "cnn", "image_size": 64, "augment_colour": False, "frozen_epochs": 1,
         "frozen_features": "cached", "batch_size": 16}  # fmt: skip


class Rig:
    """Features of 60 drawn images, and what computes them."""

    def __init__(self, shards, images=60, **given):
        self.config = resolve({**GIVEN, **given})
        self.devices = devices_lib.choose(self.config)
        self.detector = registry.build(self.config, "float32", False)
        self.examples = residency.open_examples(residency.limit_examples(shards, images), "ram")
        self._context = TrainingContext.create(
            config=self.config,
            devices=self.devices,
            detector=self.detector,
            examples=self.examples,
        )

    def folder(self):
        return Path(self.examples.shards[0].path).parent / "dftk_features"

    def context(self, check_stop=None):
        """With the config as it is now, and always the same compiled forward pass."""
        return dataclasses.replace(
            self._context, config=self.config, check_stop=check_stop or self._context.check_stop
        )

    def features(self, check_stop=None):
        return FrozenFeatures(self.context(check_stop))

"""Drawn images and all that makes their features."""

from pathlib import Path

from dftk.input import residency
from dftk.models import registry
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.features.frozen import FrozenFeatures
from dftk.training.step import loop
from dftk.training.step.scorer import Scorer

GIVEN = {"model": "cnn", "image_size": 64, "augment_colour": False, "frozen_epochs": 1,
         "frozen_features": "cached", "batch_size": 16}  # fmt: skip


class Rig:
    """Features of 60 drawn images, and what makes them."""

    def __init__(self, shards, images=60, **given):
        self.config = resolve({**GIVEN, **given})
        self.devices = devices_lib.choose(self.config)
        self.detector = registry.build(self.config, "float32", False)
        self.examples = residency.open_examples(residency.limit_examples(shards, images), "ram")
        self.pixels = loop.Pixels(self.devices, self.examples)
        self.scorer = Scorer(self.detector, self.devices, self.pixels)

    def folder(self):
        return Path(self.examples.shards[0].path).parent / "dftk_features"

    def features(self, between=lambda: None):
        return FrozenFeatures(
            self.config, self.devices, self.detector, self.scorer, self.examples, between
        )

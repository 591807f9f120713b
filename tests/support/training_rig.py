"""A small model with its compiled training loop."""

import dataclasses

import numpy as np
import tensorflow as tf

from dftk.models import registry
from dftk.training.config import resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.resume.snapshot import VariableSnapshot
from dftk.training.step import loop
from dftk.training.step.context import TrainingContext

GIVEN = {"dataset": "sample", "image_size": 32, "batch_size": 16, "augment": True, "seed": 5}
# The smallest network with BatchNorm and residual blocks, under the notebook's head.
SMALL = {"model": "residual", "head": "dense", "weights": "none", "crop_size": 0,
         "augment_colour": True, "head_batchnorm": "moving"}  # fmt: skip


class Rig:
    """A detector with both phases, and one short epoch of either."""

    def __init__(self, examples, policy="float32", **given):
        self.config = resolve({**GIVEN, **given})
        self.examples = examples
        self.devices = dataclasses.replace(devices_lib.choose(self.config), policy=policy)
        with self.devices.strategy.scope():
            self.detector = registry.build(self.config, self.devices.policy, False)
        self.images = loop.BatchImages(self.devices, examples)
        self.phases = {
            name: loop.TrainLoop(
                self.detector, self.devices, self.config, name == "finetune", self.images
            )
            for name in ("frozen", "finetune")
        }
        self.initial = VariableSnapshot(
            self.detector.model.variables
            + [v for phase in self.phases.values() for v in phase.optimizer.variables]
        )

    def context(self, **parts):
        return TrainingContext.create(
            config=self.config, devices=self.devices, detector=self.detector,
            examples=self.examples, images=self.images, **parts,
        )  # fmt: skip

    def train(self, phase, rows=48, epoch=0, rate=1e-3, calls=(1, 2)):
        train_loop = self.phases[phase]
        train_loop.optimizer.learning_rate = rate
        self.detector.reset_dropout((5, 0, epoch))
        dataset = self.examples.batches(np.arange(rows), batch_size=16, shuffle=(5, epoch))
        iterator = loop.distribute(self.devices, dataset)
        totals = tf.zeros([4])
        for steps in calls:
            totals = train_loop.run(iterator, tf.constant(steps), totals)
        return totals.numpy()

    def weights(self, part):
        return [v.numpy() for v in part]

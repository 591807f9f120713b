"""Times our training steps against Keras's `fit` of the same model on the same batches.

python benchmarks/against_fit.py --image_size=224 --batch_size=16

prints a line of JSON for each phase. Precision and devices cannot change within a process, so the
table of README.md takes one run for each of them.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from material import build_dataset, draw_tree

from dftk.datasets import catalog
from dftk.input import residency
from dftk.models import registry
from dftk.perf import timing
from dftk.training.config import Config, resolve
from dftk.training.devices import devices as devices_lib
from dftk.training.step import loop


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1, help="logical CPUs; of GPUs all are used")
    parser.add_argument("--mixed_precision", action="store_true")
    parser.add_argument("--base_batchnorm", default="inference", choices=("inference", "update"))
    parser.add_argument("--image_size", type=int, default=96)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


class Fit:
    """The detector of a run as a plain Keras model, compiled once; trained by `fit`."""

    def __init__(self, config: Config, devices: devices_lib.Devices, phase: str):
        with devices.strategy.scope():
            detector = registry.build(config, devices.policy, devices.replicas > 1)
            detector.base.trainable = phase == "finetune"
            for layer in detector.base.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    # The only way to make `fit` keep the statistics. It freezes scale and offset,
                    # too, so `fit` does less work than ours.
                    layer.trainable = config.base_batchnorm == "update" and phase == "finetune"
            self.model = detector.model
            self.model.compile(
                keras.optimizers.Adam(1e-5), "binary_crossentropy", metrics=["accuracy"],
                jit_compile=False,  # on a CPU XLA makes it two to four times slower
            )  # fmt: skip

    def run(self, batches: tf.data.Dataset) -> None:
        """Trains for an epoch."""
        self.model.fit(batches, verbose=0, shuffle=False)


def ours(
    config: Config, devices: devices_lib.Devices, examples: residency.Examples, phase: str
) -> tuple[loop.TrainLoop, registry.Detector]:
    with devices.strategy.scope():
        detector = registry.build(config, devices.policy, devices.replicas > 1)
    pixels = loop.BatchImages(devices, examples)
    train_loop = loop.TrainLoop(detector, devices, config, phase == "finetune", pixels)
    train_loop.optimizer.learning_rate = 1e-5
    return train_loop, detector


def measure(
    config: Config,
    devices: devices_lib.Devices,
    examples: residency.Examples,
    phase: str,
    args: argparse.Namespace,
) -> dict[str, object]:
    """Returns fit's time / ours, over the same steps on pixels in memory."""
    rows = np.resize(np.arange(len(examples.labels)), args.steps * args.batch_size)
    train_loop, detector = ours(config, devices, examples, phase)
    fit = Fit(config, devices, phase)

    def train() -> None:
        detector.reset_dropout([0])
        dataset = examples.batches(
            rows, batch_size=args.batch_size, num_replicas=devices.replicas, shuffle=(0, 0)
        )
        iterator = loop.distribute(devices, dataset)
        train_loop.run(iterator, tf.constant(args.steps), tf.zeros([4])).numpy()

    whole = examples.batches(rows, batch_size=args.batch_size, shuffle=(0, 0))
    pairs = whole.map(lambda batch: (batch["image"], batch["label"][:, None])).prefetch(2)
    ratio = timing.compare(train, lambda: fit.run(pairs), args.rounds)
    return {
        "phase": phase,
        "device": devices.description,
        "base_batchnorm": args.base_batchnorm,
        **dataclasses.asdict(ratio),
        "ours_img_per_s": len(rows) / ratio.ours_s,
        "fit_img_per_s": len(rows) / ratio.theirs_s,
    }


def main() -> None:
    args = arguments()
    if not tf.config.list_physical_devices("GPU"):
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * args.devices
        tf.config.set_logical_device_configuration(cpu, logical)
    config = resolve(
        {
            "weights": "none", "augment": False, "image_size": args.image_size,
            "batch_size": args.batch_size, "mixed_precision": args.mixed_precision,
            "base_batchnorm": args.base_batchnorm,
        }
    )  # fmt: skip
    devices = devices_lib.choose(config)  # only once: two strategies would mix up collectives
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        draw_tree(tree)
        dataset = catalog.open_dataset(build_dataset(tree, Path(folder, "data")), None, 5)
        shards = residency.limit_examples(dataset.train, 100)
        examples = residency.open_examples(shards, "ram", size=args.image_size)
        for phase in ("frozen", "finetune"):
            print(json.dumps(measure(config, devices, examples, phase, args)), flush=True)


if __name__ == "__main__":
    main()

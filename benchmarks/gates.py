"""The gates: what must hold of a measurement, and where to look when it does not.

A gate takes what was measured, so that test_gates.py can show it a slowdown. A ratio is theirs /
ours. Its gate fails only when the whole bootstrap interval is below the limit, so that other work
on the machine cannot make it fail. Counts are exact.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from dftk.perf.timing import Ratio
from dftk.utils import limits


@dataclasses.dataclass(frozen=True)
class Gate:
    """The least ratio of two times.

    Attributes:
      limit: least ratio.
      hint: what is wrong and where to look if it is not reached.
    """

    limit: float
    hint: str

    def check(self, ratio: Ratio) -> None:
        """Raises AssertionError if the whole interval is below the limit."""
        found = f"{ratio.median:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
        assert ratio.high > self.limit, f"{found}, all of it below {self.limit}: {self.hint}"


# decode_jpeg alone / reading, parsing and decoding.
COLD_STREAM = Gate(0.9, "the cold stream adds to decoding; see pipeline.chunks and decoded_chunks")

# decode_jpeg alone / the first load into memory. Loose: memory used for the first time can be slow.
FIRST_LOAD = Gate(0.3, "keeping pixels costs more than decoding; see stores.MemoryStore")

# numpy.copyto of the same bytes / shuffled batches from memory.
MEMORY = Gate(0.5, "a gather takes far more than a copy; see stores.MemoryStore.fetch")

# A consumer that waits / the same on input that waits as long: 1 side by side, 0.5 in turn.
OVERLAP = Gate(0.75, "input is made while the step waits; see Batcher's map and prefetch")

# The notebook's five operations per image in a parallel map / one compiled function.
AUGMENTATION = Gate(1.5, "the fused augmentation is slow; see transforms.flip_and_jitter")

# Training that augments in the input pipeline / in the step, on one and the same CPU.
AUGMENTATION_IN_STEP = Gate(
    0.85, "the step augments slower than the input would; see loop.TrainLoop"
)

# keras.Model.fit / our loop, the same steps.
STEPS_AGAINST_FIT = Gate(1.0, "Keras's own loop is faster; see loop.TrainLoop, models.folding")

# BatchNorm that trains: Keras's operations / one kernel.
BATCHNORM = Gate(1.0, "Keras's operations are faster; see models.batchnorm")

# Training on one batch repeated / on real input.
REAL_INPUT = Gate(0.9, "the step waits for its input; see input_wait, Batcher and distribute")

# The models alone on decoded batches / scoring files.
PREDICTION = Gate(0.9, "the forward pass waits for files; see dftk.inference.stream")

# TFDS's generator builder with a decoding of each file / ours, the same files.
STOCK_BUILDER = Gate(1.5, "checking or writing lost its threads; see tfds_rvf10k.executors")

# shutil.copytree / tfds build of the same files. Loose: the start of TFDS is in it.
PLAIN_COPY = Gate(0.04, "the build does more than decode and write; see tfds_rvf10k")

# Least ratio by residency, on two cores: the notebook's epoch / the host's work in one of ours.
NOTEBOOK = {"ram": 20.0, "device": 20.0, "disk": 5.0, "none": 0.8}

BESIDE_PIXELS = 56  # bytes per image: label, index, random numbers, and its part of the weight


def notebook_epoch(residency: str) -> Gate:
    """The notebook's epoch / the host's work in one of ours, on the cores of this machine.

    The notebook decodes on all cores. Where nothing is decoded, one or two cores are enough, and
    the ratio falls with their number.
    """
    scale = 1.0 if residency == "none" else 2 / max(2, limits.cores())
    hint = f"epochs from {residency} are slow; see its store's fetch and Batcher"
    return Gate(scale * NOTEBOOK[residency], hint)


def saving_costs_little(share: float, gpu: bool) -> None:
    """Share of an epoch in which training stands still for a checkpoint.

    The limits differ because the networks do, see rig.MODEL: for each second of a step on a CPU,
    MobileNetV2 has a third of the bytes of Xception.
    """
    limit = 0.02 if gpu else 0.007
    assert share < limit, f"{share:.2%} of an epoch: training waits for its checkpoints"


def one_graph_for_five_folds(ratio: float) -> None:
    """Wall time with the model rebuilt for each fold / once for all."""
    assert ratio > 1.05, f"{ratio:.2f}: building and tracing again costs more than that"


def build_scales(found: Mapping[int, Mapping[str, float]]) -> None:
    """Seconds and bytes of memory above the start, by number of images."""
    least, _, most = sorted(found)
    per_image = (found[most]["bytes"] - found[least]["bytes"]) / (most - least)
    assert per_image < 2000, f"{per_image:.0f} bytes an image: pictures are kept; see plan.make"
    growth = found[most]["seconds"] / found[least]["seconds"] / (most / least)
    assert growth < 1.5, f"an image takes {growth:.1f} times as long among {most:,}"


def each_jpeg_is_decoded_once(decodes: int, images: int) -> None:
    """Over a whole run, whatever the number of folds and epochs."""
    assert decodes == images, f"{decodes} decodes of {images} JPEGs; see residency.open_examples"


def each_phase_is_traced_once(traces: Mapping[str, int]) -> None:
    """By phase, over all folds."""
    wrong = {phase: count for phase, count in traces.items() if count != 1}
    assert traces, "no phase was trained"
    assert not wrong, f"traces by phase: {wrong}; see loop.TrainLoop.run and what it is called with"


def batches_are_uint8(batch: Mapping[str, tf.Tensor | tf.TensorSpec]) -> None:
    """What the host sends to the device; with pixels on the device no images are sent."""
    dtype = batch["image"].dtype if "image" in batch else tf.uint8
    assert dtype == tf.uint8, f"the device is sent images as {dtype.name}; see the store's fetch"


def bytes_to_the_device(batch: Mapping[str, tf.Tensor], residency: str, image_bytes: int) -> None:
    """The pixels, none of them where they live on the device, and a few bytes beside them."""
    limit = BESIDE_PIXELS + (0 if residency == "device" else image_bytes)
    total = sum(tensor.dtype.size * int(tf.size(tensor)) for tensor in batch.values())
    found = total / len(batch["index"])
    assert found <= limit, f"{found:.0f} bytes an image, at most {limit}; see Batcher"

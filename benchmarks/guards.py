"""The guards: what must hold of a measurement, and where to look when it does not.

Each takes what was measured, so that test_guards.py can show it a slowdown. A ratio is theirs /
ours; its guard fails only when the whole bootstrap interval is past the limit, so that a noisy
neighbour cannot trip it. Counts are exact.
"""

from collections.abc import Mapping

import tensorflow as tf
from material import step_bytes

from dftk.perf.timing import Ratio
from dftk.utils import limits

# Least ratio by residency, on two cores. The notebook decodes on all cores that there are; where
# nothing is decoded, one or two are enough, and what is gained falls with their number.
NOTEBOOK = {"ram": 20.0, "device": 20.0, "disk": 5.0, "none": 0.8}
BESIDE_PIXELS = 56  # bytes per image: label, index, nine draws, and its part of the share


def _at_least(limit: float, ratio: Ratio, look: str) -> None:
    found = f"{ratio.median:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
    assert ratio.high > limit, f"{found}, all of it below {limit}: {look}"


def cold_keeps_up_with_decoding(ratio: Ratio) -> None:
    """decode_jpeg alone / reading, parsing and decoding."""
    _at_least(0.9, ratio, "the cold stream adds to decoding; see pipeline.chunks and decoded")


def loading_keeps_up_with_decoding(ratio: Ratio) -> None:
    """decode_jpeg alone / the first load into memory; loose, for fresh memory can be dear."""
    _at_least(0.3, ratio, "keeping pixels costs more than decoding; see stores.MemoryStore")


def epochs_beat_the_notebook(ratio: Ratio, residency: str) -> None:
    """The notebook's epoch / the host's work in one of ours."""
    scale = 1.0 if residency == "none" else 2 / max(2, limits.cores())
    look = f"epochs from {residency} are slow; see its store's fetch and Batcher"
    _at_least(scale * NOTEBOOK[residency], ratio, look)


def memory_nears_a_plain_copy(ratio: Ratio) -> None:
    """numpy.copyto of the same bytes / shuffled batches from memory."""
    _at_least(0.5, ratio, "a gather takes far more than a copy; see stores.MemoryStore.fetch")


def input_overlaps_with_the_step(ratio: Ratio) -> None:
    """A consumer that waits / the same on input that waits as long: 1 side by side, 0.5 in turn."""
    _at_least(0.75, ratio, "input is made while the step waits; see Batcher's map and prefetch")


def augmentation_beats_per_image_ops(ratio: Ratio) -> None:
    """The notebook's five operations per image in a parallel map / one compiled function."""
    _at_least(1.5, ratio, "the fused augmentation is slow; see transforms.flip_and_jitter")


def augmenting_in_the_step_costs_no_more(ratio: Ratio) -> None:
    """Training that augments in the input pipeline / in the step, on one and the same CPU."""
    _at_least(0.85, ratio, "the step augments slower than the input would; see loop.TrainLoop")


def steps_are_as_fast_as_fit(ratio: Ratio) -> None:
    """keras.Model.fit / our loop, the same steps."""
    _at_least(1.0, ratio, "Keras's own loop is faster; see loop.TrainLoop, models.folding")


def the_kernel_beats_keras_s_batchnorm(ratio: Ratio) -> None:
    """BatchNorm that trains, in one kernel."""
    _at_least(1.0, ratio, "Keras's operations are faster; see models.batchnorm")


def saving_costs_little(share: float) -> None:
    """Of an epoch, in which training stands still for a checkpoint."""
    assert share < 0.02, f"{share:.1%} of an epoch: training waits for its checkpoints"


def one_graph_for_five_folds(ratio: float) -> None:
    """Wall time with the model rebuilt for each fold / once for all."""
    assert ratio > 1.05, f"{ratio:.2f}: building and tracing again costs more than that"


def real_input_costs_nothing(ratio: Ratio) -> None:
    """Training on one batch repeated / on real input."""
    _at_least(0.9, ratio, "the step waits for its input; see input_wait, Batcher and distribute")


def predicting_keeps_up_with_the_model(ratio: Ratio) -> None:
    """The models alone on decoded batches / scoring files."""
    _at_least(0.9, ratio, "the forward pass waits for files; see dftk.inference.stream")


def build_beats_the_stock_builder(ratio: Ratio) -> None:
    """TFDS's generator builder with a decoding of each file / ours, the same files."""
    _at_least(1.5, ratio, "checking or writing lost its threads; see tfds_rvf10k.executors")


def build_nears_a_plain_copy(ratio: Ratio) -> None:
    """shutil.copytree / tfds build of the same files; loose, TFDS's own start is in it."""
    _at_least(0.04, ratio, "the build does more than decode and write; see tfds_rvf10k")


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


def the_border_is_uint8(batch: Mapping[str, tf.Tensor | tf.TensorSpec]) -> None:
    """What crosses from host to device; without images it is less than that."""
    dtype = batch["image"].dtype if "image" in batch else tf.uint8  # none cross with `device`
    assert dtype == tf.uint8, f"images cross the border as {dtype.name}; see the store's fetch"


def bytes_to_the_device(batch: Mapping[str, tf.Tensor], residency: str, image_bytes: int) -> None:
    """The pixels, none of them where they live on the device, and a few bytes beside them."""
    limit = BESIDE_PIXELS + (0 if residency == "device" else image_bytes)
    found = step_bytes(batch) / len(batch["index"])
    assert found <= limit, f"{found:.0f} bytes an image, at most {limit}; see Batcher"

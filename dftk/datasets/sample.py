"""The embedded sample: drawn portraits. The fake ones carry upsampling artefacts.

Every picture starts as a drawing: a gradient, a head, eyes, a mouth and 1/f texture. A fake picture
is then resampled in the way of convolutional generators. It is halved, and doubled again by a
transposed convolution whose 3x3 kernel overlaps unevenly, which leaves a lattice of period 2
(Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016). A real picture is blurred
by the same kernel without the lattice. Noise is added until the JPEG file has a size drawn from one
distribution for both classes, so that neither size, nor format, nor mean colour tells the classes
apart.
"""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.datasets import building
from tfds_rvf10k.sources.source_images import CLASS_NAMES

IMAGE_SIZE = 64  # pixels, both sides
TRAIN_IMAGES = 400
VALID_IMAGES = 100
_LATTICE = 0.03  # gain of the even sites over the mean after the transposed convolution
_JPEG_QUALITY = 95
_JPEG_BYTES = (2900, 3500)  # both classes reach every size in this range by added noise


class SampleBuilder(building.LocalBuilder):
    """DatasetBuilder for the embedded sample."""

    name = "dftk_sample"
    DESCRIPTION = __doc__
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Drawn by dftk.datasets.sample.draw_tree; nothing to download."


def draw_tree(root: Path, seed: int = 42) -> None:
    """Draws `root/{train,valid}/{real,fake}/*.jpg`; half of each split is real.

    Args:
      root: an existing directory.
      seed: of the pictures. Two calls with the same seed write the same bytes.
    """
    for split, count in (("train", TRAIN_IMAGES), ("valid", VALID_IMAGES)):
        for index in range(count):
            label = index % 2
            rng = np.random.default_rng([seed, ("train", "valid").index(split), index])
            folder = root / split / CLASS_NAMES[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index:05d}.jpg").write_bytes(draw_jpeg(rng, fake=bool(label)))


def draw_jpeg(rng: np.random.Generator, *, fake: bool) -> bytes:
    """Draws one picture; returns a JPEG file of a size drawn from `_JPEG_BYTES`."""
    clean = resample(draw_portrait(rng), lattice=_LATTICE if fake else 0.0)
    noise = rng.standard_normal(clean.shape)
    target = rng.uniform(*_JPEG_BYTES)
    low, high = 0.0, 0.2
    for _ in range(9):  # bisects to 0.2 / 2**9, finer than a level of 1/255
        sigma = (low + high) / 2
        jpeg = encode(clean + sigma * noise)
        low, high = (sigma, high) if len(jpeg) < target else (low, sigma)
    return jpeg


def encode(image: np.ndarray) -> bytes:
    """Encodes a float image [h, w, 3], clipped to [0, 1], as a JPEG file."""
    pixels = np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return tf.io.encode_jpeg(pixels, quality=_JPEG_QUALITY).numpy()


def draw_portrait(rng: np.random.Generator) -> np.ndarray:
    """Draws a cartoon head on a gradient: float64 [IMAGE_SIZE, IMAGE_SIZE, 3], about [0, 1]."""
    y, x = np.mgrid[-1 : 1 : IMAGE_SIZE * 1j, -1 : 1 : IMAGE_SIZE * 1j]
    slope = rng.uniform(-0.2, 0.2, (2, 3))
    image = rng.uniform(0.3, 0.7, 3) + y[..., None] * slope[0] + x[..., None] * slope[1]
    cx, cy = rng.uniform(-0.2, 0.2, 2)
    width, height = rng.uniform(0.4, 0.55), rng.uniform(0.55, 0.75)

    def paint(dx: float, dy: float, rx: float, ry: float, colour: np.ndarray) -> None:
        """Blends in an ellipse with a soft edge; lengths in half image sides."""
        distance = np.hypot((x - cx - dx) / rx, (y - cy - dy) / ry)
        cover = np.clip((1 - distance) * min(rx, ry) * IMAGE_SIZE / 2, 0, 1)[..., None]
        image[:] = image * (1 - cover) + colour * cover

    paint(0, 0, width, height, rng.uniform(0.35, 0.85, 3))
    for side in (-1, 1):
        paint(side * width * 0.42, -height * 0.2, 0.09, 0.06, rng.uniform(0.05, 0.3, 3))
    paint(0, height * 0.45, width * 0.4, 0.05, rng.uniform(0.2, 0.5, 3))
    return image + 0.04 * pink_noise(rng)[..., None]


def pink_noise(rng: np.random.Generator) -> np.ndarray:
    """Draws noise with the 1/f amplitude spectrum of natural images.

    Returns:
      float64 [IMAGE_SIZE, IMAGE_SIZE] of unit variance.
    """
    fy, fx = np.meshgrid(np.fft.fftfreq(IMAGE_SIZE), np.fft.rfftfreq(IMAGE_SIZE), indexing="ij")
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal((IMAGE_SIZE, IMAGE_SIZE)))
    noise = np.fft.irfft2(white / frequency, s=(IMAGE_SIZE, IMAGE_SIZE))
    return noise / noise.std()


def resample(image: np.ndarray, lattice: float) -> np.ndarray:
    """Halves an image and doubles it again.

    Zeros are inserted, and the kernel [(1-l)/2, 1+l, (1-l)/2] is applied in each direction. This
    gives even pixels the gain 1+l and odd ones 1-l. With l = 0 it is bilinear doubling.

    Args:
      image: float64 [h, w, 3].
      lattice: l, the uneven overlap of the transposed convolution.
    """
    half = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
    for axis in (0, 1):
        spread = np.zeros((*half.shape[:axis], 2 * half.shape[axis], *half.shape[axis + 1 :]))
        spread[(slice(None),) * axis + (slice(0, None, 2),)] = half
        side = (1 - lattice) / 2
        half = (1 + lattice) * spread + side * (
            np.roll(spread, 1, axis) + np.roll(spread, -1, axis)
        )
    return half


def build(data_dir: str | None, k: int) -> tfds.core.DatasetBuilder:
    """Returns the builder of the sample with k folds. It draws and builds a sample that is missing.

    Args:
      data_dir: TFDS's directory of datasets; None is TFDS's default, `~/tensorflow_datasets`.
      k: number of folds.

    Raises:
      UserError: data_dir cannot be written.
    """
    folds = tfds_rvf10k.FoldConfig(name=f"kfold{k}", k=k)
    builder = building.make_builder(SampleBuilder, data_dir, folds)
    if builder.data_path.exists():
        return builder
    with tempfile.TemporaryDirectory() as tree:
        draw_tree(Path(tree))
        building.prepare(builder, tree, "the sample")
    return builder

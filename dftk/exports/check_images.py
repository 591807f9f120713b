"""Finds images on which an exported detector is compared with Keras."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.datasets import sample
from dftk.evaluation.saved_folds import open_data
from dftk.images import image_files, reading
from dftk.images.image_files import UnreadableImage
from dftk.images.reading import ImageFile
from dftk.input import decoding, pipeline, residency
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.progress import say

_NOISE_SIZES = ((64, 64), (256, 256), (199, 301), (97, 33), (480, 640))
_CROPS = 3


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """Image files, and where they come from in words."""

    files: Sequence[bytes]
    source: str

    def decoded(self) -> list[np.ndarray]:
        """Decodes each file, uint8 [h, w, 3], and adds crops of some of them, of odd sizes.

        The files of a dataset often have the one size that the model resizes to, or a multiple of
        it. Two ways of resizing that agree there may differ elsewhere.
        """
        images = [decoding.decode_image(data).numpy() for data in self.files]
        crops = [
            image[: max(1, image.shape[0] * (9 - index) // 11), : max(1, image.shape[1] * 10 // 11)]
            for index, image in enumerate(images[:_CROPS])
        ]
        return images + crops


def from_folder(folder: Path, limit: int) -> CheckImages:
    """Reads up to `limit` image files of a folder tree, spread evenly over it.

    Raises:
      UserError: there is no such folder, it has no image, or a file or folder in it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"--images={folder}: no such folder; give one with image files")
    paths = image_files.listed(folder)
    if not paths:
        raise UserError(f"--images={folder}: no {', '.join(image_files.IMAGE_SUFFIXES)} file in it")
    chosen = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
    return CheckImages([_read(paths[index]) for index in chosen], f"of {folder}")


def _read(path: Path) -> bytes:
    file = reading.read(path, reading.MAX_PIXELS)
    if isinstance(file, ImageFile):
        if not isinstance(pixels := reading.decode(file), UnreadableImage):
            return file.data
        file = pixels
    raise UserError(f"{path}: {file.reason}; remove it from --images")


def from_workdir(workdir: Workdir, limit: int, data_dir: str | None = None) -> CheckImages:
    """Reads up to `limit` images of the split `valid` of the run's dataset, first from each shard.

    Args:
      workdir: of the run.
      limit: number of images.
      data_dir: TFDS's directory of datasets, if not the run's.

    Raises:
      UserError: the dataset is missing, is not the one of the run, or has no `valid`.
    """
    _, dataset = open_data(workdir, data_dir)
    if not dataset.valid:
        raise UserError(f"{dataset.name} has no valid split")
    shards = residency.limit_examples(dataset.valid[:limit], limit)
    files = {}
    for start, records in pipeline.chunks(shards, 32).as_numpy_iterator():
        for offset, data in enumerate(pipeline.parse(records)["image"].numpy()):
            files[int(start) + offset] = data
    return CheckImages([files[row] for row in sorted(files)], f"of {dataset.name}, valid")


def synthetic() -> CheckImages:
    """Makes noise of several sizes and one image of the sample dataset, as JPEG files."""
    rng = np.random.default_rng(0)
    noise = [
        tf.io.encode_jpeg(rng.integers(0, 256, (*size, 3), np.uint8)).numpy()
        for size in _NOISE_SIZES
    ]
    return CheckImages([*noise, sample.draw_jpeg(rng, fake=True)], "drawn: noise of several sizes")


def choose(
    folder: Path | None, workdir: Workdir | None, limit: int, data_dir: str | None = None
) -> CheckImages:
    """Takes images of the folder, otherwise of the run's `valid`, otherwise noise, and says so.

    Raises:
      UserError: as from_folder; or `data_dir` is given, and has not the run's `valid`.
    """
    if folder is not None:
        return from_folder(folder, limit)
    reason = "the model belongs to no workdir"
    if workdir is not None:
        try:
            return from_workdir(workdir, limit, data_dir)
        except UserError as error:
            reason = str(error)
    if data_dir is not None:
        raise UserError(f"--data_dir={data_dir}: no images to compare on ({reason})")
    say(
        f"the export is compared on noise, not on real images ({reason}); give real ones with "
        "--images=DIR, or with --data_dir=DIR if the run's dataset was moved there"
    )
    return synthetic()

"""Images to compare an exported detector with the one it came from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dftk.datasets import sample
from dftk.evaluation.saved_folds import open_data
from dftk.images import image_files, reading
from dftk.input import decoding, pipeline, residency
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError
from dftk.utils.progress import say

_NOISE_SIZES = ((64, 64), (256, 256), (199, 301), (97, 33), (480, 640))
_CUTS = 3


@dataclasses.dataclass(frozen=True)
class CheckImages:
    """Whole files, and what they are in words."""

    files: Sequence[bytes]
    source: str

    def decoded(self) -> list[np.ndarray]:
        """uint8 [h, w, 3] of each file, then of some cut to odd sizes.

        Files of a dataset are of one size, often the very one that a model resizes to or a
        multiple: two resizings that agree there may differ elsewhere.
        """
        images = [decoding.decode_image(data).numpy() for data in self.files]
        cuts = [
            image[: max(1, image.shape[0] * (9 - cut) // 11), : max(1, image.shape[1] * 10 // 11)]
            for cut, image in enumerate(images[:_CUTS])
        ]
        return images + cuts


def of_folder(folder: Path, limit: int) -> CheckImages:
    """Up to `limit` image files from anywhere below a folder, evenly spread.

    Raises:
      UserError: no such folder, no image in it, or a file or folder that cannot be read.
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
    if isinstance(file, reading.Packed):
        image = reading.decode(file)
        if isinstance(image, reading.Image):
            return file.data
        file = image
    raise UserError(f"{path}: {file.error}; remove it from --images")


def of_workdir(workdir: Workdir, limit: int, data_dir: str | None = None) -> CheckImages:
    """Up to `limit` images of `valid` of the run's dataset, the first of each shard.

    Args:
      workdir: of the run.
      limit: of images.
      data_dir: TFDS's directory of datasets, if not the run's.

    Raises:
      UserError: the dataset is not there, no longer the run's, or without `valid`.
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


def drawn() -> CheckImages:
    """Noise of several sizes, and a picture of the sample, as JPEG files."""
    rng = np.random.default_rng(0)
    noise = [
        tf.io.encode_jpeg(rng.integers(0, 256, (*size, 3), np.uint8)).numpy()
        for size in _NOISE_SIZES
    ]
    return CheckImages([*noise, sample.draw_jpeg(rng, fake=True)], "drawn: noise of several sizes")


def choose(
    folder: Path | None, workdir: Workdir | None, limit: int, data_dir: str | None = None
) -> CheckImages:
    """The folder's, else those of the run's `valid`, else noise; says where it has to be noise.

    Raises:
      UserError: as of_folder; or `data_dir` is given, and the run's `valid` is not there.
    """
    if folder is not None:
        return of_folder(folder, limit)
    why = "the model belongs to no workdir"
    if workdir is not None:
        try:
            return of_workdir(workdir, limit, data_dir)
        except UserError as error:
            why = str(error)
    if data_dir is not None:
        raise UserError(f"--data_dir={data_dir}: no images to compare on ({why})")
    say(
        f"compared on noise, not on real images ({why}); --images=DIR gives real ones, and so does "
        "--data_dir=DIR where the run's dataset was moved there"
    )
    return drawn()

"""The loaders that are compared, and the data that they load."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

SIZE = 224  # pixels, of both sides
BATCH_SIZE = 32
SEED = 42
CLASS_NAMES = ("real", "fake")

# (images uint8 [b, 224, 224, 3], labels [b] or [b, 1]); torch alone puts the channels first.
Batch: TypeAlias = tuple[Any, Any]
Epoch: TypeAlias = Callable[[int], Iterable[Batch]]  # the epoch's number -> its batches
# Builds the pipeline. The call is timed as part of the first epoch; imports are done before it.
Build: TypeAlias = Callable[[], Epoch]
Write: TypeAlias = Callable[[], None]  # writes a peer's own files, once for all rounds and folds


@dataclasses.dataclass(frozen=True)
class Material:
    """Where the images are, in the forms that the tools read; all paths absolute."""

    tree: str  # holds train/real/*.jpg and train/fake/*.jpg
    data_dir: str  # TFDS's directory of datasets, with rvf10k built from the tree
    beton_dir: str  # FFCV's files

    @property
    def train(self) -> str:
        """The folder of class folders."""
        return str(Path(self.tree, "train"))

    def files(self) -> tuple[list[str], list[int]]:
        """Paths and labels (0 real, 1 fake) of all images, class after class, sorted."""
        pairs = [
            (str(path), label)
            for label, name in enumerate(CLASS_NAMES)
            for path in sorted(Path(self.train, name).iterdir())
            if path.suffix.lower() in (".jpg", ".jpeg")
        ]
        return [path for path, _ in pairs], [label for _, label in pairs]


@dataclasses.dataclass(frozen=True)
class Peer:
    """One row of the table; `module` has a function (Material) -> Build of the row's name."""

    module: str
    packages: tuple[str, ...]  # distributions whose versions are reported
    cold_per: Literal["run", "fold"]  # how often a 5-fold run pays the first epoch
    prepare: str | None = None  # function of `module`, (Material) -> Write
    augmented: bool = False  # floats in [0, 1], changed at random: only the count is compared
    install: str = "pip install -e '.[peers]'"


_TF = ("tensorflow", "keras")
_TFDS = ("tensorflow", "tensorflow-datasets")
_FFCV = {
    "packages": ("ffcv", "torch", "numba"),
    "install": "apt-get install libopencv-dev libturbojpeg0-dev pkg-config g++ && pip install ffcv",
}

# Why "fold": each fold is another choice of files, and all but dftk fix the files when they build
# the pipeline. A cache, traced functions, compiled code and worker processes are the pipeline's,
# so the next fold starts without them.
PEERS = {
    # Decodes all folds at once; a fold is then a choice of rows of the same pixels.
    "dftk": Peer("tensorflow_loaders", ("dftk", "tensorflow"), "run", "write_tfrecords"),
    "image_dataset_from_directory": Peer("tensorflow_loaders", _TF, "fold"),
    "tfds": Peer("tensorflow_loaders", _TFDS, "fold", "write_tfrecords"),
    "tfds_cache": Peer("tensorflow_loaders", _TFDS, "fold", "write_tfrecords"),
    "dali": Peer("other_loaders", ("nvidia-dali-cuda120", "torch"), "fold"),
    # One .beton serves all folds (Loader's `indices`), but every Loader compiles its own code.
    "ffcv_jpeg": Peer("other_loaders", cold_per="fold", prepare="write_beton_jpeg", **_FFCV),
    "ffcv_raw": Peer("other_loaders", cold_per="fold", prepare="write_beton_raw", **_FFCV),
    "grain": Peer("other_loaders", ("grain", "pillow"), "fold"),
    "torch": Peer("other_loaders", ("torch", "torchvision", "pillow"), "fold"),
    "notebook": Peer("tensorflow_loaders", _TF, "fold"),
    "notebook_augmented": Peer("tensorflow_loaders", _TF, "fold", augmented=True),
}


def cores() -> int:
    """CPU cores that this process may use: the number of workers or threads where one is asked."""
    return len(os.sched_getaffinity(0))

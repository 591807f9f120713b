"""The undocumented parts of TFDS that this package needs. No other module uses any.

tests/builder/test_tfds_compat.py checks each of them. It names the part that an upgrade of TFDS
changed.
"""

import contextlib
import inspect
import os
from collections.abc import Iterator

import tensorflow_datasets as tfds

from tfds_rvf10k.errors import DatasetError

try:
    # A builder that reads TFRecords by shards and writes them by its own code. tfds.core exports
    # subclasses only, whose own way of writing does not give the same bytes twice.
    from tensorflow_datasets.core.dataset_builder import FileReaderBuilder
except ImportError:
    FileReaderBuilder = tfds.core.GeneratorBasedBuilder.__bases__[0]

__all__ = ["FileReaderBuilder", "is_overwriting_build", "writing_to"]

_COMMAND_LINE = "tensorflow_datasets.scripts."


@contextlib.contextmanager
def writing_to(builder: tfds.core.DatasetBuilder, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Makes a builder build its version in another folder, as TFDS does while it writes.

    Args:
      builder: the builder.
      folder: instead of `builder.data_dir`.

    Raises:
      DatasetError: this release of TFDS stores the folder in another way. Nothing was written.
    """
    original = builder.data_dir
    builder._data_dir = os.fspath(folder)
    try:
        if builder.data_dir != os.fspath(folder):
            raise DatasetError(
                f"TFDS {tfds.__version__} cannot build beside {original}",
                f"remove {original} and build without --overwrite",
            )
        yield
    finally:
        builder._data_dir = original


def is_overwriting_build() -> bool:
    """Whether `tfds build --overwrite` asks for the state of a dataset in order to delete it.

    TFDS's command line has no public hook for that: it asks `is_prepared`, deletes the dataset, and
    builds it. So this function looks for the command line among its callers, and reads the options
    from the variables of the function that asks. If a release has other variables, the answer is
    True: then the dataset is not deleted, and `--fail_if_exists` has no effect.
    """
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] == "tfds_rvf10k":
        frame = frame.f_back
    if not frame or not frame.f_globals.get("__name__", "").startswith(_COMMAND_LINE):
        return False
    options = frame.f_locals
    if not {"overwrite", "fail_if_exists"} <= options.keys():
        return True
    return bool(options["overwrite"]) and not options["fail_if_exists"]

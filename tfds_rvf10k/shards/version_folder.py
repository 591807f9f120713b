"""The folder of a dataset's version appears or changes at once, or not at all.

That holds for builders that fail, that are killed, and that run at the same time.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tfds_rvf10k import locks
from tfds_rvf10k.errors import DatasetError

_UNFINISHED = "incomplete."  # TFDS's prefix of a version that is being written
_REPLACED = "replaced_"


class NoSpace(DatasetError, OSError):
    """The disk has no space for a dataset, or refuses to write it."""


@contextlib.contextmanager
def exclusive_build(version: Path) -> Iterator[None]:
    """Keeps other builders of this version out, and removes what killed ones left.

    Args:
      version: the folder that will hold the version, such as `rvf10k/kfold5/1.0.0`.

    Raises:
      OSError: the folder around it cannot be written.
    """
    lock = version.with_name(f".{version.name}.lock")
    with locks.file_lock(lock, f"{version}: another process is building it; waiting"):
        _clean_up(version)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if not any(version.parent.iterdir()):  # nothing was built
                version.parent.rmdir()


def _clean_up(version: Path) -> None:
    """Removes the unfinished folders of killed builders; restores a version that one moved away."""
    replaced = version.with_name(_REPLACED + version.name)
    if replaced.exists() and not version.exists():
        replaced.rename(version)  # it was killed between the two renames of `replace`
    for unfinished in version.parent.glob(f"{_UNFINISHED}*_{version.name}"):
        shutil.rmtree(unfinished)
    if replaced.exists():
        shutil.rmtree(replaced)


def staging_folder(version: Path) -> Path:
    """The folder where the replacement of a version is built. `exclusive_build` cleans it up."""
    return version.with_name(f"{_UNFINISHED}fresh_{version.name}")


def replace(version: Path, new: Path) -> None:
    """Replaces the folder of a version by a complete new one."""
    replaced = version.with_name(_REPLACED + version.name)
    version.rename(replaced)
    new.rename(version)
    shutil.rmtree(replaced)


@contextlib.contextmanager
def enough_space(data_dir: str, needed: int) -> Iterator[None]:
    """Checks the free space before a dataset is written, and names the remedy if writing fails.

    Args:
      data_dir: where the dataset is written.
      needed: the bytes that it needs.

    Raises:
      NoSpace: there is less space, or the dataset cannot be written.
    """
    import tensorflow as tf

    remedy = "make room, or give another --data_dir"
    size = f"{needed / 1e6:.1f} MB"
    if "://" not in data_dir and (free := shutil.disk_usage(data_dir).free) < needed:
        raise NoSpace(
            f"{data_dir}: the dataset needs {size}, {free / 1e6:.1f} MB are free",
            remedy,
            option="data_dir",
        )
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        raise NoSpace(
            f"{data_dir}: cannot write the dataset ({cause}), which needs {size}",
            remedy,
            option="data_dir",
        ) from error

"""A version of a dataset comes to be at once or not at all, whatever happens to its builder."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tfds_rvf10k import locks

UNFINISHED = "incomplete."  # TFDS's prefix for a version being written
_REPLACED = "replaced_"


@contextlib.contextmanager
def alone(version: Path) -> Iterator[None]:
    """Keeps other builders of this version out, and clears up after those that were killed.

    Args:
      version: the directory that will hold the version, such as `rvf10k/kfold5/1.0.0`.

    Raises:
      OSError: the folder around it cannot be written.
    """
    lock = version.with_name(f".{version.name}.lock")
    with locks.held(lock, f"{version}: another process is building it; waiting"):
        _clear_up(version)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if not any(version.parent.iterdir()):  # nothing was built
                version.parent.rmdir()


def _clear_up(version: Path) -> None:
    """Removes what killed builders of this version left; takes back what one had set aside."""
    aside = version.with_name(_REPLACED + version.name)
    if aside.exists() and not version.exists():
        aside.rename(version)  # killed between the two renames of `replace`
    for orphan in version.parent.glob(f"{UNFINISHED}*_{version.name}"):
        shutil.rmtree(orphan)
    if aside.exists():
        shutil.rmtree(aside)


def fresh(version: Path) -> Path:
    """Where a version that shall replace this one is built; an orphan there is cleared up."""
    return version.with_name(f"{UNFINISHED}fresh_{version.name}")


def replace(version: Path, new: Path) -> None:
    """Puts a whole new version in the place of another."""
    aside = version.with_name(_REPLACED + version.name)
    version.rename(aside)
    new.rename(version)
    shutil.rmtree(aside)


@contextlib.contextmanager
def room(data_dir: str, needed: int) -> Iterator[None]:
    """Raises OSError, in a line with the remedy, where a dataset finds no room."""
    import tensorflow as tf

    remedy = "make room, or give another --data_dir"
    if "://" not in data_dir and (free := shutil.disk_usage(data_dir).free) < needed:
        raise OSError(
            f"{data_dir}: the dataset needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free; "
            f"{remedy}"
        )
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"{data_dir}: cannot write the dataset ({str(error).splitlines()[0]}), which needs "
            f"{needed / 1e6:.1f} MB; {remedy}"
        ) from error

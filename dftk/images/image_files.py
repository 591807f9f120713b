"""Finds the image files in folders, one after the other, however many there are."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dftk.utils.errors import UserError
from tfds_rvf10k.sources.source import Source

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclasses.dataclass(frozen=True)
class FileScore:
    """The result for one file: the probability that it is fake, or an error."""

    path: Path
    probability: float = float("nan")
    error: str = ""
    members: tuple[float, ...] = ()  # the probabilities whose mean it is


def find_images(paths: Iterable[Path]) -> Iterator[FileScore | Path]:
    """Yields given files as they are, and the image files in given folders in sorted order.

    A folder is walked while its files are consumed, see tfds_rvf10k.sources.tree_walk. Links are
    followed, except a link to a folder that the walk is inside of already. Hidden files, files of
    the operating system, and files that are no images by their names are passed over.

    Yields:
      A path to score, or a FileScore with the error of one that cannot be scored.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for item in _walk(path, Counter()):
            found = True
            yield item
        if not found:
            yield FileScore(path, error=f"no {', '.join(IMAGE_SUFFIXES)} file in it")


def listed(folder: Path, ignored: Counter[str] | None = None) -> list[Path]:
    """Lists the image files of a folder by the rules of find_images. There may be none.

    Args:
      folder: to walk.
      ignored: counts, by suffix, the files that are no images by their names.

    Raises:
      UserError: a folder cannot be read.
    """
    paths = []
    for item in _walk(folder, Counter() if ignored is None else ignored):
        if isinstance(item, FileScore):
            raise UserError(f"{item.path}: {item.error}; make it readable, or take it out")
        paths.append(item)
    return paths


def _walk(folder: Path, ignored: Counter[str]) -> Iterator[FileScore | Path]:
    """Yields the image files below a folder, and the folders there that cannot be read."""
    for found in Source(str(folder)).walk(""):
        path = folder / found.name
        if found.error:
            yield FileScore(path, error=found.error.strerror or str(found.error))
        elif found.is_loop or not found.is_regular:
            continue  # a loop's files are found under their first name
        elif found.name.lower().endswith(IMAGE_SUFFIXES):
            yield path
        else:
            ignored[path.suffix.lower() or "no suffix"] += 1

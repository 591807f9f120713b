"""Finds the image files in folders, one after the other, however many there are."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dftk.utils.errors import UserError
from tfds_rvf10k.sources.source import Source

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclasses.dataclass(frozen=True)
class UnreadableImage:
    """A file or directory that cannot be read as an image.

    It is a value and not an exception: work on many files goes on, and the traceback of an
    exception would keep the bytes of the file in memory.
    """

    path: Path
    reason: str  # what is wrong with it, in words


def find_images(paths: Iterable[Path]) -> Iterator[UnreadableImage | Path]:
    """Yields given files as they are, and the image files in given folders in sorted order.

    A folder is walked while its files are consumed, see tfds_rvf10k.sources.tree_walk. Links are
    followed, except a link to a folder that the walk is inside of already. Hidden files, files of
    the operating system, and files that are no images by their names are passed over.

    Yields:
      A path to read, or a folder that cannot be read or holds no image.
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
            yield UnreadableImage(path, f"no {', '.join(IMAGE_SUFFIXES)} file in it")


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
        if isinstance(item, UnreadableImage):
            raise UserError(f"{item.path}: {item.reason}; make it readable, or take it out")
        paths.append(item)
    return paths


def _walk(folder: Path, ignored: Counter[str]) -> Iterator[UnreadableImage | Path]:
    """Yields the image files below a folder, and the folders there that cannot be read."""
    for found in Source(str(folder)).walk(""):
        path = folder / found.name
        if found.error:
            yield UnreadableImage(path, found.error.strerror or str(found.error))
        elif found.is_loop or not found.is_regular:
            continue  # a loop's files are found under their first name
        elif found.name.lower().endswith(IMAGE_SUFFIXES):
            yield path
        else:
            ignored[path.suffix.lower() or "no suffix"] += 1

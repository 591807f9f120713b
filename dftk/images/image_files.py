"""Paths and directory trees -> image files, one after the other, however many there are."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dftk.utils.errors import UserError

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
    """Files as given; directories walked in sorted order for image files.

    A tree is walked as it is consumed: no more than the names of the directories on the way to
    the file at hand are held. Links are followed, but not into a directory that one is in
    already. Hidden files and directories, and files that by name are no images, are passed over.

    Yields:
      a path to read, or a directory that cannot be read or holds no image.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for item in _walk(path, (), Counter()):
            found = True
            yield item
        if not found:
            yield UnreadableImage(path, f"no {', '.join(IMAGE_SUFFIXES)} file in it")


def listed(folder: Path, ignored: Counter[str] | None = None) -> list[Path]:
    """All image files of one directory, by the rules of find_images; none is no error.

    Args:
      folder: to walk.
      ignored: counts, by suffix, the files passed over that by name are no images.

    Raises:
      UserError: a directory that cannot be read.
    """
    paths = []
    for item in _walk(folder, (), Counter() if ignored is None else ignored):
        if isinstance(item, UnreadableImage):
            raise UserError(f"{item.path}: {item.reason}; make it readable, or take it out")
        paths.append(item)
    return paths


def _walk(
    folder: Path, above: tuple[tuple[int, int], ...], ignored: Counter[str]
) -> Iterator[UnreadableImage | Path]:
    """Files of a tree in the order of their paths' parts; `above` identifies where one is."""
    try:
        status = folder.stat()
        if (here := (status.st_dev, status.st_ino)) in above:
            return  # its files come under their first name
        names = _names(folder, ignored)
    except OSError as error:
        yield UnreadableImage(folder, error.strerror or str(error))
        return
    for name, is_folder in names:
        if is_folder:
            yield from _walk(folder / name, (*above, here), ignored)
        else:
            yield folder / name


def _names(folder: Path, ignored: Counter[str]) -> list[tuple[str, bool]]:
    """Names of images and folders, sorted, and which of them are folders; counts other files."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                names.append((entry.name, True))
            elif not entry.is_file():
                continue
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                names.append((entry.name, False))
            else:
                ignored[Path(entry.name).suffix.lower() or "no suffix"] += 1
    return sorted(names)

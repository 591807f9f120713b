"""Paths and directory trees -> image files, one after the other, however many there are."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclasses.dataclass(frozen=True)
class FileScore:
    """What came of one file: a probability of fake, or an error in words."""

    path: Path
    probability: float = float("nan")
    error: str = ""
    members: tuple[float, ...] = ()  # probabilities of which it is the mean


def find_images(paths: Iterable[Path]) -> Iterator[FileScore | Path]:
    """Files as given; directories walked in sorted order for image files.

    A tree is walked as it is consumed: no more than the names of the directories on the way to
    the file at hand are held. Links are followed, but not into a directory that one is in
    already. Hidden files and directories, and files that by name are no images, are passed over.

    Yields:
      a path to score, or a FileScore with the error of one that cannot be.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = False
        for item in _walk(path, ()):
            found = True
            yield item
        if not found:
            yield FileScore(path, error=f"no {', '.join(IMAGE_SUFFIXES)} file in it")


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[FileScore | Path]:
    """Files of a tree in the order of their paths' parts; `above` identifies where one is."""
    try:
        status = folder.stat()
        if (here := (status.st_dev, status.st_ino)) in above:
            return  # its files come under their first name
        names = _names(folder)
    except OSError as error:
        yield FileScore(folder, error=error.strerror or str(error))
        return
    for name, is_folder in names:
        if is_folder:
            yield from _walk(folder / name, (*above, here))
        else:
            yield folder / name


def _names(folder: Path) -> list[tuple[str, bool]]:
    """Names of images and folders, sorted, and which of them are folders."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                names.append((entry.name, True))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
                names.append((entry.name, False))
    return sorted(names)

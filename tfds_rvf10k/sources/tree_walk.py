"""Walks a tree of folders and yields its files.

One file comes after the other: memory holds the names of the folders on the way to the current file
and no more. The order is that of the sorted names, whatever the filesystem's own order is. Links
are followed, except a link to a folder that the walk is inside of already.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

# Names that operating systems, file managers and network storage give to what is theirs, in lower
# case. Names that begin with a dot are passed over as well.
_SYSTEM_NAMES = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
        "__macosx", "icon\r",
        "lost+found",
        "@eadir", "@tmp", "#recycle", "#snapshot",  # Synology
        "@recycle", "@recently-snapshot",  # QNAP
    }
)  # fmt: skip


def is_system_name(name: str) -> bool:
    """Whether systems leave a file or folder of this name behind, or hide it."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class FolderEntry:
    """A name in a folder.

    Attributes:
      name: without the folder.
      is_folder: also of a link to a folder.
      is_regular: False for a pipe, a device, and a link to nothing.
    """

    name: str
    is_folder: bool = False
    is_regular: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class WalkedPath:
    """A file of a tree, or a folder that cannot be entered.

    Attributes:
      name: relative to the tree's top, with forward slashes.
      is_regular: see FolderEntry.
      error: why the folder of this name cannot be listed; None for files.
      is_loop: the folder of this name is a link to a folder around it.
    """

    name: str
    is_regular: bool = True
    error: OSError | None = None
    is_loop: bool = False


class Tree(Protocol):
    """What can be walked."""

    def scan(self, folder: str) -> Sequence[FolderEntry]:
        """What a folder holds, sorted, without system files; raises OSError."""

    def identity(self, folder: str) -> tuple[int, int] | None:
        """What is equal for two names of one folder; None if there are no links."""


def walk(tree: Tree, folder: str = "") -> Iterator[WalkedPath]:
    """Yields the files below a folder, and the folders there that cannot be entered.

    Args:
      tree: the tree.
      folder: relative to its top; "" for all of it.

    Raises:
      OSError: a folder between the top and `folder` cannot be read.
    """
    parts = folder.split("/") if folder else []
    around = (tree.identity("/".join(parts[:depth])) for depth in range(len(parts)))
    yield from _walk(tree, folder, tuple(each for each in around if each))


def _walk(tree: Tree, folder: str, around: tuple[tuple[int, int], ...]) -> Iterator[WalkedPath]:
    try:
        here = tree.identity(folder)
        if here in around:
            yield WalkedPath(folder, is_loop=True)
            return
        entries = tree.scan(folder)
    except OSError as error:
        yield WalkedPath(folder, error=error)
        return
    inside = (*around, here) if here else around
    for entry in entries:
        name = join(folder, entry.name)
        if entry.is_folder:
            yield from _walk(tree, name, inside)
        else:
            yield WalkedPath(name, entry.is_regular)


def join(folder: str, name: str) -> str:
    """The name of a file in a folder; either may be ""."""
    return f"{folder}/{name}" if folder and name else folder or name

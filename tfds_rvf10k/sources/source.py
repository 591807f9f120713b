"""Where images come from: a folder on any filesystem, or a folder inside a zip archive."""

import dataclasses
import functools
import os
import stat
import zipfile
from collections.abc import Iterator
from typing import TypeAlias

from etils import epath

from tfds_rvf10k.sources import archive

Names: TypeAlias = dict[str, list[str]]  # folder -> names in it
_HIDDEN = ("Thumbs.db", "desktop.ini", "__MACOSX")  # and what begins with a dot


class Unreadable(Exception):
    """A file that cannot be read; the text says why and what to do, without the name."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder, cheap to pickle; all names are relative to it, with forward slashes.

    Attributes:
      path: the folder, or the zip archive.
      inside: of an archive the folder in it, "" for its top; None if `path` is a folder.
    """

    path: str
    inside: str | None = None

    def __str__(self) -> str:
        return self.path if not self.inside else f"{self.path}/{self.inside}"

    def below(self, folder: str) -> "Source":
        """A folder in it as a source of its own."""
        if self.inside is None:
            return Source(_join(self.path, folder))
        return Source(self.path, _join(self.inside, folder))

    def above(self) -> "Source | None":
        """The folder around it; None at the top of an archive."""
        if self.inside is None:
            return Source(os.path.dirname(self.path.rstrip("/")))
        return Source(self.path, self.inside.rpartition("/")[0]) if self.inside else None

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file.

        Raises:
          Unreadable: not there, not a regular file, not readable, or longer than `limit` bytes.
        """
        try:
            if self.inside is not None:
                opened, _, _ = _archive(self.path, _stamp(self.path))
                return archive.read_entry(opened, _join(self.inside, name), limit)
            if "://" in self.path:
                return (epath.Path(self.path) / name).read_bytes()
            return _read_file(os.path.join(self.path, name), limit)
        except (FileNotFoundError, KeyError) as error:
            raise Unreadable("is not there; get it, or remove what names it") from error
        except OSError as error:
            raise Unreadable(
                f"cannot be read ({error.strerror or error}); make it readable, or remove it"
            ) from error
        except ValueError as error:
            # Without the archive's path: what is listed must not depend on where it lies.
            raise Unreadable(str(error).removeprefix(f"{self.path}: ")) from error

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files in a folder, sorted; ("" is the source itself).

        Hidden files and those that file managers leave behind are passed over. Links are followed;
        one to nothing counts as a file.

        Raises:
          NotADirectoryError, FileNotFoundError, PermissionError: of the folder.
        """
        if self.inside is not None:
            _, folders, files = _archive(self.path, _stamp(self.path))
            key = _join(self.inside, folder)
            found = sorted(folders.get(key, ())), sorted(files.get(key, ()))
        elif "://" in self.path:
            children = list((epath.Path(self.path) / folder).iterdir())
            found = (
                sorted(child.name for child in children if child.is_dir()),
                sorted(child.name for child in children if not child.is_dir()),
            )
        else:
            with os.scandir(os.path.join(self.path, folder)) as scan:
                kinds = sorted((entry.name, _is_folder(entry)) for entry in scan)
            found = [n for n, is_dir in kinds if is_dir], [n for n, is_dir in kinds if not is_dir]
        folders_here, files_here = ([n for n in names if not hidden(n)] for names in found)
        return folders_here, files_here

    def is_file(self, name: str) -> bool:
        """Whether there is such a file."""
        folder, _, base = name.rpartition("/")
        return self.is_folder(folder) and base in self.entries(folder)[1]

    def is_folder(self, name: str) -> bool:
        """Whether there is such a folder; "" is the source itself."""
        if self.inside is not None:
            _, folders, files = _archive(self.path, _stamp(self.path))
            key = _join(self.inside, name)
            return not key or key in folders or key in files
        if "://" in self.path:
            return (epath.Path(self.path) / name).is_dir()
        return os.path.isdir(os.path.join(self.path, name))

    def walk(self, folder: str) -> Iterator[tuple[str, str]]:
        """Files at any depth below a folder, in the order of their paths' parts.

        Yields:
          (name, ""), or for what cannot be walked into (its name, why and what to do).
        """
        parts = folder.split("/")
        above = ["/".join(parts[:depth]) for depth in range(len(parts) if folder else 0)]
        identities = (self._identity(name) for name in above)
        yield from self._walk(folder, tuple(here for here in identities if here))

    def _walk(self, folder: str, around: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str]]:
        try:
            here = self._identity(folder)
            if here in around:
                yield folder, "a link back to a folder that it lies in; remove the link"
                return
            folders, files = self.entries(folder)
        except OSError as error:
            yield folder, f"cannot be read ({error.strerror}); make it readable, or remove it"
            return
        for name, is_folder in sorted([(n, True) for n in folders] + [(n, False) for n in files]):
            path = _join(folder, name)
            if is_folder:
                yield from self._walk(path, (*around, here) if here else around)
            else:
                yield path, ""

    def _identity(self, folder: str) -> tuple[int, int] | None:
        """Of a local folder, whatever its name; elsewhere there are no links."""
        if self.inside is not None or "://" in self.path:
            return None
        status = os.stat(os.path.join(self.path, folder))
        return status.st_dev, status.st_ino


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is one that systems leave behind."""
    return name.startswith(".") or name in _HIDDEN


def _read_file(path: str, limit: int) -> bytes:
    # A pipe would hang without O_NONBLOCK, and a device need not end.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file; remove it")
        if status.st_size > limit:
            raise Unreadable(
                f"{status.st_size:,} bytes, more than the {limit:,} allowed; remove it"
            )
        return file.read()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; reading it as a file will tell
        return False


def _stamp(path: str) -> tuple[int, ...]:
    """What tells an archive from another one that takes its place."""
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _archive(path: str, stamp: tuple[int, ...]) -> tuple[zipfile.ZipFile, Names, Names]:
    """An archive and, for each folder in it, the folders and the files there.

    One for a process: reading the directory of 100,000 entries takes a second.
    """
    del stamp  # a key
    opened = archive.open_archive(path)
    folders: dict[str, set[str]] = {}
    files: Names = {}
    for name in opened.namelist():
        parent, _, base = name.rstrip("/").rpartition("/")
        if not name.endswith("/"):
            files.setdefault(parent, []).append(base)
        else:
            folders.setdefault(parent, set()).add(base)
        while parent:  # folders need not have entries of their own
            parent, _, base = parent.rpartition("/")
            if base in folders.setdefault(parent, set()):
                break
            folders[parent].add(base)
    return opened, {folder: list(names) for folder, names in folders.items()}, files

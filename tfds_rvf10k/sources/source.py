"""Where images come from: a folder on any filesystem, or a folder inside a zip archive."""

import dataclasses
import functools
import os
import stat
import zipfile
from collections.abc import Iterator
from typing import TypeAlias

from etils import epath

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.sources import archive, tree_walk
from tfds_rvf10k.sources.archive import ArchiveError
from tfds_rvf10k.sources.tree_walk import FolderEntry, WalkedPath, is_system_name, join

Names: TypeAlias = dict[str, list[str]]  # folder -> names in it


class UnreadableFile(DatasetError):
    """A file cannot be read. The text does not name it: its name is the caller's."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder. All names are relative to it, with forward slashes. It is cheap to pickle.

    Attributes:
      path: the folder, or the zip archive.
      inside: the folder inside the archive, "" for its top; None if `path` is a folder.
    """

    path: str
    inside: str | None = None

    def __str__(self) -> str:
        return self.path if not self.inside else f"{self.path}/{self.inside}"

    def subfolder(self, folder: str) -> "Source":
        """A folder in it, as a source of its own."""
        if self.inside is None:
            return Source(join(self.path, folder))
        return Source(self.path, join(self.inside, folder))

    def parent(self) -> "Source | None":
        """The folder around it; None at the top of an archive."""
        if self.inside is None:
            return Source(os.path.dirname(self.path.rstrip("/")))
        return Source(self.path, self.inside.rpartition("/")[0]) if self.inside else None

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a file.

        Raises:
          UnreadableFile: it is not there, not a regular file, not readable, or longer than `limit`
            bytes.
        """
        try:
            if self.inside is not None:
                opened, _, _ = _archive(self.path, _stamp(self.path))
                return archive.read_entry(opened, join(self.inside, name), limit)
            if self._is_remote():
                return (epath.Path(self.path) / name).read_bytes()
            return _read_file(os.path.join(self.path, name), limit)
        except UnreadableFile:
            raise
        except (FileNotFoundError, KeyError) as error:
            raise UnreadableFile("is not there", "get it, or remove what names it") from error
        except OSError as error:
            raise UnreadableFile(
                f"cannot be read ({error.strerror or error})", "make it readable, or remove it"
            ) from error
        except ArchiveError as error:
            # Without the archive's path: a list of problems must not depend on where it lies.
            raise UnreadableFile(error.fault, error.remedy) from error
        except ValueError as error:  # a NUL in the name
            raise UnreadableFile(f"cannot be read ({error})", "rename it") from error

    def entries(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the files in a folder, sorted; see `scan`."""
        found = self.scan(folder)
        return [e.name for e in found if e.is_folder], [e.name for e in found if not e.is_folder]

    def scan(self, folder: str) -> list[FolderEntry]:
        """What a folder holds, sorted by name; "" is the source itself.

        Files of the operating system are passed over, see tree_walk.is_system_name.

        Raises:
          NotADirectoryError, FileNotFoundError, PermissionError: the folder cannot be listed.
        """
        if self.inside is not None:
            _, folders, files = _archive(self.path, _stamp(self.path))
            key = join(self.inside, folder)
            found = [FolderEntry(name, is_folder=True) for name in folders.get(key, ())]
            found += [FolderEntry(name) for name in files.get(key, ())]
        elif self._is_remote():
            children = (epath.Path(self.path) / folder).iterdir()
            found = [FolderEntry(child.name, child.is_dir()) for child in children]
        else:
            with os.scandir(os.path.join(self.path, folder)) as scan:
                return sorted(
                    _local_entry(entry) for entry in scan if not is_system_name(entry.name)
                )
        return sorted(entry for entry in found if not is_system_name(entry.name))

    def is_file(self, name: str) -> bool:
        """Whether there is such a file."""
        folder, _, base = name.rpartition("/")
        return self.is_folder(folder) and base in self.entries(folder)[1]

    def is_folder(self, name: str) -> bool:
        """Whether there is such a folder; "" is the source itself."""
        if self.inside is not None:
            _, folders, files = _archive(self.path, _stamp(self.path))
            key = join(self.inside, name)
            return not key or key in folders or key in files
        if self._is_remote():
            return (epath.Path(self.path) / name).is_dir()
        return os.path.isdir(os.path.join(self.path, name))

    def walk(self, folder: str) -> Iterator[WalkedPath]:
        """The files at any depth below a folder; see tree_walk.walk."""
        return tree_walk.walk(self, folder)

    def identity(self, folder: str) -> tuple[int, int] | None:
        """Device and inode of a local folder; None elsewhere, where there are no links."""
        if self.inside is not None or self._is_remote():
            return None
        status = os.stat(os.path.join(self.path, folder))
        return status.st_dev, status.st_ino

    def _is_remote(self) -> bool:
        return "://" in self.path


def _local_entry(entry: os.DirEntry[str]) -> FolderEntry:
    try:
        return FolderEntry(entry.name, entry.is_dir(), entry.is_file())
    except OSError:  # a link to itself; reading it as a file says so
        return FolderEntry(entry.name, is_regular=False)


def _read_file(path: str, limit: int) -> bytes:
    # A pipe would hang without O_NONBLOCK, and a device need not end.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile("not a regular file", "remove it")
        if status.st_size > limit:
            raise UnreadableFile(
                f"{status.st_size:,} bytes, more than the {limit:,} allowed", "remove it"
            )
        return file.read()


def _stamp(path: str) -> tuple[int, ...]:
    """What differs when another archive takes the place of one."""
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _archive(path: str, stamp: tuple[int, ...]) -> tuple[zipfile.ZipFile, Names, Names]:
    """An open archive and, for each folder in it, the names of the folders and of the files.

    A process opens an archive once: to read the directory of 100,000 entries takes a second.

    Args:
      path: of the archive.
      stamp: see `_stamp`; a part of the cache's key.
    """
    del stamp
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

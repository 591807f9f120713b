"""Zip archives of unknown origin. They are checked when opened, read in place, never unpacked."""

import collections
import copy
import re
import stat
import zipfile
import zlib
from collections.abc import Sequence

from tfds_rvf10k.errors import DatasetError

# Far above any image or table of a dataset of faces: RVF10K's largest file has 1.1 MB.
MAX_ENTRY_BYTES = 256 * 2**20
# RVF10K's tables compress by a factor of 7.8, its JPEGs by 1.01; deflate reaches 1,032.
MAX_RATIO = 200
_MIN_RATIO_BYTES = 2**20  # a smaller entry cannot fill the memory, whatever its ratio
_LOCAL_HEADER_BYTES = 30  # without name and extra field, so a lower bound
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # of the data, strong, of the central directory
_MAX_NAME, _MAX_DEPTH = 1024, 32  # characters, folders
# Of the other methods zipfile expands whole blocks, however few bytes it is asked for.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class ArchiveError(DatasetError):
    """An archive cannot be read, or is not safe to read; one line.

    Attributes:
      fault: what is wrong, without the path of the archive that begins `what`.
    """

    def __init__(self, path: str, fault: str = "", remedy: str = ""):
        super().__init__(f"{path}: {fault}", remedy)
        self.fault = fault


def open_archive(path: str) -> zipfile.ZipFile:
    """Opens a zip archive and checks its central directory. It reads no entry.

    Args:
      path: of the archive.

    Returns:
      The open archive. The caller closes it.

    Raises:
      ArchiveError: it is no zip archive or a truncated one. Or an entry is refused: its name leads
        out of the archive, it is a link or a device, it is encrypted or compressed by a rare
        method, it has the name of another entry, it shares bytes with another entry (the bomb of
        Fifield, "A better zip bomb", WOOT 2019), it has more than MAX_ENTRY_BYTES, or it has 1 MiB
        or more and a compression ratio above MAX_RATIO.
      OSError: the file cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise ArchiveError(
            path, f"not a zip archive, or not all of one ({error})", "download it again"
        ) from error
    try:
        _check(path, archive)
    except ArchiveError:
        archive.close()
        raise
    return archive


def read_entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Reads one entry. Several threads may read one archive: zipfile locks the file it shares.

    Args:
      archive: from `open_archive`.
      name: of the entry, as `archive.namelist()` has it.
      limit: the most bytes of the entry; memory never holds more than one byte above it.

    Raises:
      ArchiveError: the entry has more bytes than the limit, more or fewer than it declares, bytes
        that contradict its CRC, or data that cannot be decompressed.
      KeyError: there is no entry of that name.
    """
    path = str(archive.filename)
    declared = archive.getinfo(name)
    entry = f"entry {_short(name)}"
    if declared.file_size > limit:
        what = f"{entry} has {declared.file_size} bytes, more than {limit}"
        raise ArchiveError(path, what, "take it out")
    # zipfile stops at the declared size without a check. Ask for one byte more: then it reads on,
    # and finds a wrong CRC if there are more bytes than declared.
    wider = copy.copy(declared)
    wider.file_size += 1
    try:
        with archive.open(wider) as stream:
            data = stream.read(wider.file_size)
    except _BROKEN as error:
        cause = " ".join(str(error).split()) or "it ends too early"
        what = f"{entry} is damaged ({cause})"
        raise ArchiveError(path, what, "download the archive again") from error
    if len(data) != declared.file_size:
        what = f"{entry} holds {len(data)} bytes and declares {declared.file_size}"
        raise ArchiveError(path, what, "download the archive again")
    return data


def _check(path: str, archive: zipfile.ZipFile) -> None:
    """Raises ArchiveError for the first entry that is refused, with the number of others."""
    entries = archive.infolist()
    overlapping = _overlapping(entries, archive.start_dir)
    copies = collections.Counter(entry.filename for entry in entries)
    refused = []
    for index, entry in enumerate(entries):
        if fault := _fault(entry, copies[entry.filename], index in overlapping):
            refused.append((entry.filename, fault))
    if not refused:
        return
    name, fault = refused[0]
    more = f" (also refused: {len(refused) - 1} more)" if len(refused) > 1 else ""
    raise ArchiveError(
        path,
        f"entry {_short(name)} {fault}{more}",
        "download the archive again from where you trust, or zip the files anew",
    )


def _fault(entry: zipfile.ZipInfo, copies: int, overlaps: bool) -> str:
    """Why an entry is refused, as the rest of a sentence; empty if it is not."""
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where no Unix wrote the archive
    size, packed = entry.file_size, entry.compress_size
    if _leaves(entry.filename) or _leaves(entry.orig_filename):
        return "has a name that leads out of the archive"
    if _is_odd(entry.filename):
        limits = f"more than {_MAX_NAME} characters or {_MAX_DEPTH} parts"
        return f"has an empty part in its name, or {limits}"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return f"is compressed by method {entry.compress_type}, neither stored nor deflated"
    if copies > 1:
        return f"is there {copies} times"
    if overlaps:
        return "shares its bytes with another entry, as in a zip bomb"
    if size > MAX_ENTRY_BYTES:
        return f"declares {size} bytes, more than {MAX_ENTRY_BYTES}"
    if size > _MIN_RATIO_BYTES and size > MAX_RATIO * packed:
        return f"declares {size} bytes in {packed}, as in a zip bomb"
    return ""


def _is_odd(name: str) -> bool:
    """Whether a name is too long, too deep, or not the shortest form of its path.

    Memory holds each folder on the way to a file, so the depth is limited.
    """
    parts = name.removesuffix("/").split("/")
    return len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH or "" in parts or "." in parts


def _leaves(name: str) -> bool:
    """Whether a name is absolute, has a drive letter or `..`, or is a path on some systems."""
    if name.startswith("/") or "\\" in name or "\0" in name:
        return True
    return ".." in name.split("/") or re.match("[A-Za-z]:", name) is not None


def _overlapping(entries: Sequence[zipfile.ZipInfo], end: int) -> set[int]:
    """Indices of entries that begin inside an earlier one or do not lie in [0, end)."""
    order = sorted(range(len(entries)), key=lambda index: entries[index].header_offset)
    found = set()
    reached = 0  # the end of all earlier entries
    for index in order:
        start = entries[index].header_offset
        stop = start + _LOCAL_HEADER_BYTES + entries[index].compress_size
        if start < reached or stop > end:
            found.add(index)
        reached = max(reached, stop)
    return found


def _short(name: str) -> str:
    """A name in quotes on one line, shortened if it is long."""
    return repr(name if len(name) <= 120 else name[:100] + "...")

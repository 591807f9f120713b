"""Zip archives from strangers: checked when opened, read in place, never unpacked."""

import collections
import copy
import re
import stat
import zipfile
import zlib
from collections.abc import Sequence

# No image or table of a dataset of faces comes near this: RVF10K's largest has 1.1 MB.
MAX_ENTRY_BYTES = 256 * 2**20
# RVF10K's tables shrink by 7.8, its JPEGs by 1.01 at most; deflate ends at 1,032.
MAX_RATIO = 200
_RATIO_COUNTS_FROM = 2**20  # bytes: nothing smaller fills a memory
_LOCAL_HEADER_BYTES = 30  # without name and extra field, so a lower bound
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # of the data, strong, of the central directory
# zipfile expands the others by whole blocks, whatever the number of bytes it is asked for.
_MAX_NAME, _MAX_DEPTH = 1024, 32
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def open_archive(path: str) -> zipfile.ZipFile:
    """Opens a zip archive and checks its central directory; no entry is read.

    Args:
      path: of the archive.

    Returns:
      the open archive; the caller closes it.

    Raises:
      ValueError: not a zip, or a cut one; an entry whose name leaves the archive, a link or
        device, encrypted or compressed in a rare way, one of two of a name, one inside another
        (the bomb of Fifield, "A better zip bomb", WOOT 2019), one of more than MAX_ENTRY_BYTES,
        or one of 1 MiB and more that shrank by more than MAX_RATIO. One line for the archive.
      OSError: a file that cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path}: not a zip archive, or not all of one ({error}); download it again"
        ) from error
    try:
        _check(path, archive)
    except ValueError:
        archive.close()
        raise
    return archive


def read_entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Reads one entry. Several threads may read one archive: zipfile locks the file it shares.

    Args:
      archive: from `open_archive`.
      name: of the entry, as `archive.namelist()` has it.
      limit: bytes; no more than one above it is ever held.

    Raises:
      ValueError: more bytes than the limit, more or fewer than declared, others than the CRC
        says, or data that do not decompress.
      KeyError: no entry of that name.
    """
    declared = archive.getinfo(name)
    where = f"{archive.filename}: entry {_short(name)}"
    if declared.file_size > limit:
        raise ValueError(f"{where} has {declared.file_size} bytes, more than {limit}; take it out")
    # zipfile stops at the declared size and would take what follows for someone else's: ask for
    # one byte more, and its CRC tells.
    wider = copy.copy(declared)
    wider.file_size += 1
    try:
        with archive.open(wider) as stream:
            data = stream.read(wider.file_size)
    except _BROKEN as error:
        cause = " ".join(str(error).split()) or "it ends too early"
        raise ValueError(f"{where} is damaged ({cause}); download the archive again") from error
    if len(data) != declared.file_size:
        raise ValueError(
            f"{where} holds {len(data)} bytes and declares {declared.file_size}; "
            "download the archive again"
        )
    return data


def _check(path: str, archive: zipfile.ZipFile) -> None:
    """Raises ValueError for the first entry that is refused, with the number of others."""
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
    raise ValueError(
        f"{path}: entry {_short(name)} {fault}{more}; download the archive again from where you "
        "trust, or zip the files anew"
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
    if size > _RATIO_COUNTS_FROM and size > MAX_RATIO * packed:
        return f"declares {size} bytes in {packed}, as in a zip bomb"
    return ""


def _is_odd(name: str) -> bool:
    """Too long, too deep (each folder on the way is kept), or not the shortest form of a path."""
    parts = name.removesuffix("/").split("/")
    return len(name) > _MAX_NAME or len(parts) > _MAX_DEPTH or "" in parts or "." in parts


def _leaves(name: str) -> bool:
    """Absolute, with a drive letter, with `..`, or with what some systems read as a path."""
    if name.startswith("/") or "\\" in name or "\0" in name:
        return True
    return ".." in name.split("/") or re.match("[A-Za-z]:", name) is not None


def _overlapping(entries: Sequence[zipfile.ZipInfo], end: int) -> set[int]:
    """Indices of entries that begin inside an earlier one, or do not lie in [0, end) at all."""
    order = sorted(range(len(entries)), key=lambda index: entries[index].header_offset)
    found = set()
    reached = 0  # the end of all that lies before
    for index in order:
        start = entries[index].header_offset
        stop = start + _LOCAL_HEADER_BYTES + entries[index].compress_size
        if start < reached or stop > end:
            found.add(index)
        reached = max(reached, stop)
    return found


def _short(name: str) -> str:
    """A name in quotes on one line, cut if it is long."""
    return repr(name if len(name) <= 120 else name[:100] + "...")

"""Files and folders that are whole or not there, beside what they replace until they are done."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from dftk.config import UserError
from dftk.evaluation import files


def refuse_taken(output: Path, is_folder: bool, overwrite: bool) -> None:
    """Looks before the work begins.

    Args:
      output: what is to be written.
      is_folder: a SavedModel; else a file.
      overwrite: whether something of its kind may be there.

    Raises:
      UserError: something is there that must not be replaced.
    """
    if not output.exists():
        return
    if not overwrite:
        raise UserError(f"--output={output}: exists; give another, or --overwrite to replace it")
    same = (output / "saved_model.pb").is_file() if is_folder else output.is_file()
    if not same:
        kind = "a folder with a SavedModel" if is_folder else "a file"
        raise UserError(f"--output={output}: is not {kind}, so --overwrite does not replace it")


@contextlib.contextmanager
def staged(output: Path, is_folder: bool) -> Iterator[Path]:
    """A path beside `output` that takes its place when the block ends well, and is gone if not.

    Raises:
      UserError: `output` cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with (_folder if is_folder else files.replacing)(output) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot write there ({error.strerror or error}); give another"
        ) from error


@contextlib.contextmanager
def _folder(output: Path) -> Iterator[Path]:
    name = f"{files.TEMPORARY}{uuid.uuid4().hex[:8]}.{output.name}"
    temporary, former = output.with_name(name), output.with_name(f"{name}.former")
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        if output.exists():  # no call replaces a folder that holds something
            output.rename(former)
        temporary.rename(output)
        _sync(output.parent)
    finally:
        for leftover in (temporary, former):
            shutil.rmtree(leftover, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digests(path: Path, name: str) -> dict[str, str]:
    """SHA-256 by name: of one file, called `name`, or of all files in a folder."""
    if path.is_file():
        return {name: _sha256(path)}
    return {
        file.relative_to(path).as_posix(): _sha256(file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def megabytes(path: Path) -> float:
    """10^6 bytes of a file, or of all files in a folder."""
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in found) / 1e6

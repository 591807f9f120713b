"""Writes an export and its manifest so that they take their places complete, or not at all."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from dftk.utils import files
from dftk.utils.errors import UserError


def check_replaceable(output: Path, is_folder: bool, overwrite: bool) -> None:
    """Checks before the work begins that the output may be written.

    Args:
      output: the file or folder to write.
      is_folder: whether it is the folder of a SavedModel.
      overwrite: whether an existing one of the same kind may be replaced.

    Raises:
      UserError: something exists there that must not be replaced.
    """
    if not output.exists():
        return
    if not overwrite:
        raise UserError(f"--output={output}: exists; give another, or --overwrite to replace it")
    same = (output / "saved_model.pb").is_file() if is_folder else output.is_file()
    if not same:
        kind = "a folder with a SavedModel" if is_folder else "a file"
        raise UserError(f"--output={output}: is not {kind}, so --overwrite does not replace it")


def manifest_path(output: Path) -> Path:
    """The path of the manifest that belongs to an exported file."""
    return output.with_name(f"{output.name}.json")


@contextlib.contextmanager
def replacing(output: Path, is_folder: bool) -> Iterator[tuple[Path, Path]]:
    """Gives temporary paths, which replace `output` and its manifest if the block succeeds.

    If the block raises, they are removed and `output` stays as it is.

    Yields:
      a path for the export, and one for its manifest, which lies in the folder or beside the file.

    Raises:
      UserError: `output` cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if is_folder:
            with files.replacing_folder(output) as temporary:
                yield temporary, temporary / "assets.extra" / "dftk.json"
        else:
            with _file_and_manifest(output) as paths:
                yield paths
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot write there ({error.strerror or error}); give another path"
        ) from error


@contextlib.contextmanager
def _file_and_manifest(output: Path) -> Iterator[tuple[Path, Path]]:
    """Writes both before it replaces either. No manifest ever describes another file."""
    with (
        files.replacing(manifest_path(output)) as manifest,
        contextlib.ExitStack() as cleanup,
    ):
        temporary = files.temporary_path(output)
        cleanup.callback(temporary.unlink, missing_ok=True)
        yield temporary, manifest
        with files.moved_aside(manifest_path(output)):
            files.replace_durably(temporary, output)


def digests(path: Path, name: str) -> dict[str, str]:
    """Computes the SHA-256 of one file, under `name`, or of each file in a folder, by its path."""
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
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def megabytes(path: Path) -> float:
    """The size of a file, or of all files in a folder, in units of 10^6 bytes."""
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in found) / 1e6

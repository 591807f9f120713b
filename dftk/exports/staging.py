"""Files and folders that are whole or not there, beside what they replace until they are done."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from dftk.utils import files
from dftk.utils.errors import UserError


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


def manifest_of(output: Path) -> Path:
    """Where the manifest of a file lies."""
    return output.with_name(f"{output.name}.json")


@contextlib.contextmanager
def staged(output: Path, is_folder: bool) -> Iterator[tuple[Path, Path]]:
    """Paths that take the places of `output` and its manifest if the block ends well, or are gone.

    Yields:
      where to write the export, and where its manifest: in the folder, or a file beside the file.

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
            f"--output={output}: cannot write there ({error.strerror or error}); give another"
        ) from error


@contextlib.contextmanager
def _file_and_manifest(output: Path) -> Iterator[tuple[Path, Path]]:
    """Both written before either is in place; whenever it stops, no manifest is of another file."""
    with (
        files.replacing(manifest_of(output)) as manifest,
        contextlib.ExitStack() as at_end,
    ):
        temporary = files.temporary_path(output)
        at_end.callback(temporary.unlink, missing_ok=True)
        yield temporary, manifest
        with files.moved_aside(manifest_of(output)):
            files.replace_durably(temporary, output)


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

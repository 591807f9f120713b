"""The saved states of a fold: written atomically, checked on reading, the last good one kept."""

import concurrent.futures
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dftk.utils.errors import UserError
from dftk.utils.files import replacing
from dftk.utils.progress import say

Arrays = Sequence[np.ndarray]
# zipfile raises RuntimeError for flags and methods that do not exist.
_DAMAGE = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)
_KEPT = 2  # states on disk: if the newest is damaged, the one before it is taken


class Checkpoints:
    """Saves the states of one fold in the background, and loads the newest undamaged one.

    A state is an npz file with a CRC-32 of each array, so that a truncated or changed file is
    detected. It gets its name when all of it is on the disk. The best weights are the same in most
    states. They are a file of their own, written before the first state that names it.

    Args:
      folder: of the fold's states; created with the first, removed when the fold is done.
      run: identity of the run; a state of another run is refused.
      write: False in workers that only read.
    """

    def __init__(self, folder: Path, run: str = "", write: bool = True):
        self._folder, self._run, self._write_allowed = folder, run, write
        self._writer = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: concurrent.futures.Future[None] | None = None
        self._number = max([0, *map(_number, self._files("state"))])
        self._best = ""  # name of the file with the best weights of the state at hand

    def save(
        self, record: Mapping[str, Any], variables: Mapping[str, Arrays], best: Arrays | None
    ) -> None:
        """Writes a state in the background, after the state before it.

        Args:
          record: everything but arrays, as JSON has it.
          variables: arrays by the name of their group. The caller must not change them afterwards.
          best: the best weights; None if they are those of the state before.

        Raises:
          UserError: the state before could not be written.
        """
        self.wait()
        self._number += 1
        self._pending = self._writer.submit(self._write, self._number, record, variables, best)

    def wait(self) -> None:
        """Waits until every saved state is on the disk; raises as `save`."""
        pending, self._pending = self._pending, None
        try:
            if pending:
                pending.result()
        except OSError as error:
            kept = self._files("state")
            last = f"the last good state, {kept[-1].name}, is kept" if kept else "none was yet"
            raise UserError(
                f"{self._folder}: cannot write the state ({error.strerror or error}); {last}; "
                "free space there and run the same command again"
            ) from error

    def load(self) -> tuple[dict[str, Any], dict[str, list[np.ndarray]], list[np.ndarray]] | None:
        """Returns the newest undamaged state: record, variables and best weights; None without any.

        A damaged state is named on stderr and renamed, and the state before it is taken.

        Raises:
          UserError: the state of another run, or a state that the storage does not give.
        """
        for path in reversed(self._files("state")):
            try:
                state = _read(path)
                record = json.loads(str(state.pop("record")[0]))
                best = _read(self._folder / record["best_file"])["best"]
            except (*_DAMAGE, FileNotFoundError) as error:
                say(f"{path}: not whole ({error}); set aside, taking the state before it")
                if self._write_allowed:
                    path.rename(path.with_suffix(".damaged"))
                continue
            except OSError as error:  # of the storage, and may pass: nothing is renamed
                raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
            if record["run"] != self._run:
                raise UserError(f"{path}: of a run with other settings; choose another --workdir")
            self._forget_newer(path)
            self._best = record["best_file"]
            return record, state, best
        return None

    def _forget_newer(self, state: Path) -> None:
        """Removes best weights whose state was never written."""
        for best in self._files("best"):
            if self._write_allowed and _number(best) > _number(state):
                best.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes all states. To be called when the fold is done."""
        self.wait()
        self._writer.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self, kind: str) -> list[Path]:
        return sorted(self._folder.glob(f"{kind}-*.npz"), key=_number)

    def _write(
        self,
        number: int,
        record: Mapping[str, Any],
        variables: Mapping[str, Arrays],
        best: Arrays | None,
    ) -> None:
        self._folder.mkdir(exist_ok=True)
        if best is not None:
            self._best = f"best-{number:06d}.npz"
            _store(self._folder / self._best, {"best": best})
        text = json.dumps({**record, "best_file": self._best, "run": self._run})
        _store(self._folder / f"state-{number:06d}.npz", {**variables, "record": [np.array(text)]})
        states = self._files("state")
        for path in states[:-_KEPT]:
            path.unlink()
        # A state names the newest file of best weights that is not newer than the state.
        oldest = _number(states[-_KEPT:][0])
        older = [path for path in self._files("best") if _number(path) <= oldest]
        for path in older[:-1]:
            path.unlink()


def _number(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _store(path: Path, groups: Mapping[str, Arrays]) -> None:
    """Writes groups of arrays to an npz file, without pickle.

    Before NumPy 2.1, savez has no parameter allow_pickle and stores it as one more array. Without
    that parameter, it pickles arrays of objects only, so these are refused here.

    Raises:
      TypeError: an array of objects, which `_read` could not load.
    """
    arrays: dict[str, Any] = {  # Any: the stubs take one of them for allow_pickle
        f"{name}/{i}": np.asarray(array)
        for name, group in groups.items()
        for i, array in enumerate(group)
    }
    if objects := [key for key, array in arrays.items() if array.dtype.hasobject]:
        raise TypeError(f"{path}: {', '.join(objects)} hold Python objects, not numbers")
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read(path: Path) -> dict[str, list[np.ndarray]]:
    """Returns groups of arrays in their order. Reading checks their CRCs."""
    groups: dict[str, list[np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:  # in the order in which they were written
            groups.setdefault(key.split("/")[0], []).append(file[key])
    return groups

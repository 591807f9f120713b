"""The models that a run has now, and whether they made a result.

A fold may be added to a run or trained again. Results of the former models then no longer describe
the run, and neither its report nor dftk.serve may show them.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dftk.runs.workdir import Workdir


def member_digests(workdir: Workdir) -> dict[str, str]:
    """A digest of the model of each finished fold, by fold; "" if its file is damaged or missing.

    Results hold these digests as `members`.
    """
    return {str(fold): _digest(workdir.model_path(fold)) for fold in workdir.finished_folds()}


def _digest(model: Path) -> str:
    """Hashes the checksums that a .keras file, a zip archive, holds, instead of its 90 MB."""
    try:
        with zipfile.ZipFile(model) as archive:
            parts = [(part.filename, part.CRC, part.file_size) for part in archive.infolist()]
    except (OSError, zipfile.BadZipFile):
        return ""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def is_current(digests: Mapping[str, str], result: Mapping[str, Any] | None) -> bool:
    """Whether the run's present models made a result.

    Args:
      digests: of the models, as member_digests gives them.
      result: the content of a JSON file. Those of old versions have no `members`: not current.
    """
    return result is not None and result.get("members", {}) == digests


def read_current(workdir: Workdir, path: Path) -> dict[str, Any] | None:
    """A result that the run's present models made.

    Args:
      workdir: of the run.
      path: of a JSON file.

    Returns:
      None if the file is missing, or if other models made it.
    """
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return content if is_current(member_digests(workdir), content) else None

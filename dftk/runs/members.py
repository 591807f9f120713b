"""Which models a run has now, and whether a result is theirs.

A fold may be added to a run, or trained again: what the models of before scored is then no longer
what the run can do, and neither its report nor its page may say so.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dftk.runs.workdir import Workdir


def members(workdir: Workdir) -> dict[str, str]:
    """A digest of the model of each finished fold; "" of one that is damaged or gone."""
    return {str(fold): _digest(workdir.model_path(fold)) for fold in workdir.finished_folds()}


def _digest(model: Path) -> str:
    """Of the checksums in the file, a zip archive: 90 MB need not be read for it."""
    try:
        with zipfile.ZipFile(model) as archive:
            parts = [(part.filename, part.CRC, part.file_size) for part in archive.infolist()]
    except (OSError, zipfile.BadZipFile):
        return ""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def is_current(workdir: Workdir, result: Mapping[str, Any]) -> bool:
    """Whether all of the run's models of now made a result; its `members` tell."""
    return result.get("members", {}) == members(workdir)


def read_current(workdir: Workdir, path: Path) -> dict[str, Any] | None:
    """A result that was made by all of the run's models as they are now.

    Args:
      workdir: of the run.
      path: of JSON with `members` in it, as the function of that name gives them.

    Returns:
      None where the file is not there, or of other models.
    """
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return content if is_current(workdir, content) else None

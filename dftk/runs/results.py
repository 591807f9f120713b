"""What the files of a run say of its scores."""

from collections.abc import Mapping
from typing import Any

from dftk.runs.members import read_current
from dftk.runs.workdir import Workdir
from dftk.models.config import ONE_CLASS_HEADS

VALID_METRICS = "valid_metrics.json"


def read_valid(workdir: Workdir) -> dict[str, Any] | None:
    """valid_metrics.json; None where `valid` is not scored by the run's models as they are now."""
    return read_current(workdir, workdir.path / VALID_METRICS)


def chooses_by_held_out(config: Mapping[str, Any]) -> bool:
    """Whether a run's weights, its rates or where it stops depend on the fold held out.

    Args:
      config: its fields, by name.
    """
    fitted = config["head"] in ONE_CLASS_HEADS  # in one go
    return not fitted and (config["keep"] == "best" or config["decay"] == "plateau")

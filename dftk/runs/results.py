"""The results in a workdir. Each file is read once, into one value that reports are made from."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.models.config import ONE_CLASS_HEADS
from dftk.runs.members import is_current, member_digests, read_current
from dftk.runs.workdir import Workdir
from dftk.utils.files import read_csv

METRICS, PREDICTIONS = "metrics.json", "predictions.csv"  # of a run, and of each test set
VALID_METRICS, VALID_PREDICTIONS = "valid_metrics.json", "valid_predictions.csv"
SLICES, SHORTCUTS, ROBUSTNESS = "slices.json", "shortcuts.json", "robustness.json"
TEST_SETS = "tests"  # the folder of the test sets
VALID_PREFIX = "valid_"  # begins the names of the files on the split `valid`

Row = Mapping[str, Any]  # of a CSV file


@dataclasses.dataclass(frozen=True)
class TestSetResults:
    """The files of one test set, `tests/NAME` of a workdir."""

    folder: Path
    metrics: Mapping[str, Any]  # metrics.json
    is_current: bool  # whether the run's present models made these scores
    predictions: Sequence[Row]  # predictions.csv; empty if the scores are not current
    slices: Mapping[str, Any] | None
    shortcuts: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The name that the user gave the set, or the name of the images' folder."""
        return self.folder.name


@dataclasses.dataclass(frozen=True)
class Results:
    """The files of a run that its report shows.

    An optional file that is missing is None. So is a score that other models made than those that
    the run has now.
    """

    path: Path  # of the workdir
    record: Mapping[str, Any]  # config.json
    metrics: Mapping[str, Any]  # metrics.json; an undefined number may be None or NaN
    predictions: Sequence[Row]  # of the held-out folds
    valid: Mapping[str, Any] | None  # valid_metrics.json
    valid_is_outdated: bool  # valid_metrics.json is there, but other models made it
    valid_predictions: Sequence[Row]  # valid_predictions.csv; empty if `valid` is None
    slices: Mapping[str, Any] | None
    valid_slices: Mapping[str, Any] | None
    robustness: Mapping[str, Any] | None
    shortcuts: Mapping[str, Any] | None  # of the training images; needs no model
    test_sets: Sequence[TestSetResults]  # sorted by name


def read(workdir: Workdir, metrics: Mapping[str, Any], predictions: Sequence[Row]) -> Results:
    """Reads what a report shows, each file once.

    Args:
      workdir: of a run with at least one finished fold.
      metrics: the content of metrics.json, which the caller has just computed.
      predictions: of the held-out folds, from which the metrics were computed.
    """
    path, digests = workdir.path, member_digests(workdir)
    valid = _read_json(path / VALID_METRICS)
    robustness = _read_json(path / ROBUSTNESS)
    current_valid = valid if is_current(digests, valid) else None
    return Results(
        path=path,
        record=workdir.config(),
        metrics=metrics,
        predictions=predictions,
        valid=current_valid,
        valid_is_outdated=valid is not None and current_valid is None,
        valid_predictions=[] if current_valid is None else read_csv(path / VALID_PREDICTIONS),
        slices=_read_json(path / SLICES),
        valid_slices=_read_json(path / f"{VALID_PREFIX}{SLICES}"),
        robustness=robustness if is_current(digests, robustness) else None,
        shortcuts=_read_json(path / SHORTCUTS),
        test_sets=[_read_test_set(folder, digests) for folder in _test_set_folders(path)],
    )


def _test_set_folders(path: Path) -> list[Path]:
    """Without those that are being written, whose names begin with a dot."""
    found = (path / TEST_SETS).glob(f"*/{METRICS}")
    return sorted(file.parent for file in found if not file.parent.name.startswith("."))


def _read_test_set(folder: Path, digests: Mapping[str, str]) -> TestSetResults:
    metrics = json.loads((folder / METRICS).read_text())
    current = is_current(digests, metrics)
    return TestSetResults(
        folder=folder,
        metrics=metrics,
        is_current=current,
        predictions=read_csv(folder / PREDICTIONS) if current else [],
        slices=_read_json(folder / SLICES),
        shortcuts=_read_json(folder / SHORTCUTS),
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def read_valid(workdir: Workdir) -> dict[str, Any] | None:
    """valid_metrics.json; None if it is missing, or if the run's present models did not make it."""
    return read_current(workdir, workdir.path / VALID_METRICS)


def chooses_by_held_out(config: Mapping[str, Any]) -> bool:
    """Whether the held-out fold decided a run's weights, its learning rates or its last epoch.

    Args:
      config: the run's configuration, by field.
    """
    fitted = config.get("head") in ONE_CLASS_HEADS  # in one go
    # Runs of old versions had no such options, and did both.
    keep, decay = config.get("keep", "best"), config.get("decay", "plateau")
    return not fitted and (keep == "best" or decay == "plateau")

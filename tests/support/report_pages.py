"""A run's results, and the sections of its report as HTML."""

import json
import re

from dftk.evaluation.checks import generalisation
from dftk.evaluation.pages import rendering
from dftk.runs import results
from dftk.runs.results import Results


def read_results(workdir):
    """The results of a run whose metrics.json is written."""
    metrics = json.loads((workdir.path / results.METRICS).read_text())
    return results.read(workdir, metrics, workdir.predictions())


def bare_results(path, **more):
    """The results of a folder with nothing in it, but for what is given."""
    values = {"record": {}, "metrics": {}, "predictions": [], "valid": None, "slices": None,
              "valid_is_outdated": False, "valid_predictions": [], "valid_slices": None,
              "robustness": None, "shortcuts": None, "test_sets": []}  # fmt: skip
    return Results(path=path, **{**values, **more})


def section(name, found, **values):
    """One section of a report as HTML; white space is folded, and removed between tags."""
    if found.test_sets and "comparison" not in values:
        values["comparison"] = generalisation.compare(found)
    values = {"comparison": generalisation.Comparison(0.5, [], []), **values}
    page = rendering.render(f"pages/templates/{name}.html", results=found, **values)
    return re.sub(r"\s+", " ", re.sub(r">\s+<", "><", page))

"""What a run's folder holds, to compare two of them."""

import json

import keras

from dftk.runs.workdir import Workdir
from dftk.utils.files import read_csv

TIMINGS = ("examples_per_s", "input_wait", "seconds")


def contents(workdir):
    """All that must not depend on how often a run was stopped."""
    workdir = Workdir(workdir)
    result = {"metrics": json.loads((workdir.path / "metrics.json").read_text())}
    del result["metrics"]["throughput"]
    result["predictions"] = (workdir.path / "predictions.csv").read_text()
    result["history"] = [
        {name: value for name, value in row.items() if name not in TIMINGS}
        for row in read_csv(workdir.path / "history.csv")
    ]
    result["weights"] = [
        weight.tobytes()
        for fold in (0, 1)
        for weight in keras.saving.load_model(workdir.model_path(fold)).get_weights()
    ]
    return result

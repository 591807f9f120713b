"""Draws accuracy and AUC on the held-out fold against minutes of training, for four runs.

python benchmarks/accuracy/curve.py --output=benchmarks/accuracy/curve.png seed=RUN default=RUN ...

Minutes come from the run's own history: making frozen features, compiling, training and
validating, fold by fold. Reading images and the report are left out. A run of many folds is drawn
by the mean over its folds.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from dftk.evaluation.figures.plots import STYLE
from dftk.runs.workdir import Workdir

COLOURS = ("#64748b", "#0e7490", "#7c3aed", "#c2410c")  # of the runs, in order


def steps(workdir: Workdir) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns minutes, accuracy and AUC after each epoch; float [epochs] each."""
    rows = workdir.history()
    folds = {row["fold"] for row in rows}
    speed = workdir.throughput()
    features = [fold.get("features", {}).get("train_seconds", 0.0) for fold in speed.values()]
    seconds, scores = [], []
    for fold in folds:
        epochs = [row for row in rows if row["fold"] == fold]
        seconds.append(np.cumsum([row["seconds"] for row in epochs]) + max(features))
        scores.append([(row["val_accuracy"], row["val_auc"]) for row in epochs])
    length = min(map(len, seconds))
    minutes = np.mean([each[:length] for each in seconds], axis=0) / 60
    accuracy, auc = np.mean([each[:length] for each in scores], axis=0).T
    return minutes, accuracy, auc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("runs", nargs=len(COLOURS), help="NAME=WORKDIR, four of them")
    arguments = parser.parse_args()
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.8))
        axes = figure.subplots(1, 2)
        for colour, run in zip(COLOURS, arguments.runs, strict=True):
            name, _, path = run.partition("=")
            minutes, *scores = steps(Workdir(path))
            for side, values in zip(axes, scores):
                side.plot(minutes, values, "o-", color=colour, label=name, markersize=3)
        for side, title in zip(axes, ("accuracy", "AUC")):
            side.set(xlabel="minutes on two cores", ylabel=f"{title}, held-out fold")
        axes[1].legend(loc="lower right")
        figure.savefig(arguments.output)


if __name__ == "__main__":
    main()

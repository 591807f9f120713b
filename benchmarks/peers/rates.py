"""Turns seconds of epochs into a table of rates, and checks that all rows did the same work."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from loaders import BATCH_SIZE, PEERS, SIZE

FOLDS, EPOCHS = 5, 50  # dftk's default schedule: 20 frozen and 30 fine-tuning epochs a fold
TRAINED = (FOLDS - 1) / FOLDS  # of the images, in one fold
# Levels of 255. The fast inverse DCT, default of TensorFlow and FFCV, is 0.8 below the exact one
# on RVF10K; interpolation and encoding again change 0.1.
MEAN_TOLERANCE = 1.0

Run = Mapping[str, Any]  # measure.run's result


@dataclasses.dataclass(frozen=True)
class Row:
    """One peer's figures over all rounds; images per second, each the median."""

    cold: float  # the first epoch, pipeline's construction included
    later: float
    schedule: float
    peak_mb: float

    @classmethod
    def of(cls, name: str, runs: Sequence[Run], images: int) -> "Row":
        """Computes the medians over one result per round."""
        return cls(
            statistics.median(images / run["seconds"][0] for run in runs),
            statistics.median(images / later_seconds(run) for run in runs),
            statistics.median(schedule_rate(name, run, images) for run in runs),
            statistics.median(run["peak_mb"] for run in runs),
        )


def later_seconds(run: Run) -> float:
    """Returns the median seconds of an epoch after the first."""
    return statistics.median(run["seconds"][1:])


def schedule_rate(name: str, run: Run, images: int) -> float:
    """Images per second over 5 folds of 50 epochs, extrapolated from one process's epochs.

    An epoch of the schedule has 4/5 of the images; a fold's first epoch is taken as 4/5 of the
    measured one, fixed costs included, which favours peers that pay it per fold. dftk's first one
    is taken in full, as it reads all folds.
    """
    later, cold = later_seconds(run), run["seconds"][0]
    if PEERS[name].cold_per == "run":
        seconds = cold + (FOLDS * EPOCHS - 1) * TRAINED * later
    else:
        first_epochs = cold + (FOLDS - 1) * run["again_s"]
        seconds = TRAINED * (first_epochs + FOLDS * (EPOCHS - 1) * later)
    return FOLDS * EPOCHS * TRAINED * images / seconds


def ratios(name: str, rounds: Sequence[Mapping[str, Run]], images: int) -> list[float]:
    """dftk's rate over the schedule by the peer's, round by round; [] if one of them is missing."""
    return [
        schedule_rate("dftk", runs["dftk"], images) / schedule_rate(name, runs[name], images)
        for runs in rounds
        if {"dftk", name} <= runs.keys()
    ]


def complaints(
    rounds: Sequence[Mapping[str, Run]], images: int, distinct: int, labels: Sequence[int]
) -> list[str]:
    """What a peer did otherwise than the others, one line each.

    Args:
      rounds: results by peer.
      images: in the tree.
      distinct: how many of them differ.
      labels: images by label, sorted.
    """
    means = [
        run["content"]["mean"]
        for runs in rounds
        for name, run in runs.items()
        if not PEERS[name].augmented
    ]
    same = {"images": images, "labels": list(labels), "shapes": [[SIZE, SIZE, 3]]}
    lines = []
    for runs in rounds:
        for name, run in runs.items():
            content, want = run["content"], dict(same)
            if not PEERS[name].augmented:
                want |= {"dtypes": ["uint8"], "distinct": distinct}
                if abs(content["mean"] - statistics.median(means)) >= MEAN_TOLERANCE:
                    mean = statistics.median(means)
                    lines.append(f"{name}: mean pixel {content['mean']:.2f}, median {mean:.2f}")
            lines += [
                f"{name}: {key} {content[key]}, expected {value}"
                for key, value in want.items()
                if content[key] != value
            ]
            if content["batch_size"] > BATCH_SIZE:
                lines.append(f"{name}: a batch of {content['batch_size']}, at most {BATCH_SIZE}")
            if set(run["images"]) != {images}:
                lines.append(f"{name}: timed epochs of {run['images']} images, expected {images}")
    return sorted(set(lines))


def markdown(
    names: Sequence[str],
    rounds: Sequence[Mapping[str, Run]],
    prepared: Mapping[str, float],
    skipped: Mapping[str, str],
    images: int,
) -> str:
    """The table.

    Args:
      names: of the peers, in order.
      rounds: results by peer.
      prepared: seconds by peer; a peer that needs no files of its own is not in it.
      skipped: reasons by peer.
      images: in the tree.
    """
    lines = [
        "| peer | cold img/s | later epochs img/s | whole schedule img/s "
        "| dftk / peer over the schedule | prepare s | peak MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        runs = [results[name] for results in rounds if name in results]
        if name in skipped or not runs:
            lines.append(f"| {name} | skipped: {skipped.get(name, 'no result')} | | | | | |")
            continue
        row = Row.of(name, runs, images)
        times = ratios(name, rounds, images)
        against = "–"
        if times and name != "dftk":
            against = f"{statistics.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
        seconds = f"{prepared[name]:.1f}" if name in prepared else "–"
        lines.append(
            f"| {name} | {row.cold:,.0f} | {row.later:,.0f} | {row.schedule:,.0f} | {against} "
            f"| {seconds} | {row.peak_mb:,.0f} |"
        )
    return "\n".join(lines)

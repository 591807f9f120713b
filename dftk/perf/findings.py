"""The findings of dftk.doctor as JSON, as a table for a terminal and as a picture."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dftk.evaluation.figures.plots import ACCENT, GRID, INK, SECOND, STYLE
from dftk.perf import diagnosis, timing
from dftk.perf.measurements import Measurements

_LEGEND = (
    "img/s: of a path from its start through the stage; own ms: what the stage adds per image; "
    "read to batch: files come from storage, not from the page cache"
)
_MIN_UNEXPLAINED = 0.1  # of a step's time; less than that is ordinary noise


def collect(found: Measurements, run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns measurements and diagnosis as plain values, for JSON.

    Args:
      found: the measurements.
      run: what was measured, by name.
    """
    machine = timing.describe_machine()
    training = {"visits_per_image": found.visits, "training_s": found.steps_s}
    if found.head:
        training = {
            "visits_per_image": found.head_visits,
            "training_s": found.head_s,
            "features_s": found.steps_s,
        }
    slowest = diagnosis.bottleneck(found)
    return {
        "run": dict(run),
        "machine": machine,
        "stages": [
            {
                **dataclasses.asdict(stage),
                "img_per_s_per_core": stage.img_per_s / machine["cores"],
                "percent_of_ceiling": 100 * stage.img_per_s / stage.ceiling_img_per_s,
            }
            for stage in [*found.stages, *([found.head] if found.head else [])]
        ],
        "input_wait": found.input_wait,
        "first_pass_s": found.first_pass_s,
        **training,
        "parallelism": found.parallelism,
        "bottleneck": dataclasses.asdict(slowest),
        "what_if": [dataclasses.asdict(answer) for answer in diagnosis.what_if(found)],
    }


def write_json(file: str, findings: Mapping[str, Any]) -> None:
    """Writes the findings as JSON to a file, or to stdout for "-"."""
    content = json.dumps(findings, indent=2) + "\n"
    if file == "-":
        sys.stdout.write(content)
    else:
        Path(file).write_text(content, encoding="utf-8")


def text(findings: Mapping[str, Any]) -> str:
    """Returns the findings as a table for a terminal."""
    run, machine = findings["run"], findings["machine"]
    width = max(len(stage["ceiling"]) for stage in findings["stages"])
    lines = [
        f"{run['dataset']}, {run['images']} images; {run['device']}; "
        f"{machine['cores']} cores of {machine['processor']}",
        f"cache: {run['residency']}, {run['reason']}; phase {run['phase']}, "
        f"{run['features']} features, batch {run['batch_size']}",
        "",
        f"{'stage':10}{'img/s':>11}{'per core':>11}{'own ms':>10}{'% of':>7}  ceiling",
    ]
    for stage in findings["stages"]:
        mark = "  <-- bottleneck" if stage["stage"] == findings["bottleneck"]["stage"] else ""
        lines.append(
            f"{stage['stage']:10}{stage['img_per_s']:11,.1f}{stage['img_per_s_per_core']:11,.1f}"
            f"{1e3 * stage['own_s']:10.3f}{stage['percent_of_ceiling']:7.0f}  "
            f"{stage['ceiling']:{width}} {stage['ceiling_img_per_s']:,.0f}{mark}"
        )
    lines += [
        f"({_LEGEND})",
        "",
        f"bottleneck: {findings['bottleneck']['sentence']}",
        _times(findings),
        *_parallelism(findings["parallelism"]),
        *_busy_machine_note(findings),
        "what if:",
        *(
            f"  {answer['change']:20} {answer['img_per_s']:9,.1f} img/s  x {answer['gain']:.2f}  "
            f"({answer['reason']})"
            for answer in findings["what_if"]
        ),
    ]
    return "\n".join(lines)


def _times(findings: Mapping[str, Any]) -> str:
    """Returns the line that says what a run spends its time on, in order."""
    what, made = "a training step", ""
    if "features_s" in findings:
        what, made = "making features", "features exist from an earlier run, "
        if findings["features_s"]:
            made = f"features of all in {_duration(findings['features_s'])}, once for all runs, "
    return (
        f"{what} waits for input {findings['input_wait']:.1%} of its time; first pass "
        f"{findings['first_pass_s']:.1f} s, {made}then {findings['visits_per_image']:g} visits to "
        f"every image, all folds, in {_duration(findings['training_s'])} if each costs what it "
        "does here"
    )


def _parallelism(values: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = []
    for name, parameters in values.items():
        words = ", ".join(f"{key} {value:g}" for key, value in parameters.items())
        lines.append(f"decoding pipeline, {name}: {words}")
    return lines


def _busy_machine_note(findings: Mapping[str, Any]) -> list[str]:
    """Returns a line if the machine was too busy for the figures to be trusted."""
    (step,) = [stage for stage in findings["stages"] if stage["stage"] == "step"]
    lost = 1 - step["percent_of_ceiling"] / 100
    if lost - findings["input_wait"] < _MIN_UNEXPLAINED:
        return []
    return [
        f"note: a step on real input took {lost:.0%} longer than waiting for it explains; other "
        "work ran on this machine, measure again"
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plot(path: Path, findings: Mapping[str, Any]) -> None:
    """Draws a bar for every stage on a logarithmic scale, with its ceiling as a mark; PNG."""
    stages: Sequence[Mapping[str, Any]] = findings["stages"]
    bottleneck = findings["bottleneck"]["stage"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.subplots()
        for row, stage in enumerate(stages):
            colour = ACCENT if stage["stage"] == bottleneck else SECOND
            axes.barh(row, stage["img_per_s"], color=colour, height=0.6)
            axes.plot([stage["ceiling_img_per_s"]] * 2, [row - 0.4, row + 0.4], color=INK, lw=2)
            label = f"{stage['img_per_s']:,.0f} of {stage['ceiling_img_per_s']:,.0f}"
            right = max(stage["img_per_s"], stage["ceiling_img_per_s"])
            axes.text(right * 1.15, row, f"{label}, {stage['ceiling']}", va="center", fontsize=8)
        lowest = min(stage["img_per_s"] for stage in stages)
        highest = max(max(s["img_per_s"], s["ceiling_img_per_s"]) for s in stages)
        axes.set(
            xscale="log",
            xlim=(lowest / 4, highest * 60),
            yticks=range(len(stages)),
            yticklabels=[stage["stage"] for stage in stages],
            xlabel="images per second, from the start of the stage's path; the mark is its ceiling",
            title=f"{findings['run']['dataset']}: {bottleneck} is the bottleneck",
        )
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_color(GRID)
        figure.savefig(path)

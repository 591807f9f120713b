"""The doctor's findings as a dict, a terminal table and a picture."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from dftk.evaluation.figures.plots import ACCENT, GRID, INK, SECOND, STYLE
from dftk.perf import diagnosis, meter
from dftk.perf.stages import Measured

_THROUGH = (
    "img/s: of a path from its start through the stage; own ms: what the stage adds per image; "
    "read to batch from storage, not from the page cache"
)


def collect(found: Measured, run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain values, for JSON; `run` says what was measured."""
    machine, steps_s = meter.machine(), found.steps_s
    training = {"visits_per_image": found.visits, "training_s": steps_s}
    if found.head:
        training = {"visits_per_image": found.head_visits, "training_s": found.head_s}
        training["features_s"] = steps_s
    binding = diagnosis.bottleneck(found)
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
        "bottleneck": {"stage": binding.stage, "sentence": binding.sentence},
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
    """The findings for a terminal."""
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
        mark = "  <-- binds" if stage["stage"] == findings["bottleneck"]["stage"] else ""
        lines.append(
            f"{stage['stage']:10}{stage['img_per_s']:11,.1f}{stage['img_per_s_per_core']:11,.1f}"
            f"{1e3 * stage['own_s']:10.3f}{stage['percent_of_ceiling']:7.0f}  "
            f"{stage['ceiling']:{width}} {stage['ceiling_img_per_s']:,.0f}{mark}"
        )
    lines += [
        f"({_THROUGH})",
        "",
        f"bottleneck: {findings['bottleneck']['sentence']}",
        _times(findings),
        *_parallelism(findings["parallelism"]),
        *_doubt(findings),
        "what if:",
        *(
            f"  {answer['change']:20} {answer['img_per_s']:9,.1f} img/s  x {answer['gain']:.2f}  "
            f"({answer['reason']})"
            for answer in findings["what_if"]
        ),
    ]
    return "\n".join(lines)


def _times(findings: Mapping[str, Any]) -> str:
    """What a run spends, in its order."""
    what, made = "a training step", ""
    if "features_s" in findings:
        what, made = "making features", "features are there from a run before, "
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


def _doubt(findings: Mapping[str, Any]) -> list[str]:
    """A line if the machine was too busy to be believed."""
    (step,) = [stage for stage in findings["stages"] if stage["stage"] == "step"]
    missing = 1 - step["percent_of_ceiling"] / 100
    if missing - findings["input_wait"] < 0.1:
        return []
    return [
        f"note: a step on real input took {missing:.0%} longer than waiting for it explains; other "
        "work ran on this machine, measure again"
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plot(path: Path, findings: Mapping[str, Any]) -> None:
    """A bar for every stage on a logarithmic scale, its ceiling as a mark; PNG."""
    stages: Sequence[Mapping[str, Any]] = findings["stages"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.subplots()
        for row, stage in enumerate(stages):
            binds = stage["stage"] == findings["bottleneck"]["stage"]
            axes.barh(row, stage["img_per_s"], color=ACCENT if binds else SECOND, height=0.6)
            axes.plot([stage["ceiling_img_per_s"]] * 2, [row - 0.4, row + 0.4], color=INK, lw=2)
            label = f"{stage['img_per_s']:,.0f} of {stage['ceiling_img_per_s']:,.0f}"
            right = max(stage["img_per_s"], stage["ceiling_img_per_s"])
            axes.text(right * 1.15, row, f"{label}, {stage['ceiling']}", va="center", fontsize=8)
        slowest = min(stage["img_per_s"] for stage in stages)
        fastest = max(max(s["img_per_s"], s["ceiling_img_per_s"]) for s in stages)
        axes.set(
            xscale="log",
            xlim=(slowest / 4, fastest * 60),
            yticks=range(len(stages)),
            yticklabels=[stage["stage"] for stage in stages],
            xlabel="images per second, from the start of its path; the mark is the ceiling",
            title=f"{findings['run']['dataset']}: {findings['bottleneck']['stage']} binds",
        )
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_color(GRID)
        figure.savefig(path)

"""The audits as sections of a run's page: what was found, or the command that finds it."""

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dftk.evaluation.checks import generalisation
from dftk.evaluation.checks import robustness as sweep
from dftk.evaluation.checks import scored_test_sets as sets
from dftk.evaluation.checks import shortcuts as files
from dftk.evaluation.checks import slices as parts
from dftk.evaluation.pages.html_parts import picture, score_table, table
from dftk.evaluation.stats.formatting import number
from dftk.runs.members import is_current
from dftk.runs.results import VALID_METRICS
from dftk.runs.workdir import Workdir

_SETS = (("valid_", "valid"), ("", "held-out folds"))  # prefix of the slices' files, what of


def robustness(workdir: Workdir) -> str:
    """Accuracy and AUC under perturbations of `valid`."""
    result = _read(workdir.path / sweep.FILE)
    if result is None or not is_current(workdir, result):
        return _not_yet(workdir, "--split=valid --robustness")
    rows = [("clean", "", result["clean"])] + [
        (panel["title"], f"{level['level']:g} ({panel['unit']})", level)
        for panel in result["perturbations"].values()
        for level in panel["levels"]
    ]
    body = [
        [html.escape(title), html.escape(level), *_scores(entry), _share(entry["called_fake"])]
        for title, level, entry in rows
    ]
    head = ["images", "level", "accuracy", "", "AUC", "", "called fake"]
    details = f"<details><summary>All levels</summary>{table(head, body)}</details>"
    shown = picture(workdir.path / sweep.PICTURE, "Accuracy and AUC by perturbation and level")
    return f"{shown}{details}"


def shortcuts(workdir: Workdir) -> str:
    """What the files tell without a look at the face."""
    if (result := _read(workdir.path / files.FILE)) is None:
        return _not_yet(workdir, "--shortcuts")
    return _shortcuts(workdir.path, result)


def _shortcuts(folder: Path, result: Mapping[str, Any]) -> str:
    body = []
    for name, group in result["groups"].items():
        if group["constant"]:
            body.append([html.escape(name), "the same in all files", "", "", "", ""])
            continue
        cells = [
            cell
            for kind in ("linear", "trees")
            for cell in _spans(group[kind]["auc"], group[kind]["auc_interval"])
        ]
        body.append([html.escape(name), *cells, "beats chance" if name in result["found"] else ""])
    head = ["files tell", "AUC, linear", "", "AUC, trees", "", ""]
    mark = "note" if result["found"] else "soft"
    return (
        f"<p class='{mark}'>{html.escape(result['verdict'])}</p>{table(head, body)}"
        f"{picture(folder / files.PICTURE, 'AUC of each group of file features')}"
    )


def slices(workdir: Workdir) -> str:
    """Scores by slice of `valid` and of the held-out folds, and the most wrong images."""
    scored = _read(workdir.path / VALID_METRICS)  # with which the slices are made
    if scored is not None and not is_current(workdir, scored):
        return _not_yet(workdir, "--split=valid")
    sections = [
        f"<h3>{title}</h3>{_slices(workdir.path, prefix, result)}"
        for prefix, title in _SETS
        if (result := _read(workdir.path / f"{prefix}{parts.SLICES}")) is not None
    ]
    return "".join(sections) or _not_yet(workdir, "--split=valid")


def _slices(folder: Path, prefix: str, result: Mapping[str, Any]) -> str:
    rows = [("all", "", result["overall"], [])] + [
        (entry["by"], entry["slice"], entry, entry["below"]) for entry in result["slices"]
    ]
    body = [
        [
            html.escape(by),
            html.escape(name),
            f"{entry['n']:,}",
            f"{entry['fakes']:,}",
            number(entry.get("expected_accuracy"), ".3f"),
            *_scores(entry),
            f"below expectation: {', '.join('AUC' if s == 'auc' else s for s in below)}"
            if below
            else "",
        ]
        for by, name, entry, below in rows
    ]
    head = ["by", "slice", "n", "fakes", "expected", "accuracy", "", "AUC", "", ""]
    sheet = picture(folder / "plots" / f"{prefix}{parts.SHEET}", "The most wrong images")
    measures = "; ".join(f"{name}: {text}" for name, text in result["measures"].items())
    return (
        f"{table(head, body)}<p class='soft'>{html.escape(measures)}. Expected is the accuracy "
        "that the whole set's accuracies on reals and on fakes give at the slice's own mix. The "
        f"slices' intervals are so wide that all of them together hold with 95 %.</p>{sheet}"
    )


def test_sets(workdir: Workdir) -> str:
    """Every further test set beside the run's own, what to mind of each, and its details."""
    if not (folders := generalisation.folders(workdir)):
        return _not_yet(workdir, "--dataset=DIR,DIR", ", each DIR with real/ and fake/ in it")
    details = "".join(_test_set(workdir, folder) for folder in folders)
    found = generalisation.compare(workdir)
    return (_compared(workdir, found) if found.tests else "") + details


def _compared(workdir: Workdir, found: generalisation.Comparison) -> str:
    against = found.reference
    head = ["", "n", "AUC", f"against {against.name}", "AP", "accuracy", "own best", "to mind"]
    body = [
        [
            html.escape(one.name),
            f"{one.scores['n']:,}",
            "<br>".join(_spans(one.scores["auc"], one.scores["auc_interval"])),
            "<br>".join(_change(one, against)) if one in found.tests else "",
            number(one.average_precision, ".3f"),
            "<br>".join(_spans(one.scores["accuracy"], one.scores["accuracy_interval"])),
            number(one.own_best[0], ".3f"),
            f"<span class='wrap'>{'<br>'.join(map(html.escape, one.warnings))}</span>",
        ]
        for one in found.sets
    ]
    curves = picture(workdir.path / generalisation.PICTURE, "ROC of each set over one another")
    return (
        f"{table(head, body)}<p class='soft'>Held-out folds: each image by the one model that did "
        "not train on it, decided by the threshold that the other folds chose; all other sets: by "
        "the ensemble of all models, accuracy at "
        f"{number(found.threshold, '.4f')}, the threshold that the held-out folds chose. Against "
        f"{against.name}: the change of AUC, with the 95 % interval for sets of other images. Own "
        "best: the accuracy at the threshold that suits this very set best, chosen on the images "
        "it is measured on: no figure to expect of new images, only how much of a drop is the "
        "threshold's. AP: average precision.</p>"
        f"<div class='pair'>{curves}</div>"
    )


def _change(one: generalisation.Scored, against: generalisation.Scored) -> list[str]:
    change, ends = one.change(against)
    text = number(change, "+.3f")
    # Held-out folds are scored by one model each, which an ensemble beats: they show no drop.
    if ends[1] < 0 and against.name == generalisation.VALID:
        text = f"<strong>{text} drop</strong>"
    return [text, _span(ends, "+.3f")]


def _test_set(workdir: Workdir, folder: Path) -> str:
    result = json.loads((folder / sets.METRICS).read_text())
    audit, source = _read(folder / files.FILE), str(result["source"])
    if is_current(workdir, result):
        scores = _set_scores(folder, result)
    else:
        flags = f"--dataset={shlex.quote(source)} --name={shlex.quote(folder.name)}"
        scores = _not_yet(workdir, flags)
    return (
        f"<details><summary>{html.escape(folder.name)}: {html.escape(source)}</summary>"
        f"{scores}{_shortcuts(folder, audit) if audit else ''}</details>"
    )


def _set_scores(folder: Path, result: Mapping[str, Any]) -> str:
    notes = "".join(f"<p class='note'>{html.escape(note)}.</p>" for note in result["notes"])
    pictures = "".join(
        picture(path, f"{text} on {folder.name}")
        for name, text in (("roc.png", "ROC"), ("confusion_matrix.png", "Confusion matrix"))
        if (path := folder / "plots" / name).is_file()  # one class has no ROC
    )
    of_folds = [(f"model of fold {entry['fold']}", entry) for entry in result["folds"]]
    parts_of = _read(folder / parts.SLICES)
    scores = score_table("", of_folds, strong=len(of_folds))
    return (
        f"{notes}{scores}<div class='pair'>{pictures}</div>"
        f"{_slices(folder, '', parts_of) if parts_of else ''}"
    )


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _not_yet(workdir: Workdir, flags: str, more: str = "") -> str:
    command = f"python -m dftk.evaluate --workdir={shlex.quote(str(workdir.path))} {flags}"
    return f"<p>Not done yet: <code>{html.escape(command)}</code>{html.escape(more)}</p>"


def _scores(entry: Mapping[str, Any]) -> list[str]:
    return [
        cell
        for score in ("accuracy", "auc")
        for cell in _spans(entry[score], entry[f"{score}_interval"])
    ]


def _spans(value: float | None, interval: Sequence[float | None]) -> list[str]:
    return [number(value, ".3f"), _span(interval)]


def _span(interval: Sequence[float | None], style: str = ".3f") -> str:
    low, high = (number(value, style) for value in interval)
    return f"[{low}, {high}]"


def _share(value: float | None) -> str:
    return number(value, ".1%")

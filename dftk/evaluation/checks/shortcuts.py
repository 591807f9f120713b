"""Shortcuts: can small classifiers tell real from fake by features other than the face?

A network can use any shortcut that they find. Its scores then say less about faces.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dftk.evaluation.checks import file_features
from dftk.evaluation.figures import plots
from dftk.evaluation.stats import closed_form, metrics
from dftk.images import encoded
from dftk.runs.results import SHORTCUTS
from dftk.utils.errors import UserError
from dftk.utils.files import write_json
from dftk.utils.progress import Progress, duration

PICTURE = "plots/shortcuts.png"
ALL = "all together"  # the group of all features
_SEED = 0
_MEANING = {
    "file size": "one class is stored in more bytes",
    "dimensions": "one class has other dimensions in pixels",
    "JPEG quantisation": "the classes were compressed at different qualities or by other programs",
    "encoding": "the classes differ in file format, chroma subsampling or progressive coding",
    "metadata": "only one class carries certain EXIF, ICC, comment or application segments",
    "mean colour": "one class is brighter, or of another tint",
    "contrast": "one class has more contrast",
}
# Whether a model that is fed pixels can see the difference.
_IN_PIXELS = {
    "file size": "its cause (detail, noise, compression) is in the pixels",
    "dimensions": "resizing leaves traces in the pixels",
    "JPEG quantisation": "it leaves blocks and rounding errors in the pixels",
    "encoding": "it leaves traces in the pixels",
    "metadata": "not in the pixels, but a sign of two pipelines that may also differ otherwise",
    "mean colour": "it is in the pixels",
    "contrast": "it is in the pixels",
}


def audit(images: encoded.Images, total: int, folds: int) -> dict[str, Any]:
    """Computes the cross-validated AUC of each group of features, and of all features.

    Args:
      images: stored images of both classes. Those that cannot be decoded are counted and skipped.
      total: the number of images, for the progress line.
      folds: the number of stratified folds to split the images into if they have no folds (-1).

    Returns:
      n, fakes, unreadable; confidence: of each interval, such that all hold simultaneously at 95 %;
      groups: by name, constant, and for both classifiers auc and its interval; found: the names of
      the groups whose whole interval is above chance; verdict, in words.

    Raises:
      UserError: a class has too few images.
    """
    columns, labels, image_folds, unreadable = _collect(images, total)
    fakes = int(labels.sum())
    if min(fakes, len(labels) - fakes) < 2 * folds:
        raise UserError(
            f"{len(labels) - fakes} real and {fakes} fake images are too few to search for "
            f"shortcuts; at least {2 * folds} of each are needed"
        )
    has_folds = image_folds.min() >= 0 and len(set(image_folds)) > 1
    splits = image_folds if has_folds else _stratified_folds(labels, folds)
    varying = {name: values for name, values in columns.items() if np.ptp(values, axis=0).any()}
    confidence = closed_form.simultaneous_confidence(2 * len(varying))
    # On data this small, the trees' threads wait for each other: several are up to 20 times slower.
    with threadpool_limits(1):
        scored = {n: _score(values, labels, splits, confidence) for n, values in varying.items()}
    groups = {name: scored.get(name, {"constant": True}) for name in columns}
    found = [name for name in scored if _beats_chance(scored[name])]
    return {
        "n": len(labels),
        "fakes": fakes,
        "unreadable": unreadable,
        "confidence": confidence,
        "groups": groups,
        "found": found,
        "verdict": verdict(groups, found, confidence),
    }


def _collect(
    images: encoded.Images, total: int
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, int]:
    """Features by group, float [n, m]; labels and folds, int [n]; how many are unreadable."""
    rows: dict[str, list[np.ndarray]] = {}
    labels, folds, unreadable = [], [], 0
    progress = Progress("shortcuts", total)
    for item, found in encoded.in_threads(_extract, images):
        if found is None:
            unreadable += 1
            continue
        for group, values in found.items():
            rows.setdefault(group, []).append(np.fromiter(values.values(), np.float32))
        labels.append(item.label)
        folds.append(item.fold)
        progress.update(len(labels))
    progress.close(f"{len(labels):,} files read in {duration(progress.seconds)}")
    columns = {group: np.stack(values) for group, values in rows.items()}
    if columns:
        columns[ALL] = np.concatenate(list(columns.values()), axis=1)
    return columns, np.array(labels, int), np.array(folds, int), unreadable


def _extract(item: encoded.Encoded) -> tuple[encoded.Encoded, file_features.Features | None]:
    decoded = encoded.decode(item)
    return item, file_features.features(decoded) if file_features.readable(decoded) else None


def _stratified_folds(labels: np.ndarray, folds: int) -> np.ndarray:
    result = np.zeros(len(labels), int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=_SEED)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
        result[held_out] = fold
    return result


def _score(
    values: np.ndarray, labels: np.ndarray, folds: np.ndarray, confidence: float
) -> dict[str, Any]:
    """The mean AUC over the folds, of a linear model and of small boosted trees.

    The folds' probabilities are not pooled. A class that is rarer in the training folds is more
    frequent in the held-out fold, which biases the pooled AUC of uninformative features below 0.5
    (Parker, Guenter and Bedo, "Stratification bias in low signal microarray studies", 2007).
    """
    values = values[:, np.ptp(values, axis=0) > 0]
    fakes = int(labels.sum())
    result: dict[str, Any] = {"constant": False}
    for name, model in (
        ("linear", make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))),
        ("trees", HistGradientBoostingClassifier(max_iter=50, max_depth=3, random_state=_SEED)),
    ):
        aucs = []
        for fold in np.unique(folds):
            held_out = folds == fold
            model.fit(values[~held_out], labels[~held_out])
            probabilities = model.predict_proba(values[held_out])[:, 1]
            aucs.append(metrics.auc(labels[held_out], probabilities))
        auc = float(np.nanmean(aucs))  # a fold with one class only has NaN
        interval = closed_form.auc_interval(auc, len(labels) - fakes, fakes, confidence)
        result[name] = {"auc": auc, "auc_interval": list(interval)}
    return result


def _beats_chance(group: Mapping[str, Any]) -> bool:
    return max(group[name]["auc_interval"][0] for name in ("linear", "trees")) > 0.5


def beating_chance(result: Mapping[str, Any]) -> dict[str, float]:
    """The AUC of each group that beats chance. The group of all features counts only if alone."""
    found = [name for name in result["found"] if name != ALL] or result["found"]
    return {name: best(result["groups"][name])["auc"] for name in found}


def best(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of the better one of a group's two classifiers."""
    return max(group["linear"], group["trees"], key=lambda entry: entry["auc"])


def verdict(groups: Mapping[str, Any], found: list[str], confidence: float) -> str:
    """What the audit means for the scores of a model that is trained on these files."""
    if not found:
        return (
            "No shortcut found: by features other than the face, small classifiers do not "
            f"demonstrably beat chance{_widest(groups, confidence)}."
        )
    ranked = sorted((n for n in found if n != ALL), key=lambda n: -best(groups[n])["auc"])
    strongest = best(groups[max(found, key=lambda n: best(groups[n])["auc"])])["auc"]
    causes = "; ".join(
        f"{name}, AUC {best(groups[name])['auc']:.3f}: {_MEANING[name]} ({_IN_PIXELS[name]})"
        for name in ranked
    )
    return (
        f"Shortcut found: by features other than the face, small classifiers tell real from fake "
        f"with AUC {strongest:.3f} (chance is 0.5), {_strength(strongest)}. "
        f"{causes or 'No single group of features beats chance, only all of them together'}. A "
        "model could have learnt this instead of faces. It would not help the model on images from "
        "other sources."
    )


def _widest(groups: Mapping[str, Any], confidence: float) -> str:
    """In words, how strong a shortcut the audit may have missed."""
    intervals = [
        (*group[kind]["auc_interval"], name, kind)
        for name, group in groups.items()
        if not group["constant"]
        for kind in ("linear", "trees")
    ]
    if not intervals:
        return ""
    low, high, name, kind = max(intervals, key=lambda interval: interval[1] - interval[0])
    return (
        f"; the widest confidence interval of an AUC ({name}, {kind}; {confidence:.2%}) is "
        f"{low:.3f} to {high:.3f}, so that shortcuts of such an AUC are not ruled out"
    )


def _strength(auc: float) -> str:
    if auc < 0.65:
        return "a weak shortcut"
    return "a strong shortcut" if auc < 0.9 else "which alone nearly decides the class"


def write(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes shortcuts.json and its picture to a workdir."""
    draw(folder / PICTURE, result)
    write_json(folder / SHORTCUTS, result)


def draw(path: Path, result: Mapping[str, Any]) -> None:
    """Draws the AUC of each group with its interval. Groups that beat chance are highlighted."""
    names = [name for name, group in result["groups"].items() if not group["constant"]][::-1]
    with matplotlib.rc_context({**plots.STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(6, 0.9 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots()
        for position, name in enumerate(names):
            entry = best(result["groups"][name])
            low, high = entry["auc_interval"]
            colour = plots.ACCENT if name in result["found"] else plots.SECOND
            axes.plot([low, high], [position] * 2, color=colour, linewidth=2)
            axes.plot(entry["auc"], position, color=colour, marker="o", markersize=6)
        axes.axvline(0.5, color=plots.INK, linestyle=":", linewidth=1)
        axes.set_xlim(min(0.4, axes.get_xlim()[0]), 1.01)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="AUC without the face (0.5 is chance)", ylim=(-0.6, len(names) - 0.4))
        plots.save(figure, path)

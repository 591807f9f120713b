"""The model card of a run (Mitchell et al. 2019, arXiv:1810.03993), from what its files say."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dftk.evaluation.stats.formatting import number
from dftk.models.config import ONE_CLASS_HEADS
from dftk.runs.results import read_valid
from dftk.runs.workdir import Workdir, training_seconds

# Of datasets that we know; of any other, the reader knows more than we do.
SOURCES = {
    "rvf10k": "real: FFHQ photographs (70,000 aligned portraits from Flickr); fake: StyleGAN faces "
    "in the same frame; all 256x256 JPEG of one quality",
    "dftk_sample": "drawn portraits, half of them resampled on a lattice; they show no one, and a "
    "detector of them is for trying the software only",
}
_LIMITS = {
    "rvf10k": "It was made to tell StyleGAN faces from FFHQ photographs, aligned and 256 pixels "
    "wide. It says nothing about other generators, about edited or retouched photographs, or about "
    "other pictures, and a verdict is no proof.",
    "dftk_sample": "It was trained on small drawings that stand in for photographs. It says "
    "nothing about faces.",
}
_UNKNOWN = (
    "What it was trained on is not known here: do not take its verdict for more than a number, and "
    "not at all for pictures unlike those of its training."
)


def limits_of(dataset: str | None) -> str:
    """What a detector trained on the dataset, "NAME/CONFIG:VERSION", cannot say; in sentences."""
    return _LIMITS.get(_origin(dataset or ""), _UNKNOWN)


def _origin(dataset: str) -> str:
    """A key of SOURCES, or "": configs of rvf10k that are not only other folds name any images."""
    name, _, config = dataset.partition("/")
    return "" if name == "rvf10k" and config and not config.startswith("kfold") else name


def error_rates(workdir: Workdir) -> dict[str, Any] | None:
    """Errors at the chosen threshold on images that no model, or not the one asked, has seen.

    Returns:
      threshold; where, in words; false_alarm_rate, of real images called fake; miss_rate, of fake
      ones called real; reals and fakes, their numbers. From `valid` by the ensemble, or else from
      the held-out folds; None where there is neither. A rate of a class that is absent is NaN.
    """
    if result := read_valid(workdir):
        decided, where = result["at_threshold"]["ensemble"], "the untouched split valid"
        threshold = result["threshold"]["value"]
    else:
        summary = json.loads((workdir.path / "metrics.json").read_text())
        if not summary.get("at_threshold"):
            return None
        decided, where = summary["at_threshold"]["pooled"], "held-out folds"
        threshold = summary["threshold"]["value"]
    (tn, fp), (fn, tp) = decided["confusion_matrix"]
    nothing = float("nan")
    return {
        "threshold": threshold,
        "where": where,
        "false_alarm_rate": fp / (tn + fp) if tn + fp else nothing,
        "miss_rate": fn / (fn + tp) if fn + tp else nothing,
        "reals": tn + fp,
        "fakes": fn + tp,
    }


def section(workdir: Workdir, summary: Mapping[str, Any]) -> str:
    """HTML of the card: data, training, errors, intended use, limits."""
    record = workdir.config()
    entries = {
        "Data": _data(record, summary),
        "Training": _training(record["config"], summary),
        "Errors": _errors(workdir),
        "Intended use": "Comparing detectors and studying how they fail, on images like those of "
        "the training data. A probability is no proof: never the only ground for a decision about "
        "a person or a picture.",
        "Limits": _limits(record),
    }
    lines = [f"<dt>{name}</dt><dd>{text}</dd>" for name, text in entries.items()]
    return f"<dl>{''.join(lines)}</dl>"


def _data(record: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    (tn, fp), (fn, tp) = summary["pooled"]["confusion_matrix"]
    name = record["inputs"]["dataset"]
    source = SOURCES.get(_origin(name))
    return (
        f"{html.escape(name)}{': ' + source if source else ''}. Held-out predictions of "
        f"{tn + fp:,} real and {fn + tp:,} fake images; fingerprint "
        f"<code>{html.escape(record['inputs']['dataset_fingerprint'][:16])}</code>."
    )


def _training(config: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    phases = []
    if one_class := config.get("head") in ONE_CLASS_HEADS:
        phases.append(f"a head ({config['head']}) fitted once, on features of real images alone")
    elif config["frozen_epochs"]:
        phases.append(f"{config['frozen_epochs']} epochs of its head at {config['frozen_lr']:g}")
    if config["finetune_epochs"]:
        what = "everything" if config["finetune_base"] else "the head, its base at rest,"
        phases.append(f"{config['finetune_epochs']} epochs of {what} at {config['finetune_lr']:g}")
    seconds = training_seconds(summary["throughput"])
    # Runs of before had no such choices.
    cosine, last = config.get("decay") == "cosine", config.get("keep") == "last"
    rate = "a cosine" if cosine else "early stopping"
    how = f"{rate}, {'last' if last else 'best'} weights kept; Adam, batch {config['batch_size']}, "
    how = "" if one_class else how
    given = Path(config["weights"]).name
    weights = "random weights" if given == "none" else f"weights {given}"
    return html.escape(
        f"{config['model']} at {config['image_size']} pixels from {weights}; "
        f"{len(summary['folds'])} models, one a fold; {', then '.join(phases)}; "
        f"{how}seed {config['seed']}; "
        f"{seconds / 60:,.1f} minutes of training in all."
    )


def _errors(workdir: Workdir) -> str:
    if (rates := error_rates(workdir)) is None:
        return (
            "Not known: it takes two folds, or the split valid, to choose a threshold and test it."
        )
    return (
        f"At the chosen threshold of {number(rates['threshold'], '.4f')}, on {rates['where']} "
        f"({rates['reals']:,} real, {rates['fakes']:,} fake): it calls "
        f"{number(rates['false_alarm_rate'], '.1%')} of real images fake, and misses "
        f"{number(rates['miss_rate'], '.1%')} of the fakes."
    )


def _limits(record: Mapping[str, Any]) -> str:
    return (
        f"{limits_of(record['inputs']['dataset'])} Nothing was measured by skin tone, age or sex "
        "of those shown; for recompressed, resized and cropped images see Robustness."
    )

"""The model card of a run (Mitchell et al. 2019, arXiv:1810.03993), made from its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dftk.models.config import ONE_CLASS_HEADS
from dftk.runs.results import Results
from dftk.runs.workdir import training_seconds

# The known datasets. Readers know more about their own than this project does.
SOURCES = {
    "rvf10k": "real: FFHQ photographs (70,000 aligned portraits from Flickr); fake: StyleGAN faces "
    "in the same frame; all 256x256 JPEG of one quality",
    "dftk_sample": "drawn portraits, half of them resampled on a lattice; they show nobody, and a "
    "detector trained on them only serves to try the software",
}
_LIMITS = {
    "rvf10k": "It was made to tell StyleGAN faces from FFHQ photographs, aligned and 256 pixels "
    "wide. It says nothing about other generators, edited or retouched photographs, or other "
    "pictures. A verdict is no proof.",
    "dftk_sample": "It was trained on small drawings that stand in for photographs. It says "
    "nothing about faces.",
}
_UNKNOWN = (
    "Its training images are not known: treat its verdict as a mere number, and ignore it for "
    "pictures unlike the training images."
)


def limits_of(dataset: str | None) -> str:
    """The limits of a detector trained on the dataset "NAME/CONFIG/VERSION", in sentences."""
    return _LIMITS.get(_origin(dataset or ""), _UNKNOWN)


def _origin(dataset: str) -> str:
    """A key of SOURCES, or "". The configs of rvf10k other than `kfold*` may have any images."""
    name, _, config = dataset.partition("/")
    return "" if name == "rvf10k" and config and not config.startswith("kfold") else name


def error_rates(results: Results) -> dict[str, Any] | None:
    """Error rates at the chosen threshold, on images that the model asked has not seen.

    Args:
      results: of the run. The rates are the ensemble's on `valid` if that is scored, else those of
        the held-out folds.

    Returns:
      threshold; where, in words; false_alarm_rate, the proportion of real images called fake;
      miss_rate, that of fakes called real; reals and fakes, their numbers. A rate is NaN if its
      class is absent. None if no threshold was chosen and tested.
    """
    if results.valid is not None:
        source, decisions = results.valid, results.valid["at_threshold"]["ensemble"]
        where = "the untouched split valid"
    elif results.metrics.get("at_threshold"):
        source, decisions = results.metrics, results.metrics["at_threshold"]["pooled"]
        where = "held-out folds"
    else:
        return None
    (tn, fp), (fn, tp) = decisions["confusion_matrix"]
    nan = float("nan")
    return {
        "threshold": source["threshold"]["value"],
        "where": where,
        "false_alarm_rate": fp / (tn + fp) if tn + fp else nan,
        "miss_rate": fn / (fn + tp) if fn + tp else nan,
        "reals": tn + fp,
        "fakes": fn + tp,
    }


def card(results: Results) -> dict[str, Any]:
    """What model_card.html shows: data, training, errors and limits."""
    inputs = results.record["inputs"]
    (tn, fp), (fn, tp) = results.metrics["pooled"]["confusion_matrix"]
    return {
        "dataset": inputs["dataset"],
        "source": SOURCES.get(_origin(inputs["dataset"]), ""),
        "fingerprint": inputs["dataset_fingerprint"][:16],
        "reals": tn + fp,
        "fakes": fn + tp,
        "training": _training(results.record["config"], results.metrics),
        "errors": error_rates(results),
        "limits": limits_of(inputs["dataset"]),
    }


def _training(config: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    phases = []
    if one_class := config.get("head") in ONE_CLASS_HEADS:
        phases.append(f"a head ({config['head']}) fitted once, on features of real images only")
    elif config["frozen_epochs"]:
        phases.append(
            f"{config['frozen_epochs']} epochs of its head at learning rate {config['frozen_lr']:g}"
        )
    if config["finetune_epochs"]:
        what = "all layers" if config["finetune_base"] else "the head, with a frozen base,"
        phases.append(
            f"{config['finetune_epochs']} epochs of {what} at learning rate "
            f"{config['finetune_lr']:g}"
        )
    seconds = training_seconds(summary["throughput"])
    optimization = ""
    if not one_class:
        # Runs of old versions had no such options.
        schedule = "cosine decay" if config.get("decay") == "cosine" else "early stopping"
        kept = "last" if config.get("keep") == "last" else "best"
        optimization = f"{schedule}, {kept} weights kept; Adam, batch {config['batch_size']}, "
    file = Path(config["weights"]).name
    weights = "random weights" if file == "none" else f"weights {file}"
    return (
        f"{config['model']} at {config['image_size']} pixels from {weights}; "
        f"{len(summary['folds'])} models, one for each fold; {', then '.join(phases)}; "
        f"{optimization}seed {config['seed']}; "
        f"{seconds / 60:,.1f} minutes of training in total."
    )

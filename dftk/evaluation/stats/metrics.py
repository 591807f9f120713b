"""Metrics of a binary detector, computed by scikit-learn if it has them. Positive means fake."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sk

from dftk.models.config import THRESHOLD
from dftk.utils.files import columns

DECISION_METRICS = ("accuracy", "precision", "recall", "f1")  # these depend on a threshold
SCORES = (*DECISION_METRICS, "auc")
RANKING_METRICS = ("average_precision", "eer", "tpr_at_1pct_fpr", "ece")  # these need none
BINS = 15  # of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599)
MAX_FPR = 0.01  # of tpr_at_1pct_fpr


def binary_metrics(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, Any]:
    """All metrics of one set of predictions.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake, in [0, 1].
      threshold: images with this probability or a higher one are called fake.

    Returns:
      what decision_metrics, auc and ranking_metrics return. NaN if a class that the metric needs is
      missing.
    """
    return {
        **decision_metrics(labels, probabilities >= threshold),
        "auc": auc(labels, probabilities),
        **ranking_metrics(labels, probabilities),
    }


def decision_metrics(labels: np.ndarray, called_fake: np.ndarray) -> dict[str, Any]:
    """Metrics of decisions.

    Args:
      labels: int [n], 0 real, 1 fake.
      called_fake: bool [n].

    Returns:
      n; accuracy; precision, recall and f1, 0 if undefined; confusion_matrix, [[tn, fp], [fn, tp]].
    """
    predicted = called_fake.astype(int)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        labels, predicted, pos_label=1, average="binary", zero_division=0.0
    )
    return {
        "n": len(labels),
        "accuracy": float(sk.accuracy_score(labels, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "confusion_matrix": sk.confusion_matrix(labels, predicted, labels=[0, 1]).tolist(),
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN if only one class is present."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(sk.roc_auc_score(labels, scores))


def ranking_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Metrics of the probabilities themselves, without a threshold.

    Returns:
      average_precision; eer, the equal error rate; tpr_at_1pct_fpr, the largest proportion of fakes
      found while at most 1 % of real images are called fake; ece, the expected calibration error.
      All but ece are NaN if only one class is present.
    """
    calibration = expected_calibration_error(labels, probabilities)
    if len(np.unique(labels)) < 2:
        return {**dict.fromkeys(RANKING_METRICS, float("nan")), "ece": calibration}
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    return {
        "average_precision": float(sk.average_precision_score(labels, probabilities)),
        "eer": equal_error_rate(fpr, tpr),
        "tpr_at_1pct_fpr": float(tpr[fpr <= MAX_FPR].max()),
        "ece": calibration,
    }


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """The error rate where the ROC curve's false positive and false negative rates are equal.

    The curve is interpolated linearly between its points.

    Args:
      fpr, tpr: float [m], rising from 0 to 1, as sklearn.metrics.roc_curve returns them.
    """
    excess = (1.0 - tpr) - fpr  # falls from 1 to -1
    after = int(np.argmax(excess <= 0.0))
    before = after - 1
    fraction = excess[before] / (excess[before] - excess[after])
    return float(fpr[before] + fraction * (fpr[after] - fpr[before]))


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance between the proportion of fakes and the probability of fake, over BINS bins.

    The bins are equal intervals of the probability of fake, as in a reliability plot of two
    classes, not of the confidence in the predicted class.
    """
    probabilities = probabilities.astype(float)
    gaps, _ = np.histogram(probabilities, BINS, (0.0, 1.0), weights=probabilities - labels)
    return float(np.abs(gaps).sum() / len(labels))


def youden_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the largest TPR - FPR (Youden 1950).

    It is halfway between the lowest probability called fake and the next lower one. All thresholds
    between these two decide these predictions alike; the middle is the safest for others.

    Returns:
      NaN with one class only, and if no threshold is better than calling all or no images fake.
    """
    if len(np.unique(labels)) < 2:
        return float("nan")
    fpr, tpr, thresholds = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    best = np.argmax(tpr - fpr)
    if tpr[best] <= fpr[best]:
        return float("nan")
    return _halfway(probabilities, thresholds[best])


def _halfway(probabilities: np.ndarray, lowest: float) -> float:
    below = probabilities[probabilities < lowest]
    return float((lowest + below.max()) / 2 if len(below) else lowest)


def best_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """The largest accuracy that any threshold reaches on these predictions, and that threshold.

    Returns:
      NaN with one class only. The threshold is infinite if it is best to call no image fake.
    """
    if len(np.unique(labels)) < 2:
        return float("nan"), float("nan")
    fpr, tpr, thresholds = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    prevalence = float(labels.mean())
    accuracy = prevalence * tpr + (1 - prevalence) * (1 - fpr)
    best = np.argmax(accuracy)
    return float(accuracy[best]), _halfway(probabilities, thresholds[best])


def classification_report(labels: np.ndarray, probabilities: np.ndarray) -> str:
    """scikit-learn's table of precision, recall and F1 per class."""
    predicted = (probabilities >= THRESHOLD).astype(int)
    return sk.classification_report(
        labels, predicted, labels=[0, 1], target_names=["real", "fake"], digits=4, zero_division=0.0
    )


def summarize(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metrics of held-out predictions.

    Args:
      predictions: rows with fold, label, probability.

    Returns:
      folds, the metrics of each fold; their mean and their population standard deviation (std);
      pooled, the metrics of all predictions; threshold and at_threshold, see chosen_threshold.
    """
    fold, label, probability = columns(predictions, "fold", "label", "probability")
    folds = [
        {"fold": int(f), **binary_metrics(label[fold == f], probability[fold == f])}
        for f in np.unique(fold)
    ]
    scores = {
        name: np.array([entry[name] for entry in folds]) for name in (*SCORES, *RANKING_METRICS)
    }
    return {
        "folds": folds,
        "mean": {name: float(values.mean()) for name, values in scores.items()},
        "std": {name: float(values.std()) for name, values in scores.items()},
        "pooled": binary_metrics(label, probability),
        **chosen_threshold(fold, label, probability),
    }


def chosen_threshold(
    fold: np.ndarray, label: np.ndarray, probability: np.ndarray
) -> dict[str, Any]:
    """Chooses a threshold from held-out predictions, and estimates how good such a threshold is.

    Args:
      fold, label, probability: [n], of held-out predictions.

    Returns:
      threshold: its value, for new images; the criterion; the predictions it was chosen on.
      at_threshold: the metrics of each fold's decisions at the threshold that the other folds
      choose, and of all these decisions pooled. Empty with one fold, and if one of these thresholds
      is NaN.
    """
    folds = [int(f) for f in np.unique(fold)]
    threshold = {
        "value": youden_threshold(label, probability),
        "criterion": "largest TPR - FPR (Youden)",
        "chosen_on": f"held-out predictions of folds {', '.join(map(str, folds))}",
    }
    if len(folds) < 2:
        return {"threshold": threshold, "at_threshold": {}}
    called_fake = np.zeros(len(label), bool)
    entries = []
    for f in folds:
        here = fold == f
        value = youden_threshold(label[~here], probability[~here])
        if np.isnan(value):
            return {"threshold": threshold, "at_threshold": {}}
        called_fake[here] = probability[here] >= value
        found = decision_metrics(label[here], called_fake[here])
        entries.append({"fold": f, "threshold": value, **found})
    at_threshold = {"folds": entries, "pooled": decision_metrics(label, called_fake)}
    return {"threshold": threshold, "at_threshold": at_threshold}

"""Numbers from labels and probabilities, by scikit-learn where it has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sk

from dftk.models.config import THRESHOLD
from dftk.utils.files import columns

DECISIONS = ("accuracy", "precision", "recall", "f1")  # depend on a threshold
SCORES = (*DECISIONS, "auc")
# Of the probabilities themselves, whatever the threshold.
RANKINGS = ("average_precision", "eer", "tpr_at_1pct_fpr", "ece")
BINS = 15  # of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599)
MOST_FPR = 0.01


def binary_metrics(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float = THRESHOLD
) -> dict[str, Any]:
    """Metrics of one set of predictions; the positive class is fake.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake, in [0, 1].
      threshold: fake from here on.

    Returns:
      n; what decisions, auc and rankings return. NaN where a class that it needs is missing.
    """
    return {
        **decisions(labels, probabilities >= threshold),
        "auc": auc(labels, probabilities),
        **rankings(labels, probabilities),
    }


def decisions(labels: np.ndarray, fake: np.ndarray) -> dict[str, Any]:
    """n, accuracy, precision, recall, f1 (0 where undefined), confusion_matrix.

    Args:
      labels: int [n], 0 real, 1 fake.
      fake: bool [n], the decisions.

    Returns:
      confusion_matrix is [[tn, fp], [fn, tp]].
    """
    predicted = fake.astype(int)
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
    """Area under the ROC curve; NaN when only one class is present."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(sk.roc_auc_score(labels, scores))


def rankings(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """What the probabilities are worth beyond AUC.

    Returns:
      average_precision; eer, the equal error rate; tpr_at_1pct_fpr, the fakes found where at most
      1 % of reals are called fake; ece, the expected calibration error. All but ece are NaN when
      only one class is present.
    """
    calibration = expected_calibration_error(labels, probabilities)
    if len(np.unique(labels)) < 2:
        return {**dict.fromkeys(RANKINGS, float("nan")), "ece": calibration}
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    return {
        "average_precision": float(sk.average_precision_score(labels, probabilities)),
        "eer": equal_error_rate(fpr, tpr),
        "tpr_at_1pct_fpr": float(tpr[fpr <= MOST_FPR].max()),
        "ece": calibration,
    }


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Where the ROC curve, straight between its points, has as many false alarms as misses.

    Args:
      fpr, tpr: float [m], rising from 0 to 1, as sklearn.metrics.roc_curve has them.
    """
    excess = (1.0 - tpr) - fpr  # falls from 1 to -1
    after = int(np.argmax(excess <= 0.0))
    before = after - 1
    share = excess[before] / (excess[before] - excess[after])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance of the share of fakes from the probability of fake, over BINS equal bins.

    Bins of the probability of fake, not of the confidence in whichever class was predicted, as in
    a reliability plot of two classes.
    """
    probabilities = probabilities.astype(float)
    gaps, _ = np.histogram(probabilities, BINS, (0.0, 1.0), weights=probabilities - labels)
    return float(np.abs(gaps).sum() / len(labels))


def youden_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the largest TPR - FPR (Youden 1950).

    NaN with one class only, and where no threshold is better than calling all or nothing fake.

    Halfway from the lowest probability called fake to the next one below: where on that stretch
    it lies makes no difference to these predictions, and the middle errs least on others.
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
    """The largest accuracy that any threshold gives on these very predictions, and that threshold.

    NaN with one class only; the threshold is infinite where calling nothing fake is best.
    """
    if len(np.unique(labels)) < 2:
        return float("nan"), float("nan")
    fpr, tpr, thresholds = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    share = float(labels.mean())
    accuracy = share * tpr + (1 - share) * (1 - fpr)
    best = np.argmax(accuracy)
    return float(accuracy[best]), _halfway(probabilities, thresholds[best])


def classification_report(labels: np.ndarray, probabilities: np.ndarray) -> str:
    """scikit-learn's table of precision, recall and F1 per class."""
    predicted = (probabilities >= THRESHOLD).astype(int)
    return sk.classification_report(
        labels, predicted, labels=[0, 1], target_names=["real", "fake"], digits=4, zero_division=0.0
    )


def summarize(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Per fold, their mean and population standard deviation, and all predictions pooled.

    Args:
      predictions: rows with fold, label, probability.

    Returns:
      folds, mean, std, pooled; threshold and at_threshold, see chosen_threshold.
    """
    fold, label, probability = columns(predictions, "fold", "label", "probability")
    folds = [
        {"fold": int(f), **binary_metrics(label[fold == f], probability[fold == f])}
        for f in np.unique(fold)
    ]
    scores = {name: np.array([entry[name] for entry in folds]) for name in (*SCORES, *RANKINGS)}
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
    """A threshold from held-out predictions, and what one chosen so is worth.

    Args:
      fold, label, probability: [n], of held-out predictions.

    Returns:
      threshold: value, for images of no fold, and what it was chosen by and on. at_threshold: the
      decisions on each fold by the threshold of all other folds, and pooled; empty with one fold,
      and where one of these thresholds is NaN.
    """
    folds = [int(f) for f in np.unique(fold)]
    threshold = {
        "value": youden_threshold(label, probability),
        "criterion": "largest TPR - FPR (Youden)",
        "chosen_on": f"held-out predictions of folds {', '.join(map(str, folds))}",
    }
    if len(folds) < 2:
        return {"threshold": threshold, "at_threshold": {}}
    fake = np.zeros(len(label), bool)
    entries = []
    for f in folds:
        here = fold == f
        value = youden_threshold(label[~here], probability[~here])
        if np.isnan(value):
            return {"threshold": threshold, "at_threshold": {}}
        fake[here] = probability[here] >= value
        entries.append({"fold": f, "threshold": value, **decisions(label[here], fake[here])})
    at_threshold = {"folds": entries, "pooled": decisions(label, fake)}
    return {"threshold": threshold, "at_threshold": at_threshold}

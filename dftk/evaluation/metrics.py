"""Numbers from labels and probabilities, by scikit-learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as sk

from dftk.config import THRESHOLD

SCORES = ("accuracy", "precision", "recall", "f1", "auc")


def binary_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Metrics of one set of predictions; the positive class is fake.

    Args:
      labels: int [n], 0 real, 1 fake.
      probabilities: float [n], of fake, in [0, 1].

    Returns:
      n; accuracy, precision, recall, f1 at THRESHOLD (0 where undefined); auc (NaN with one class
      only); confusion_matrix [[tn, fp], [fn, tp]].
    """
    predicted = (probabilities >= THRESHOLD).astype(int)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        labels, predicted, pos_label=1, average="binary", zero_division=0.0
    )
    return {
        "n": len(labels),
        "accuracy": float(sk.accuracy_score(labels, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": auc(labels, probabilities),
        "confusion_matrix": sk.confusion_matrix(labels, predicted, labels=[0, 1]).tolist(),
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN when only one class is present."""
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(sk.roc_auc_score(labels, scores))


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
    """
    fold = np.array([row["fold"] for row in predictions])
    label = np.array([row["label"] for row in predictions])
    probability = np.array([row["probability"] for row in predictions])
    folds = [
        {"fold": int(f), **binary_metrics(label[fold == f], probability[fold == f])}
        for f in np.unique(fold)
    ]
    scores = {name: np.array([entry[name] for entry in folds]) for name in SCORES}
    return {
        "folds": folds,
        "mean": {name: float(values.mean()) for name, values in scores.items()},
        "std": {name: float(values.std()) for name, values in scores.items()},
        "pooled": binary_metrics(label, probability),
    }

import numpy as np
import pytest

from dftk.evaluation import metrics

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.6, 0.3, 0.9, 0.5, 0.4, 0.8, 0.7])  # 0.5 counts as fake


def test_metrics_by_hand():
    result = metrics.binary_metrics(LABELS, PROBABILITIES)
    assert result["n"] == 9
    assert result["confusion_matrix"] == [[3, 1], [1, 4]]
    assert result["accuracy"] == pytest.approx(7 / 9)
    assert result["precision"] == result["recall"] == result["f1"] == pytest.approx(4 / 5)
    assert result["auc"] == pytest.approx(18 / 20)  # two of twenty pairs the wrong way round


@pytest.mark.parametrize("dtype", [int, float, np.float32])
def test_precision_recall_f1_are_not_zero_for_float_labels(dtype):
    """The notebook looked its means up under '1' where the report's key was '1.0': all 0.0000."""
    result = metrics.binary_metrics(LABELS.astype(dtype), PROBABILITIES)
    assert (result["precision"], result["recall"], result["f1"]) == (0.8, 0.8, pytest.approx(0.8))


def test_one_class_has_no_auc_and_no_warning():
    result = metrics.binary_metrics(np.zeros(4, int), np.array([0.1, 0.2, 0.3, 0.4]))
    assert np.isnan(result["auc"])
    assert result["precision"] == 0.0
    assert result["confusion_matrix"] == [[4, 0], [0, 0]]


def test_summary_has_population_std_and_pooled():
    rows = [
        {"fold": fold, "label": int(label), "probability": float(p) + 0.15 * fold}
        for fold in (0, 1)
        for label, p in zip(LABELS, PROBABILITIES)
    ]
    summary = metrics.summarize(rows)
    accuracies = [entry["accuracy"] for entry in summary["folds"]]
    assert [entry["fold"] for entry in summary["folds"]] == [0, 1]
    assert accuracies[0] != accuracies[1]
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["std"]["accuracy"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2)
    assert summary["pooled"]["n"] == 18
    assert np.sum(summary["pooled"]["confusion_matrix"]) == 18


def test_classification_report_names_the_classes():
    text = metrics.classification_report(LABELS, PROBABILITIES)
    assert "real" in text
    assert "fake" in text

import numpy as np
import pytest
from noisy_predictions import noisy
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from dftk.evaluation.stats import metrics

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
    assert np.isnan([result[name] for name in ("auc", "average_precision", "eer")]).all()
    assert result["ece"] == pytest.approx(0.25)
    assert np.isnan(metrics.youden_threshold(np.zeros(2, int), np.array([0.1, 0.2])))
    assert result["precision"] == 0.0
    assert result["confusion_matrix"] == [[4, 0], [0, 0]]


def test_rankings_by_hand():
    """Falling: 1 1 1 0 1 1 0 0 0; at 0.6 one of four reals is called fake, 3 of 5 fakes found."""
    result = metrics.binary_metrics(LABELS, PROBABILITIES)
    precisions = [1, 1, 1, 4 / 5, 5 / 6]
    assert result["average_precision"] == pytest.approx(np.mean(precisions), abs=1e-12)
    # The curve goes up at FPR 0.25 from TPR 0.6 to 1: misses equal false alarms at 0.25.
    assert result["eer"] == pytest.approx(0.25, abs=1e-12)
    assert result["tpr_at_1pct_fpr"] == pytest.approx(0.6)
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (low <= PROBABILITIES) & (low + 1 / 15 > PROBABILITIES)
        expected += abs(PROBABILITIES[inside].sum() - LABELS[inside].sum()) / 9
    assert result["ece"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_equal_error_rate_is_the_root_that_others_find(seed):
    """By Brent's method on the interpolated curve, the form in wide use."""
    labels, probabilities = noisy(seed)
    fpr, tpr, _ = sk.roc_curve(labels, probabilities)
    root = brentq(lambda x: 1.0 - x - interp1d(fpr, tpr)(x), 0.0, 1.0, xtol=1e-14)
    assert metrics.ranking_metrics(labels, probabilities)["eer"] == pytest.approx(root, abs=1e-9)


def test_calibration_error_is_that_of_the_reliability_plot():
    labels, probabilities = noisy()
    probabilities = np.clip(probabilities - 1e-4, 0, 1)  # on a border bins may differ
    found, promised = calibration_curve(labels, probabilities, n_bins=metrics.BINS)
    counts, _ = np.histogram(probabilities, metrics.BINS, (0, 1))
    expected = np.average(np.abs(found - promised), weights=counts[counts > 0])
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx(
        expected, abs=1e-9
    )


def test_of_perfect_and_of_useless_predictions():
    labels = np.array([0, 0, 1, 1])
    perfect = metrics.binary_metrics(labels, labels.astype(float))
    assert [perfect[name] for name in metrics.RANKING_METRICS] == [1.0, 0.0, 1.0, 0.0]
    useless = metrics.binary_metrics(labels, np.full(4, 0.5))
    assert [useless[name] for name in metrics.RANKING_METRICS] == [0.5, 0.5, 0.0, 0.0]


def test_the_chosen_threshold_has_the_best_balanced_accuracy_of_all():
    labels, probabilities = noisy()

    def balanced(threshold):
        return sk.balanced_accuracy_score(labels, probabilities >= threshold)

    chosen = metrics.youden_threshold(labels, probabilities)
    assert balanced(chosen) == max(balanced(t) for t in np.linspace(0, 1, 2001))
    assert chosen not in probabilities, "halfway between two of them"


@pytest.mark.parametrize("probabilities", [np.full(4, 0.5), np.array([0.9, 0.8, 0.2, 0.1])])
def test_useless_probabilities_choose_no_threshold(probabilities):
    """A collapsed network, and one that has it the wrong way round: no infinity in metrics.json."""
    labels = np.array([0, 0, 1, 1])
    assert np.isnan(metrics.youden_threshold(labels, probabilities))
    rows = [
        {"fold": fold, "label": int(label), "probability": float(p)}
        for fold in (0, 1)
        for label, p in zip(labels, probabilities)
    ]
    summary = metrics.summarize(rows)
    assert np.isnan(summary["threshold"]["value"])
    assert summary["at_threshold"] == {}


def test_a_folds_own_labels_do_not_choose_its_threshold():
    labels, probabilities = noisy(n=300)
    folds = np.arange(300) % 3

    def thresholds(labels):
        entries = metrics.chosen_threshold(folds, labels, probabilities)["at_threshold"]["folds"]
        return [entry["threshold"] for entry in entries]

    before = thresholds(labels)
    after = thresholds(np.where(folds == 1, 1 - labels, labels))
    assert after[1] == before[1]
    assert after[0] != before[0]


def test_one_fold_has_no_other_to_choose_its_threshold():
    labels, probabilities = noisy(n=50)
    result = metrics.chosen_threshold(np.zeros(50, int), labels, probabilities)
    assert result["at_threshold"] == {}
    assert 0 < result["threshold"]["value"] < 1


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


def test_the_best_accuracy_is_that_of_the_best_threshold():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    probabilities = np.round(rng.random(80) * 0.7 + 0.3 * labels, 2)  # with ties
    best, threshold = metrics.best_accuracy(labels, probabilities)
    every = [np.mean((probabilities >= t) == labels) for t in np.linspace(0, 1.01, 2000)]
    assert best == pytest.approx(max(every))
    assert np.mean((probabilities >= threshold) == labels) == pytest.approx(best)
    worthless = np.array([0, 0, 0, 1]), np.array([0.5, 0.6, 0.7, 0.1])
    assert metrics.best_accuracy(*worthless) == (0.75, np.inf)
    assert np.isnan(metrics.best_accuracy(np.ones(3, int), np.full(3, 0.5))).all()

import numpy as np
import pytest
from noisy_predictions import noisy
from sklearn import metrics as sk

from dftk.evaluation.stats import intervals, metrics


def sorted_down(labels, probabilities):
    order = np.argsort(-probabilities, kind="stable")
    return labels[order].astype(float), probabilities[order]


def test_with_every_example_once_they_are_the_metrics_themselves():
    labels, probabilities = noisy()
    weights = np.ones([1, len(labels)])
    found = intervals.weighted_metrics(*sorted_down(labels, probabilities), weights, 0.5)
    expected = metrics.binary_metrics(labels, probabilities)
    assert set(found) == {*metrics.SCORES, *metrics.RANKING_METRICS}
    for name, value in found.items():
        assert value == pytest.approx([expected[name]], abs=1e-9), name


def test_weights_are_scikit_learns_sample_weight():
    labels, probabilities = sorted_down(*noisy())
    weights = np.random.default_rng(1).integers(0, 4, [3, len(labels)]).astype(float)
    found = intervals.weighted_metrics(labels, probabilities, weights, 0.5)
    for row, weight in enumerate(weights):
        called = probabilities >= 0.5
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, called, average="binary", sample_weight=weight
        )
        fpr, tpr, _ = sk.roc_curve(
            labels, probabilities, sample_weight=weight, drop_intermediate=False
        )
        expected = {
            "accuracy": sk.accuracy_score(labels, called, sample_weight=weight),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "auc": sk.roc_auc_score(labels, probabilities, sample_weight=weight),
            "average_precision": sk.average_precision_score(
                labels, probabilities, sample_weight=weight
            ),
            "eer": metrics.equal_error_rate(fpr, tpr),
            "tpr_at_1pct_fpr": tpr[fpr <= 0.01].max(),
            "ece": metrics.expected_calibration_error(
                np.repeat(labels, weight.astype(int)), np.repeat(probabilities, weight.astype(int))
            ),
        }
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9), name


def test_an_interval_of_accuracy_is_about_the_binomials():
    labels, probabilities = noisy(n=2000)
    low, high = intervals.bootstrap(labels, probabilities)["accuracy"]
    accuracy = metrics.binary_metrics(labels, probabilities)["accuracy"]
    error = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 2000)
    assert (low, high) == pytest.approx((accuracy - error, accuracy + error), abs=0.15 * error)


def test_the_number_of_resamples_in_memory_changes_no_more_than_another_seed(monkeypatch):
    labels, probabilities = noisy(n=100)
    whole, other = (intervals.bootstrap(labels, probabilities, seed=seed) for seed in (0, 1))
    monkeypatch.setattr(intervals, "_MAX_WEIGHTS", 7000)
    parts = intervals.bootstrap(labels, probabilities)
    assert parts["auc"] != whole["auc"], "drawn in other portions"
    assert parts["auc"] == pytest.approx(whole["auc"], abs=0.02)
    assert other["auc"] == pytest.approx(whole["auc"], abs=0.02)


def test_ten_of_ten_right_is_no_certainty():
    found = intervals.metric_intervals(np.arange(10) % 2, (np.arange(10) % 2).astype(float))
    for name in ("accuracy", "precision", "recall", "auc"):
        low, high = found[name]
        assert low < 0.8, name
        assert high == 1.0, name


def test_the_calibration_error_has_no_interval():
    """Its percentile interval lies above it: resampling adds error of its own."""
    rng = np.random.default_rng(0)
    probabilities = rng.random(300)
    labels = (rng.random(300) < probabilities).astype(int)
    low, _ = intervals.bootstrap(labels, probabilities)["ece"]
    assert low > 0.9 * metrics.expected_calibration_error(labels, probabilities)
    assert intervals.metric_intervals(labels, probabilities)["ece"] is None


@pytest.mark.parametrize("threshold", [0.0, 1.1])
def test_thresholds_that_call_all_or_nothing_fake(threshold):
    labels, probabilities = noisy(n=100)
    found = intervals.bootstrap(labels, probabilities, threshold, samples=10)
    share = labels.mean() if threshold == 0 else 1 - labels.mean()
    assert found["accuracy"] == pytest.approx([share, share])
    assert found["recall"] == [float(threshold == 0)] * 2


def test_one_class_only_has_no_interval_of_what_it_has_not():
    found = intervals.bootstrap(np.zeros(20, int), np.linspace(0, 1, 20), samples=10)
    assert np.isnan(found["auc"]).all()
    assert 0 < found["accuracy"][0] <= found["accuracy"][1] < 1

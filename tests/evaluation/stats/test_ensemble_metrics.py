import numpy as np

from dftk.evaluation.stats import ensemble_metrics, metrics


def test_members_and_their_mean_are_scored_at_both_thresholds():
    labels = np.array([0, 0, 1, 1])
    members = np.array([[0.1, 0.6, 0.4, 0.9], [0.3, 0.2, 0.6, 0.7]])
    mean = members.mean(axis=0)
    threshold = {"value": 0.45, "criterion": "any"}
    result = ensemble_metrics.summarize(
        folds=[0, 3], labels=labels, members=members, mean=mean, threshold=threshold
    )
    assert [entry["fold"] for entry in result["folds"]] == [0, 3]
    assert result["folds"][1]["auc"] == 1
    assert result["ensemble"] == metrics.binary_metrics(labels, mean)
    assert result["threshold"] == threshold
    decisions = result["at_threshold"]
    assert decisions["ensemble"] == metrics.decision_metrics(labels, mean >= 0.45)
    assert decisions["folds"][0]["confusion_matrix"] == [[1, 1], [1, 1]]
    low, high = result["intervals"]["ensemble"]["accuracy"]
    assert low < result["ensemble"]["accuracy"] <= high

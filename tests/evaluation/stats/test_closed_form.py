import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dftk.evaluation.stats import closed_form


def test_a_share_has_wilsons_interval():
    # Newcombe, Statistics in Medicine 17:857-872, 1998, table I: 81 of 263.
    assert closed_form.proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    low, high = closed_form.proportion_interval(10, 10)
    assert low < 0.75
    assert high == 1
    assert np.isnan(closed_form.proportion_interval(0, 0)).all()


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_an_area_is_covered_as_often_as_promised(shift):
    """Two normal classes `shift` apart have the area Phi(shift / sqrt 2)."""
    from scipy.stats import norm

    truth, rng = norm.cdf(shift / np.sqrt(2)), np.random.default_rng(0)
    labels = np.repeat([0, 1], [40, 30])
    covered = 0
    for _ in range(400):
        scores = rng.standard_normal(70) + shift * labels
        auc = (scores[labels == 1][:, None] > scores[labels == 0]).mean()
        low, high = closed_form.auc_interval(auc, 40, 30)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.99


def test_an_area_is_as_wide_as_resampling_makes_it():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 150)
    scores = rng.standard_normal(300) + labels
    drawn = []
    for _ in range(200):
        rows = np.concatenate([rng.integers(0, 150, 150), rng.integers(150, 300, 150)])
        drawn.append(roc_auc_score(labels[rows], scores[rows]))
    low, high = closed_form.auc_interval(roc_auc_score(labels, scores), 150, 150)
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)


def test_at_the_ends_an_area_is_no_point():
    low, high = closed_form.auc_interval(1.0, 20, 20)
    assert 0.8 < low < 0.95
    assert high == 1
    assert closed_form.auc_interval(0.0, 20, 20) == pytest.approx((0, 1 - low))
    assert np.isnan(closed_form.auc_interval(float("nan"), 20, 0)).all()


def test_more_confidence_and_fewer_images_make_it_wider():
    low, high = closed_form.auc_interval(0.8, 50, 50)
    wider = closed_form.auc_interval(0.8, 50, 50, closed_form.simultaneous_confidence(10))
    assert wider[0] < low < 0.8 < high < wider[1]
    assert closed_form.auc_interval(0.8, 20, 20)[0] < low
    assert closed_form.simultaneous_confidence(10) == pytest.approx(0.995)
    assert closed_form.simultaneous_confidence(0) == closed_form.CONFIDENCE


def test_scores_of_a_set_and_of_one_class():
    entry = closed_form.scores(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]), 0.5)
    assert (entry["n"], entry["fakes"]) == (4, 2)
    assert (entry["accuracy"], entry["auc"], entry["called_fake"]) == (0.75, 0.75, 0.75)
    one = closed_form.scores(np.array([1, 1]), np.array([0.1, 0.6]), 0.5)
    assert one["accuracy"] == 0.5
    assert np.isnan(one["auc"])
    assert not closed_form.is_below(one, entry, "auc")
    assert closed_form.is_below({"auc_interval": [0.2, 0.7]}, entry, "auc")
    assert not closed_form.is_below({"auc_interval": [0.2, 0.8]}, entry, "auc")


def test_a_difference_is_as_uncertain_as_both_together():
    low, high = closed_form.difference_interval(0.9, [0.8, 0.95], 0.7, [0.6, 0.8])
    assert low == pytest.approx(0.2 - np.hypot(0.1, 0.1))
    assert high == pytest.approx(0.2 + np.hypot(0.05, 0.1))
    assert np.isnan(closed_form.difference_interval(np.nan, [np.nan] * 2, 0.7, [0.6, 0.8])).all()

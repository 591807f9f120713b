import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from dftk.evaluation.stats import paired_tests


def scored(seed=7, n=60):
    """Labels and two detectors' scores of the same examples, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return labels, *(np.round(rng.normal(labels * shift, 1), 1) for shift in (0.8, 1.4))


def test_delong_agrees_with_published_code():
    """The figures are MLstatkit 0.1.91's, Delong_test on the same numbers."""
    labels, first, second = scored()
    found = paired_tests.delong(labels, first, second)
    assert found.value == pytest.approx(0.8925339366515836 - 0.6289592760180995, abs=1e-9)
    assert found.p_value == pytest.approx(0.0018592162608437371, abs=1e-9)
    error = np.sqrt(0.007174162232054167)
    assert found.high - found.value == pytest.approx(stats.norm.ppf(0.975) * error, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_delong_agrees_with_its_definition_pair_by_pair(seed):
    """DeLong et al. 1988, section 2, without ranks: every real against every fake."""
    labels, *scores = scored(seed)
    wins = []
    for score in scores:
        fake, real = score[labels == 1][:, None], score[labels == 0][None]
        wins.append((fake > real) + 0.5 * (fake == real))
    contrast = wins[1] - wins[0]
    variance = contrast.mean(axis=1).var(ddof=1) / contrast.shape[0]
    variance += contrast.mean(axis=0).var(ddof=1) / contrast.shape[1]
    found = paired_tests.delong(labels, *scores)
    assert found.value == pytest.approx(contrast.mean(), abs=1e-9)
    assert found.p_value == pytest.approx(
        2 * stats.norm.sf(abs(contrast.mean()) / np.sqrt(variance)), abs=1e-9
    )
    areas = [roc_auc_score(labels, score) for score in scores]
    assert found.value == pytest.approx(areas[1] - areas[0], abs=1e-9)


def test_delong_finds_no_difference_of_a_detector_from_itself():
    labels, first, _ = scored()
    same = paired_tests.delong(labels, first, first)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert paired_tests.delong(labels, first, 2 * first + 1).p_value == 1, "the order is the same"


def test_a_difference_without_spread_proves_nothing():
    """Two of each class, one detector constant and one perfect: no p-value of zero."""
    found = paired_tests.delong(np.array([0, 0, 1, 1]), np.zeros(4), np.array([0, 0, 1, 1.0]))
    assert found.value == 0.5
    assert np.isnan([found.low, found.high, found.p_value]).all()
    found = paired_tests.across_folds(np.array([0.7, 0.8]), np.array([0.745, 0.845]), 5)
    assert found.value == pytest.approx(0.045)
    assert np.isnan(found.p_value)


def test_delong_needs_two_of_each_class():
    found = paired_tests.delong(np.array([0, 0, 1]), np.arange(3), np.arange(3)[::-1])
    assert np.isnan([found.value, found.p_value]).all()


def test_delongs_p_values_are_uniform_where_nothing_differs():
    """Two equally good detectors: 5 % of the tests find a difference at the 5 % level."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    scores = rng.normal(labels[None, None] * 1.0, 1, [400, 2, 100])
    p_values = [paired_tests.delong(labels, *pair).p_value for pair in scores]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_mcnemar_agrees_with_statsmodels():
    """statsmodels 0.15.0, mcnemar([[28, 6], [21, 5]], exact=True)."""
    labels, first, second = scored()
    right = [(scores > 0.4) == labels for scores in (first, second)]
    found = paired_tests.mcnemar(*right)
    assert found.p_value == pytest.approx(0.005924612283706665, abs=1e-9)
    assert found.value == pytest.approx(right[1].mean() - right[0].mean())
    assert found.low < found.value < found.high


def test_mcnemar_of_equal_decisions():
    right = np.array([True, False, True])
    found = paired_tests.mcnemar(right, right)
    assert (found.value, found.p_value) == (0, 1)
    assert found.low < 0 < found.high, "three examples prove little"
    assert paired_tests.mcnemar(~right, right).low >= -1
    assert paired_tests.mcnemar(np.zeros(3, bool), np.ones(3, bool)).high == 1


def test_across_folds_by_hand():
    found = paired_tests.across_folds(np.array([0.7, 0.8, 0.75]), np.array([0.8, 0.85, 0.9]), 5)
    # Differences 0.10, 0.05, 0.15: mean 0.1, variance 0.0025; (1/3 + 1/4) * 0.0025.
    error = np.sqrt(7 / 12 * 0.0025)
    assert found.value == pytest.approx(0.1)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.1 / error, 2), abs=1e-9)
    assert found.high == pytest.approx(0.1 + stats.t.ppf(0.975, 2) * error, abs=1e-9)


def test_one_fold_says_nothing_of_others():
    found = paired_tests.across_folds(np.array([0.7]), np.array([0.8]), 5)
    assert found.value == pytest.approx(0.1)
    assert np.isnan(found.p_value)


def test_holm_agrees_with_statsmodels():
    """statsmodels 0.15.0, multipletests(method="holm")."""
    assert paired_tests.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert paired_tests.holm([0.9, 0.8]) == [1.0, 1.0]
    with_none = paired_tests.holm([0.01, float("nan"), 0.04])
    assert np.isnan(with_none[1])
    assert [with_none[0], with_none[2]] == pytest.approx([0.02, 0.04])

import numpy as np

from dftk.models import heads
from dftk.training import head_statistics

FEATURES = np.random.default_rng(0).normal(2, 3, (2000, 6)).astype(np.float32)


def measured(rows, key):
    asked, head = [], heads.linear(6, 0.0, 0.0, seed=0, synchronized=False)
    head_statistics.measure(head, rows, key, lambda r: asked.append(r) or FEATURES[r])
    (asked,) = asked
    return asked, head.get_layer("standardise").moving_mean.numpy()


def test_the_same_key_asks_for_the_same_rows_of_those_given_and_another_for_others():
    rows = np.arange(1, 2000, 2)
    asked, mean = measured(rows, (42, 1))
    assert len(asked) == 512
    assert set(asked) <= set(rows)
    assert (np.diff(asked) > 0).all(), "ascending, each once"
    np.testing.assert_array_equal(measured(rows, (42, 1))[0], asked)
    assert set(measured(rows, (42, 2))[0]) != set(asked)
    np.testing.assert_allclose(mean, FEATURES[asked].mean(axis=0), rtol=1e-4)


def test_few_rows_are_all_asked_for():
    rows = np.array([3, 5, 9])
    np.testing.assert_array_equal(measured(rows, (0, 0))[0], rows)

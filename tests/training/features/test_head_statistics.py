import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from dftk.training.features import head_statistics


def test_the_same_key_draws_the_same_rows_of_those_given_and_another_others():
    rows = np.arange(1, 2000, 2)
    drawn = head_statistics.draw(rows, (42, 1))
    assert len(drawn) == 512
    assert set(drawn) <= set(rows)
    assert (np.diff(drawn) > 0).all(), "ascending, each once"
    np.testing.assert_array_equal(head_statistics.draw(rows, (42, 1)), drawn)
    assert set(head_statistics.draw(rows, (42, 2))) != set(drawn)


def test_few_rows_are_all_drawn():
    rows = np.array([3, 5, 9])
    np.testing.assert_array_equal(head_statistics.draw(rows, (0, 0)), rows)


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_that_labels_were_drawn_by(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, 20_000)
    labels = (rng.random(20_000) < expit(logits / true)).astype(int)
    found = head_statistics.temperature(logits.astype(np.float32), labels)
    assert found == pytest.approx(true, rel=0.05)
    losses = [log_loss(labels, expit(logits / t)) for t in (found, found * 1.05, found / 1.05)]
    assert losses[0] == min(losses)


def test_where_all_is_right_logits_stay_finite_and_more_images_are_surer():
    labels = np.tile([0, 1], 256)
    logits = np.where(labels == 1, 2.0, -2.0)
    few, many = (head_statistics.temperature(logits[:n], labels[:n]) for n in (64, 512))
    assert expit(2 / few) == pytest.approx(33 / 34, abs=1e-3), "Platt's (N + 1) / (N + 2)"
    assert expit(2 / many) == pytest.approx(257 / 258, abs=1e-3)


def test_images_of_one_class_alone_do_not_break_it():
    assert 1 / 16 <= head_statistics.temperature(np.array([1.0, 2.0]), np.array([1, 1])) <= 16

import pytest

from dftk.runs.results import chooses_by_held_out, read_valid
from dftk.training.config import resolve


def test_a_run_without_scores_on_valid_has_none(untouched_cnn):
    from dftk.runs.workdir import Workdir

    assert read_valid(Workdir(untouched_cnn)) is None


@pytest.mark.parametrize(
    ("given", "chooses"),
    [
        ({}, True),
        ({"keep": "last"}, True),  # plateaus of val_loss still move the learning rate
        ({"keep": "last", "decay": "cosine"}, False),
        ({"decay": "cosine"}, True),
        ({"model": "anomaly"}, False),
    ],
)
def test_who_chooses_by_the_fold_held_out(given, chooses):
    assert chooses_by_held_out(resolve(given).values()) == chooses

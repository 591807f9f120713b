import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.planning import folds

LABELS = np.repeat([0, 1], 50)


def test_without_groups_it_is_scikit_learns_stratified_kfold():
    parts = folds.assign_folds(LABELS, np.arange(100), 5, 42)
    expected = StratifiedKFold(5, shuffle=True, random_state=42).split(LABELS, LABELS)
    for part, (_, held_out) in zip(parts, expected):
        assert sorted(part) == list(held_out)
        assert list(part) != list(held_out)  # in another order


@pytest.mark.parametrize("stratified", [True, False])
def test_no_group_is_in_two_folds_and_no_image_is_lost(stratified):
    groups = np.random.default_rng(0).integers(0, 40, 100)  # some of both labels
    parts = folds.assign_folds(LABELS, groups, 5, 42, stratified)
    assert sorted(np.concatenate(parts)) == list(range(100))
    of_fold = [set(groups[part]) for part in parts]
    assert sum(map(len, of_fold)) == len(set(groups))
    if stratified:
        assert all(abs(int(LABELS[part].sum()) - 10) <= 4 for part in parts)


def test_a_class_too_small_is_refused():
    message = "2 distinct images of class 'fake', 3 folds need 3; add images, or make fewer folds"
    with pytest.raises(DatasetError, match=message) as error:
        folds.assign_folds(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4]), 3, 0)
    assert error.value.settings == {"k": 2}


def test_shards_are_even_and_never_empty():
    (parts,) = folds.split_into_shards([np.arange(10)], 4)
    assert [len(part) for part in parts] == [3, 3, 2, 2]
    with pytest.raises(DatasetError, match="a fold of 3 images does not fill 4 shards") as error:
        folds.split_into_shards([np.arange(9), np.arange(3), np.arange(5)], 4)
    assert error.value.settings == {"shards_per_fold": 3}


def test_one_pair_of_copies_changes_little_and_costs_nothing():
    import time

    labels, groups = np.arange(100_000) % 2, np.arange(100_000)
    groups[2] = 0
    started = time.perf_counter()
    parts = folds.assign_folds(labels, groups, 5, 42)
    assert time.perf_counter() - started < 5  # StratifiedGroupKFold: 16 s; this: 0.5 s
    assert [len(part) for part in parts] == [20_000] * 5
    assert [int(labels[part].sum()) for part in parts] == [10_000] * 5
    assert sum({0, 2} <= set(part) for part in parts) == 1


@pytest.mark.parametrize("stratified", [True, False])
def test_a_fold_without_a_class_is_refused(stratified):
    labels = np.array([0] * 3 + [1] * 30)
    groups = np.array([0, 1, 2, *([0] * 5), *([1] * 5), *range(3, 23)])
    groups[:3] = [0, 0, 1]  # two groups of real for three folds
    with pytest.raises(ValueError, match="distinct images of class 'real'|would have no 'real'"):
        folds.assign_folds(labels, groups, 3, 0, stratified)
    mixed = np.array([0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="fold . of 3 would have no '.*make fewer folds"):
        for seed in range(50):
            folds.assign_folds(mixed, np.arange(6), 3, seed, stratified=False)

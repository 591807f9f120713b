import shutil

import numpy as np
import pytest

from dftk.evaluation.comparison import compared_runs
from dftk.runs.workdir import Workdir
from dftk.utils.errors import UserError


def test_names_are_the_folders_or_whole_paths_where_these_are_equal(tmp_path):
    one, other, third = (Workdir(tmp_path / p) for p in ("a/run", "b/run", "b/third"))
    assert list(compared_runs.unique_names([one, third])) == ["run", "third"]
    assert list(compared_runs.unique_names([one, other])) == [str(one.path), str(other.path)]


def test_folds_in_common(trained, trained_cnn, tmp_path):
    assert compared_runs.common_folds([trained, trained_cnn]) == [0, 3]
    shutil.copytree(trained.path, tmp_path / "run", ignore=shutil.ignore_patterns("fold_0"))
    only_3 = Workdir(tmp_path / "run")
    assert compared_runs.common_folds([only_3, trained_cnn]) == [3]
    shutil.copytree(trained.path, tmp_path / "run2", ignore=shutil.ignore_patterns("fold_3"))
    with pytest.raises(UserError, match="no finished fold in common"):
        compared_runs.common_folds([only_3, Workdir(tmp_path / "run2")])


def test_a_held_out_image_has_the_threshold_of_the_other_folds(trained):
    run = compared_runs.read(trained, "run", [0, 3], with_valid=False)
    assert run.valid is None
    per_fold = [set(run.held_out.thresholds[run.folds == fold]) for fold in (0, 3)]
    assert [len(values) for values in per_fold] == [1, 1]
    alone = compared_runs.read(trained, "run", [0], with_valid=False)
    assert np.isnan(alone.held_out.thresholds).all()

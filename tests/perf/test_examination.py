import pytest
from perf_measurements import perf_config

from dftk.input import raw_file, residency
from dftk.perf import examination, timing
from dftk.training.config import resolve
from dftk.utils.errors import UsageError, UserError


@pytest.mark.long
def test_a_raw_file_of_a_part_does_not_stay(data_dir, dataset, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_S", 0.05)
    config = perf_config(data_dir, cache="disk", max_examples=160)
    found = examination.examine(config, "frozen", None)
    assert found["run"]["phase"] == "frozen"
    shards = residency.limit_examples(dataset.train, 160)
    assert not raw_file.cache_path(shards, None).exists()


def test_a_head_that_is_fitted_has_no_step_to_measure():
    with pytest.raises(UsageError, match="--head=pca: this head is fitted, .*--head=linear"):
        examination.examine(resolve({"model": "anomaly"}), None, None)


def test_files_are_tried_before_anything_is_measured(tmp_path):
    examination.check_writable([tmp_path / "fine.json"])
    with pytest.raises(UserError, match=r"gone/x.json: cannot write it \(No such file"):
        examination.check_writable([tmp_path / "gone" / "x.json"])

from pathlib import Path

import pytest
from shard_files import rewrite

from dftk.datasets import catalog
from dftk.utils.errors import UsageError, UserError


def test_fold_is_a_range_of_shards(dataset):
    assert dataset.folds == 5
    assert [shard.fold for shard in dataset.train] == [f for f in range(5) for _ in range(4)]
    assert {shard.fold for shard in dataset.valid} == {-1}
    assert sum(shard.length for shard in dataset.train) == 400
    assert sum(shard.length for shard in dataset.valid) == 100


def test_opens_a_directory(dataset):
    directory = Path(dataset.train[0].path).parent
    assert catalog.open_dataset(str(directory), None, 5) == dataset


def test_fingerprint_sees_another_size(dataset):
    import dataclasses

    shorter = dataclasses.replace(dataset.train[0], length=1)
    other = dataclasses.replace(dataset, train=(shorter, *dataset.train[1:]))
    assert other.fingerprint() != dataset.fingerprint()
    assert len(dataset.fingerprint()) == 64


@pytest.mark.parametrize("name", ["rvf10k", "rvf10k/kfold5", "rvf10k/nowhere"])
def test_missing_dataset_says_how_to_build_it(name, tmp_path):
    remedy = "python -m tfds_rvf10k.build --manual_dir=DIR"
    with pytest.raises(UserError, match=f"--dataset={name}: .*{remedy}"):
        catalog.open_dataset(name, str(tmp_path), 5)


def test_other_number_of_folds_says_how_to_build_it(dataset):
    directory = str(Path(dataset.train[0].path).parent)
    with pytest.raises(UsageError, match=r"--folds=10: .* has 5; .*\"k\": 10.*kfold10"):
        catalog.open_dataset(directory, None, 10)


def test_missing_shard_is_named(dataset, tmp_path):
    import shutil

    copy = tmp_path / "dftk_sample" / "kfold5" / "1.0.0"
    shutil.copytree(Path(dataset.train[0].path).parent, copy)
    lost = copy / Path(dataset.train[3].path).name
    lost.unlink()
    with pytest.raises(UserError, match=f"{lost}: missing"):
        catalog.open_dataset(str(copy), None, 5)


def test_fingerprint_sees_other_contents_of_the_same_size(copy):
    opened = copy()
    before, size = opened.fingerprint(), Path(opened.train[3].path).stat().st_size

    def relabel(index, feature):
        if index == 0:
            label = feature["label"].int64_list
            label.value[0] = 1 - label.value[0]

    rewrite(opened.train[3], relabel)
    assert Path(opened.train[3].path).stat().st_size == size
    assert opened.fingerprint() != before


def test_a_cut_shard_has_no_fingerprint(copy):
    opened = copy()
    path = Path(opened.train[3].path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cut or corrupt, its last record would end at byte"):
        opened.fingerprint()


def test_a_folder_is_found_however_damaged(copy, data_dir, tmp_path):
    folder = Path(copy().train[0].path).parent
    for name in ("dataset_info.json", "manifest.json"):
        (folder / name).unlink()
    assert catalog.find_folder(str(folder), None) == folder
    assert catalog.find_folder("sample", data_dir) == Path(data_dir, "dftk_sample/kfold5/1.0.0")
    for name, config in (("rvf10k", "kfold5"), ("rvf10k/other", "other")):
        made = tmp_path / "rvf10k" / config / "1.0.0"
        made.mkdir(parents=True)
        assert catalog.find_folder(name, str(tmp_path)) == made


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rvf10k", "not built in .*; build it with `python -m tfds_rvf10k.build"),
        ("/no/such", "no built dataset in it; give rvf10k, "),
        ("sample", "not built in .*; python -m dftk.train --dataset=sample builds it"),
    ],
)
def test_no_folder_says_how_to_make_it(name, message, tmp_path):
    with pytest.raises(UserError, match=f"--dataset={name}: {message}"):
        catalog.find_folder(name, str(tmp_path))

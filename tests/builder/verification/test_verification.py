import shutil

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from small_dataset import build, edit, faults, records, shard, write

from tfds_rvf10k.executors import Threads
from tfds_rvf10k.verification.verification import verify


def test_a_complete_dataset_says_what_was_proved(small_whole, capfd):
    report = verify(small_whole, Threads(2))
    assert report.faults == report.notes == []
    assert (report.name, report.folds, report.shards) == ("rvf10k/small/1.0.0", 3, 8)
    assert report.images == {"train": 26, "valid": 4}
    assert report.groups == {"bytes": 1, "pixels": 1, "group": 0}
    assert report.summary().splitlines()[1:] == [
        "  8 shards, 30 images (26 of train, 4 of valid)",
        "  sets of two and more images: 1 of the same bytes, 1 of the same pixels in other bytes, "
        "0 of one value in the group column",
        "  complete: every file matches the manifest",
        "  no leak: no set is in two of the 3 folds, valid has no copy from train, no picture has "
        "two labels",
    ]
    assert "verifying: 30 images" in capfd.readouterr().err


def test_swapped_and_copied_shards_are_told_once(small):
    one, other, third, fourth = (shard(small, index) for index in (0, 5, 2, 3))
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    third.write_bytes(fourth.read_bytes())
    lines = faults(small)
    assert [line.split(";")[0] for line in lines] == [
        f"{one}: swapped: its contents are those of {other.name}",
        f"{third}: swapped: its contents are those of {fourth.name}",
        f"{other}: swapped: its contents are those of {one.name}",
    ]


def test_a_shard_of_another_build_is_told_and_what_it_leaks(small, small_tree, tmp_path):
    other = build(small_tree, tmp_path / "other", seed=11)
    shutil.copy(shard(other, 4), shard(small, 4))
    lines = faults(small)
    assert f"{shard(small, 4)}: its " in lines[0]
    assert "of another build, or edited" in lines[0] or "records, the manifest says" in lines[0]
    assert any("bytes are those of" in line and "(fold 2, " in line for line in lines), lines


@pytest.mark.parametrize("text", [None, "{", "[]", '{"format": 1, "name": "x"}'])
def test_a_lost_or_damaged_manifest_is_one_line(small, text):
    path = small / "manifest.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    report = verify(small, Threads(2))
    (line,) = report.faults
    assert line.startswith(f"{path}: ")
    assert "build" in line
    assert report.summary() == f"{small}: not verified"


def test_plain_tfds_refuses_a_shard_cut_at_a_boundary(small):
    path = shard(small, 5)
    write(path, records(path)[:-1])
    train = tfds.builder_from_directory(str(small)).as_dataset(split="train")
    with pytest.raises(tf.errors.FailedPreconditionError, match="cardinality|fewer|elements"):
        list(train)


def test_a_fault_is_one_line_whatever_a_name_holds(small):
    path = shard(small, 0)
    first, *rest = records(path)
    example = tf.train.Example.FromString(first)
    example.features.feature["filename"].bytes_list.value[0] = "a; b\n\té.jpg".encode()
    example.features.feature["fold"].int64_list.value[0] = 2
    write(path, [example.SerializeToString(deterministic=True), *rest])
    lines = faults(small)
    assert lines[1] == (
        f"{path}: record 1 (a; b\\n\\té.jpg): its fold is 2, its shard belongs to fold 0; "
        "build the dataset again with --overwrite"
    )


def test_a_dataset_that_no_command_overwrites_names_another_way(small):
    edit(small / "manifest.json", lambda content: content.update(name="dftk_images/small/1.0.0"))
    shard(small, 2).unlink()
    assert f"missing; remove {small} and build the dataset again" in "\n".join(faults(small))

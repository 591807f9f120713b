import dataclasses

import numpy as np
import pytest
from images import encoded, picture

from tfds_rvf10k.errors import BadSource
from tfds_rvf10k.executors import Threads
from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection
from tfds_rvf10k.planning import plan as plan_lib
from tfds_rvf10k.sources.listing import list_images
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import Layout

OPTIONS = plan_lib.FoldOptions(k=2, seed=0, shards_per_fold=1, stratified=True)


@pytest.fixture
def tree(tmp_path):
    for index in range(16):
        label, split = ("real", "fake")[index % 2], "valid" if index >= 12 else "train"
        folder = tmp_path / split / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(encoded(picture(index)))
    return tmp_path


def make(tree, *, scale=8, **options):
    source = Source(str(tree))
    options.setdefault("quarantine", False)
    perceptual = bool(options.get("near_limit"))
    inspect = Inspection(source, scale, perceptual)
    return plan_lib.make(list_images(source, Layout()), Threads(2), inspect, OPTIONS, **options)


def names(plan, split="train"):
    return sorted(member.filename for _, part in plan.shards[split] for member in part)


def test_a_sound_tree_is_planned_whole(tree):
    plan = make(tree)
    assert len(names(plan)) == 12
    assert len(names(plan, "valid")) == 4
    assert plan.fold_sizes == [[3, 3], [3, 3]]
    assert plan.valid_size == [2, 2]
    assert [fold for fold, _ in plan.shards["train"]] == [0, 1]
    assert plan.problems == plan.notes == plan.left_out == []


def test_strict_names_everything_at_once_and_quarantine_sets_it_aside(tree):
    (tree / "train/real/0.jpg").write_bytes(b"")
    (tree / "train/fake/1.jpg").write_bytes(encoded(picture(size=(64, 64))))
    copy = (tree / "valid/real/12.jpg").read_bytes()
    (tree / "train/real/copy.jpg").write_bytes(copy)
    with pytest.raises(BadSource) as raised:
        make(tree)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("3 problems in ")
    assert [line.strip().split(":")[0] for line in lines[1:-1]] == [
        "train/fake/1.jpg", "train/real/0.jpg", "train/real/copy.jpg",
    ]  # fmt: skip
    assert "64x64 pixels, most have 40x32" in lines[1]
    assert '"on_bad": "quarantine"' in lines[-1]

    plan = make(tree, quarantine=True)
    assert len(plan.problems) == 3
    assert len(names(plan)) == 10
    assert "train/real/copy.jpg" not in names(plan)
    assert len(names(plan, "valid")) == 4
    assert "train/fake/1.jpg" in names(make(tree, quarantine=True, any_size=True))


def test_copies_share_a_fold_and_are_listed(tree):
    for index in range(3):
        data = (tree / "train/real/0.jpg").read_bytes()
        (tree / f"train/real/copy{index}.jpg").write_bytes(data)
    plan = make(tree)
    folds = {fold for fold, part in plan.shards["train"] for m in part if "copy" in m.filename}
    assert len(folds) == 1
    assert [row[1] for row in plan.groups.rows] == [
        "train/real/0.jpg", "train/real/copy0.jpg", "train/real/copy1.jpg", "train/real/copy2.jpg",
    ]  # fmt: skip


def test_what_another_dataset_has_is_left_out(tree):
    known = Inspection(Source(str(tree)), 1, True)(["train/real/2.jpg", "train/fake/3.jpg"])
    assert all(isinstance(item, InspectedImage) for item in known)
    excluded = plan_lib.ExcludedImages("other", frozenset([known[0].sha256]))
    assert make(tree, scale=1, excluded=excluded).left_out == [("train/real/2.jpg", "in other")]
    by_pixels = dataclasses.replace(excluded, pixel_digests=frozenset([known[1].pixel_digest]))
    plan = make(tree, scale=1, excluded=by_pixels)
    assert plan.left_out == [("train/fake/3.jpg", "in other"), ("train/real/2.jpg", "in other")]
    assert len(names(plan)) == 10
    hashes = np.frombuffer(known[1].perceptual, np.uint8)[None]
    near = make(
        tree,
        scale=1,
        near_limit=8,
        excluded=plan_lib.ExcludedImages("other", perceptual_hashes=hashes),
    )
    assert ("train/fake/3.jpg", "near-duplicate in other") in near.left_out


def test_formats_that_tell_the_classes_apart_are_noted(tree):
    for path in list((tree / "train/fake").iterdir()) + list((tree / "valid/fake").iterdir()):
        index = int(path.stem)
        path.with_suffix(".png").write_bytes(encoded(picture(index), "PNG"))
        path.unlink()
    (note,) = make(tree, scale=1).notes
    assert note.startswith("0% of real and 100% of fake are PNG files")

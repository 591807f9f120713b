import numpy as np
import pytest
from images import encoded, picture

from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection
from tfds_rvf10k.planning import duplicates
from tfds_rvf10k.sources.source import Source
from tfds_rvf10k.sources.source_images import SourceImage


def image(name, split="train", label=0, group=""):
    return SourceImage(name, split, label, group)


def found(name):
    """An inspected file whose bytes, picture and hash are told by three letters."""
    sha, pic, near = name.encode()
    return InspectedImage(bytes([sha]) * 32, bytes([pic]) * 16, (8, 8), bytes([near]) * 32)


def test_copies_are_found_by_bytes_and_by_confirmed_pixels(tmp_path):
    files = {
        "a.jpg": encoded(picture()),
        "b.jpg": encoded(picture()),
        "c.jpg": encoded(picture(), optimize=True),
        "d.jpg": encoded(picture(1)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    inspect = Inspection(Source(str(tmp_path)))
    images = [image(name) for name in files]
    copies = duplicates.find_copies(images, inspect(list(files)), inspect)
    assert copies["bytes"].tolist() == [[0, 1]]
    assert copies["pixels"].tolist() == [[0, 2]]


def test_one_digest_at_an_eighth_is_a_suspicion_only(tmp_path):
    for name, seed in (("a.jpg", 0), ("b.jpg", 1)):
        (tmp_path / name).write_bytes(encoded(picture(seed)))
    inspect = Inspection(Source(str(tmp_path)))
    alike = [found("1pa"), found("2pb")]  # other bytes, one digest
    copies = duplicates.find_copies([image("a.jpg"), image("b.jpg")], alike, inspect)
    assert [len(pairs) for pairs in copies.values()] == [0, 0]


def test_copies_under_both_labels_or_in_valid_are_conflicts():
    images = [
        image("r.jpg"), image("f.jpg", label=1), image("t.jpg"), image("v.jpg", "valid"),
        image("t2.jpg"), image("x.jpg"), image("y.jpg"),
    ]  # fmt: skip
    copies = {"bytes": np.array([(0, 1), (2, 3), (2, 4), (5, 6)])}
    problems = {p.filename: p.text for p in duplicates.conflicts(images, copies)}
    assert problems == {
        "r.jpg": "the same picture is labelled real and fake (f.jpg); remove one",
        "f.jpg": "the same picture is labelled real and fake (r.jpg); remove one",
        "t.jpg": "the same picture as v.jpg, which no training may see; remove it",
        "t2.jpg": "the same picture as v.jpg, which no training may see; remove it",
    }


def test_groups_join_over_several_reasons():
    images = [
        image("0", group="ann"), image("1"), image("2", group="ann"), image("3", "valid", 1),
        image("4", group="bob"), image("5"),
    ]  # fmt: skip
    hashes = np.zeros((6, 32), np.uint8)
    hashes[[0, 1, 4, 5]] = np.random.default_rng(0).integers(0, 256, (4, 32), np.uint8)
    hashes[2] = hashes[3] = 255 - hashes[5] // 2
    inspected = [InspectedImage(bytes(32), bytes(16), (8, 8), row.tobytes()) for row in hashes]
    copies = {"bytes": np.array([(0, 1)])}
    groups = duplicates.group_images(images, inspected, copies, near_limit=10)
    assert list(groups.of_image) == [0, 0, 0, 0, 4, 5]
    assert groups.rows == [
        (0, "0", "train", "real", "bytes+group"),
        (0, "1", "train", "real", "bytes"),
        (0, "2", "train", "real", "group+near"),
        (0, "3", "valid", "fake", "near"),
    ]
    assert groups.notes == [
        "1 pair of near-duplicates across train and valid, kept (first: 2 and 3)",
        "1 pair of near-duplicates across real and fake, kept (first: 2 and 3)",
    ]


@pytest.mark.parametrize("limit", [0, 10])
def test_no_edges_no_groups(limit):
    inspected = [found("abc"), found("def")]
    copies = {"bytes": np.empty((0, 2), np.int64)}
    groups = duplicates.group_images([image("0"), image("1")], inspected, copies, limit)
    assert list(groups.of_image) == [0, 1]
    assert groups.rows == groups.notes == []


def test_many_copies_under_both_labels_are_short_lines():
    images = [image(f"{i}.jpg", label=i % 2) for i in range(1000)]
    copies = {"bytes": np.array([(0, i) for i in range(1, 1000)])}
    problems = duplicates.conflicts(images, copies)
    assert len(problems) == 1000
    assert problems[0].text == (
        "the same picture is labelled real and fake (1.jpg and 998 more); remove one"
    )


def test_a_group_across_sides_is_counted_once():
    images = [image(str(i), "valid" if i > 2 else "train", group="ann") for i in range(6)]
    groups = duplicates.group_images(images, [], {"bytes": np.empty((0, 2), np.int64)}, 0)
    assert groups.notes == [
        "1 group of the group column across train and valid, kept (first: 0 and 3)"
    ]

import numpy as np
import pytest
from test_inspection import encoded, picture

from tfds_rvf10k import duplicates
from tfds_rvf10k.inspection import Inspected, Inspection
from tfds_rvf10k.listing import SourceImage
from tfds_rvf10k.sources import Source


def image(name, split="train", label=0, group=""):
    return SourceImage(name, split, label, group)


def found(name):
    """An inspected file whose bytes, picture and hash are told by three letters."""
    sha, pic, near = name.encode()
    return Inspected(bytes([sha]) * 32, bytes([pic]) * 16, (8, 8), bytes([near]) * 32)


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
    edges = duplicates.same_pictures(images, inspect(list(files)), inspect)
    assert edges == [duplicates.Edge(0, 1, "bytes"), duplicates.Edge(0, 2, "pixels")]


def test_one_digest_at_an_eighth_is_a_suspicion_only(tmp_path):
    for name, seed in (("a.jpg", 0), ("b.jpg", 1)):
        (tmp_path / name).write_bytes(encoded(picture(seed)))
    inspect = Inspection(Source(str(tmp_path)))
    alike = [found("1pa"), found("2pb")]  # other bytes, one digest
    assert duplicates.same_pictures([image("a.jpg"), image("b.jpg")], alike, inspect) == []


def test_copies_under_both_labels_or_in_valid_are_conflicts():
    images = [
        image("r.jpg"), image("f.jpg", label=1), image("t.jpg"), image("v.jpg", "valid"),
        image("t2.jpg"), image("x.jpg"), image("y.jpg"),
    ]  # fmt: skip
    edges = [duplicates.Edge(*pair, "bytes") for pair in ((0, 1), (2, 3), (2, 4), (5, 6))]
    problems = {p.filename: p.what for p in duplicates.conflicts(images, edges)}
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
    inspected = [Inspected(bytes(32), bytes(16), (8, 8), row.tobytes()) for row in hashes]
    edges = [duplicates.Edge(0, 1, "bytes")]
    groups = duplicates.group(images, inspected, edges, near_limit=10)
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
    groups = duplicates.group([image("0"), image("1")], inspected, [], limit)
    assert list(groups.of_image) == [0, 1]
    assert groups.rows == groups.notes == []

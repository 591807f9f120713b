import pytest
import tensorflow as tf
from small_dataset import faults, records, shard, write

from tfds_rvf10k.verification import shard_contents


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("position", "record"), [(3, 1), (9, 1), (200, 1), (-2, 5)])
def test_a_flipped_bit_is_placed(small, position, record):
    path = shard(small, 1)
    assert len(records(path)) in (4, 5)
    record = min(record, len(records(path)))
    flip(path, position)
    (line,) = faults(small)
    assert line.startswith(f"{path}: damaged: the checksum of record {record} of ")
    assert line.endswith("; build the dataset again with --overwrite")


def test_cuts_at_a_boundary_and_inside_a_record_are_told_apart(small):
    boundary, inside, header, empty = (shard(small, index) for index in range(4))
    count = len(records(boundary))
    write(boundary, records(boundary)[:-1])
    inside.write_bytes(inside.read_bytes()[:-9])
    first = len(records(header)[0]) + 16
    header.write_bytes(header.read_bytes()[: first + 5])  # TensorFlow reads one and says nothing
    empty.write_bytes(b"")
    lines = faults(small)
    assert len(lines) == 4
    assert (
        f"{boundary}: truncated at a record boundary, after {count - 1} of {count} records"
        in lines[0]
    )
    assert f"{inside}: truncated inside record " in lines[1]
    assert f"{header}: truncated inside record 2 of " in lines[2]
    assert f"{empty}: truncated at a record boundary, after 0 of " in lines[3]


def test_records_that_are_none_are_told_by_number(small):
    path = shard(small, 3)
    contents = records(path)
    example = tf.train.Example.FromString(contents[1])
    example.features.feature["image"].bytes_list.value[0] = b"\xff\xd8 no JPEG"
    contents[1] = example.SerializeToString(deterministic=True)
    write(path, [*contents, b"no example at all"])
    lines = "\n".join(faults(small))
    assert f"{path}: {len(contents) + 1} records, the manifest says {len(contents)}" in lines
    assert f"{path}: record 2 (train/" in lines
    assert ": its image cannot be decoded" in lines
    assert f"record {len(contents) + 1}: no example with image, label, fold and filename" in lines


def test_what_the_manifest_says_and_the_file_is_not():
    record = shard_contents.Record("a")
    found = shard_contents.ShardContents(100, "aa", (record, record))
    entry = {"file": "x", "examples": 2, "bytes": 100, "sha256": "aa"}
    assert shard_contents.difference(entry, found, {"aa": "x"}) == ""
    for changes, words in (
        ({"bytes": 101}, "100 bytes, the manifest says 101"),
        ({"examples": 3}, "truncated at a record boundary, after 2 of 3 records"),
        ({"examples": 1}, "2 records, the manifest says 1"),
        ({"sha256": "bb"}, "its 2 records are sound, but not those of the manifest"),
    ):
        assert shard_contents.difference({**entry, **changes}, found, {}).startswith(words)
    assert shard_contents.difference({**entry, "sha256": "bb"}, found, {"aa": "y"}).endswith("of y")


def test_a_folder_in_the_place_of_a_shard_is_a_fault(small):
    path = shard(small, 0)
    path.unlink()
    path.mkdir()
    assert faults(small)[0].startswith(f"{path}: cannot be read (Is a directory);")


def test_a_length_is_believed_only_with_its_checksum(small):
    """A flipped bit in a length makes it longer than the file, and the file is not truncated."""
    path = shard(small, 2)
    data = bytearray(path.read_bytes())
    data[4] ^= 1  # 4 GiB more
    path.write_bytes(data)
    found = shard_contents.ShardReader(str(small))(path.name)
    assert (found.is_damaged, found.is_truncated) == (True, False)
    assert found.records == ()


def test_every_cut_of_a_shard_is_told_from_damage(small):
    path = shard(small, 0)
    data = path.read_bytes()
    first = len(records(path)[0]) + 16
    for end in (first + 1, first + 11, first + 12, first + 200, len(data) - 1):
        path.write_bytes(data[:end])
        found = shard_contents.ShardReader(str(small))(path.name)
        assert (found.is_damaged, found.is_truncated) == (False, True), end
    path.write_bytes(data[:first])
    found = shard_contents.ShardReader(str(small))(path.name)
    assert (found.is_damaged, found.is_truncated, len(found.records)) == (False, False, 1)

import tensorflow as tf
from images import encoded, picture
from small_dataset import edit, faults, make_consistent, move, records, shard, write


def test_an_edited_manifest_contradicts_itself(small):
    def change(content):
        content["metadata"]["k"] = 2
        content["splits"]["train"][0]["fold"] = 1

    edit(small / "manifest.json", change)
    lines = faults(small)
    assert "metadata.json: k is 3, the manifest says 2" in lines[0]
    assert "manifest.json: k is 3 in its config and 2 in its metadata: edited" in lines[1]
    assert "manifest.json: 6 shards of train, not 2 folds of 2" in lines[2]
    assert "00000-of-00006 is of fold 1, but its number belongs to fold 0" in lines[3]


def test_a_record_in_another_folds_shard_is_found_under_a_consistent_manifest(small):
    target = shard(small, 4)
    name = move(small, (0, 0), 4)
    last = len(records(target))
    (line,) = [line for line in faults(small) if "its fold is" in line]
    what = "its fold is 0, its shard belongs to fold 2;"
    assert line.startswith(f"{target}: record {last} ({name}): {what}")


def test_one_filename_twice_and_wrong_sizes_are_found(small):
    path = shard(small, 0)
    example = tf.train.Example.FromString(records(path)[0])
    name = example.features.feature["filename"].bytes_list.value[0].decode()
    example.features.feature["image"].bytes_list.value[0] = encoded(picture(99))
    write(path, [*records(path), example.SerializeToString(deterministic=True)])
    make_consistent(small)
    for file in ("manifest.json", "metadata.json"):
        edit(small / file, lambda c: c.get("metadata", c).update(valid_size=[1, 3]))
    lines = faults(small)
    assert len(lines) == 2
    assert "[real, fake] of valid are [[2, 2]], the metadata says [[1, 3]]" in lines[0]
    assert f"{name}: of record 1 of {path} and of record {len(records(path))} of {path}" in lines[1]

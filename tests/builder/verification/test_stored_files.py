import shutil

from small_dataset import edit, faults, shard


def test_missing_extra_and_unknown_files(small):
    shard(small, 2).unlink()
    shutil.copy(shard(small, 0), small / "rvf10k-train.tfrecord-00006-of-00007")
    (small / "notes.txt").write_text("mine")
    (small / ".hidden").write_text("a system's")
    (small / "dftk_pixels").mkdir()
    (small / "dftk_features").mkdir()
    lines = faults(small)
    assert [line.removeprefix(f"{small}/") for line in lines] == [
        "notes.txt: an unknown file, which is not in the manifest; remove it",
        "rvf10k-train.tfrecord-00006-of-00007: an extra shard, which is not in the manifest; "
        "remove it",
        "rvf10k-train.tfrecord-00002-of-00006: missing; build the dataset again with --overwrite",
    ]


def test_a_stale_layout_is_told_key_by_key(small):
    edit(small / "metadata.json", lambda c: c.update(k=2, shards_per_fold=3, fold_sizes=[[1, 2]]))
    lines = faults(small)
    assert len(lines) == 3
    assert f"{small}/metadata.json: k is 2, the manifest says 3: stale or edited; " in lines[1]
    assert "shards_per_fold is 3, the manifest says 2" in lines[2]


def test_what_tfds_reads_is_compared(small):
    def change(content):
        content["splits"][0]["shardLengths"][1] = "3"
        content["splits"][1]["filepathTemplate"] = "{SPLIT}.tfrecord-{SHARD_X_OF_Y}"
        content["version"] = "2.0.0"

    edit(small / "dataset_info.json", change)
    (small / "features.json").unlink()
    (small / "label.labels.txt").write_text("fake\nreal\n")
    lines = "\n".join(faults(small))
    assert "dataset_info.json: of rvf10k/small/2.0.0, the manifest is of rvf10k/small/1.0" in lines
    assert "dataset_info.json: 3 records in rvf10k-train.tfrecord-00001-of-00006, the man" in lines
    assert "dataset_info.json: valid reads valid.tfrecord-00000-of-00002, the manifest has" in lines
    assert "features.json: missing" in lines
    assert 'label.labels.txt: ["fake", "real"], labels 0 and 1 are ["real", "fake"]' in lines


def test_damaged_side_files_are_one_line_each(small):
    edit(small / "dataset_info.json", lambda content: content["splits"].pop())
    (small / "metadata.json").write_text("{")
    (small / "features.json").write_text("[]")
    with (small / "groups.csv").open("a") as file:
        file.write("9,train/real/02.jpg,train,real,group\n")
    (small / "quarantine.csv").unlink()
    lines = [line.removeprefix(f"{small}/").split(";")[0] for line in faults(small)]
    assert lines[:2] == [
        "groups.csv: its SHA-256 is not the manifest's: edited, or of another build",
        "quarantine.csv: missing",
    ]
    assert lines[2] == "dataset_info.json: splits ['train'], the manifest has ['train', 'valid']"
    assert lines[3].startswith("metadata.json: damaged (")
    assert lines[4:] == ["features.json: damaged, no JSON object"]

import json
import re

import pytest
from etils import epath

from tfds_rvf10k.shards import shard_manifest

SHARD = {"file": "a", "fold": 0, "examples": 1, "bytes": 1, "sha256": ""}
METADATA = {"k": 5, "shards_per_fold": 4, "notes": ["é"]}


def test_what_is_written_is_read(tmp_path):
    folder = epath.Path(tmp_path)
    rows = [(0, "a\nb, é.jpg", "train")]
    shard_manifest.write_table(folder / shard_manifest.GROUPS, ("group", "filename", "split"), rows)
    shard_manifest.write(folder, "x/y/1.0.0", {"k": 5}, {"train": []}, METADATA)
    content = shard_manifest.read(folder)
    assert content["name"] == "x/y/1.0.0"
    assert content["config"] == {"k": 5}
    assert set(content["tables"]) == {shard_manifest.GROUPS}
    assert shard_manifest.read_table(folder / shard_manifest.GROUPS) == [
        {"group": "0", "filename": "a\nb, é.jpg", "split": "train"}
    ]
    assert shard_manifest.read_table(folder / shard_manifest.LEFT_OUT) == []


@pytest.mark.parametrize(
    ("text", "message"), [(None, "missing"), ("{", "damaged"), ('{"format": 0}', "format 0, not 1")]
)
def test_no_manifest_says_what_to_do(text, message, tmp_path):
    if text is not None:
        (tmp_path / shard_manifest.NAME).write_text(text)
    with pytest.raises(ValueError, match=f"manifest.json: {message}.*build"):
        shard_manifest.read(epath.Path(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": []}, "splits is no dict"),
        ({"splits": {"valid": []}}, "no shards of train"),
        ({"metadata": {"k": 0, "shards_per_fold": 1}}, "k is 0"),
        ({"metadata": {"k": 2}}, "shards_per_fold is None"),
        ({"config": {"near_duplicates": "many"}}, "near_duplicates is 'many'"),
        ({"splits": {"train": [{"file": "a"}]}}, "a shard without fold"),
        ({"splits": {"train": [{**SHARD, "file": "../a"}]}}, "a shard elsewhere: '../a'"),
    ],
)
def test_a_manifest_that_nothing_can_be_done_with_is_damaged(change, message, tmp_path):
    folder = epath.Path(tmp_path)
    metadata = {"k": 2, "shards_per_fold": 1}
    shard_manifest.write(folder, "x/y/1.0.0", {}, {"train": []}, metadata)
    assert shard_manifest.read(folder)["metadata"] == metadata
    content = json.loads((tmp_path / shard_manifest.NAME).read_text())
    (tmp_path / shard_manifest.NAME).write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=f"damaged .{re.escape(message)}.*build the dataset again"):
        shard_manifest.read(folder)

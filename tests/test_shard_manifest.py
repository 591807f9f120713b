import pytest
from etils import epath

from tfds_rvf10k import shard_manifest


def test_what_is_written_is_read(tmp_path):
    folder = epath.Path(tmp_path)
    rows = [(0, "a\nb, é.jpg", "train")]
    shard_manifest.write_table(folder / shard_manifest.GROUPS, ("group", "filename", "split"), rows)
    shard_manifest.write(folder, "x/y/1.0.0", {"k": 5}, {"train": []}, {"notes": ["é"]})
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

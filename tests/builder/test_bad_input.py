"""Every row of the table in tfds_rvf10k/README.md, in one tree, by the builder itself."""

import os
import re
import zlib
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from images import BAD, encoded, picture, turned
from repository import ROOT

import tfds_rvf10k
from tfds_rvf10k.errors import BadSource
from tfds_rvf10k.shards import shard_manifest

SOUND = encoded(picture(99))


def write(root, name, data=None):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(zlib.crc32(name.encode()))) if data is None else data)


def pipe(root, name):
    os.mkfifo(root / name)


def loop(root, name):
    (root / name).symlink_to(root / "train")


def labels(root, name):
    write(root, name, SOUND)
    write(root, name.replace("real", "fake"), SOUND)


def copied(root, name):
    write(root, name, (root / "valid/real/0.jpg").read_bytes())


def row(root, name):
    """The row is written with the tables, and there is no file."""


# case: how it is made, the file that is named, the text of the problem; None if there is none
CASES = {
    "truncated or damaged file": ("cut.jpg", "train/real/cut.jpg", "truncated or damaged"),
    "empty file": ("empty.jpg", "train/real/empty.jpg", "an empty file"),
    "no image inside": ("text.jpg", "train/real/text.jpg", "neither a JPEG nor a PNG"),
    "another size than most": (encoded(picture(1, (64, 48))), "train/fake/size.jpg", "64x48"),
    "grayscale": ("grey.jpg", "train/fake/grey.jpg", "grayscale, not RGB"),
    "CMYK": ("cmyk.jpg", "train/fake/cmyk.jpg", "CMYK, not RGB"),
    "turned by EXIF orientation": (
        encoded(picture(2), **turned(8)), "train/real/turned.jpg", "EXIF orientation (8)",
    ),
    "PNG named .jpg": ("png.jpg", "train/fake/png.jpg", "a PNG by its contents; name it .png"),
    "GIF named .jpg": ("gif.jpg", "train/fake/gif.jpg", "a GIF by its contents"),
    "decompression bomb (by its header; nothing is decoded)": (
        "bomb.png", "train/fake/bomb.png", "400,000,000 pixels by its header",
    ),
    "unreadable file": (pipe, "train/real/pipe.jpg", "not a regular file"),
    "link back to a folder around it": (loop, "train/real/loop", "a link back"),
    "file that by name is no image": (b"words", "train/real/notes.txt", "its name ends in none"),
    "image outside the class folders": (None, "train/loose.jpg", "in no class folder"),
    "folder that is no class": (None, "train/fakes/1.jpg", "neither real nor fake"),
    "empty class folder in `valid`": (row, "valid/fake", "an empty folder"),
    "row of train.csv without a file": (row, "train/real/gone.jpg", "train.csv names it, but"),
    "row of valid.csv without a file": (row, "valid/real/gone.jpg", None),
    "file without a row": (None, "train/real/rowless.jpg", "train.csv does not name it"),
    "row that contradicts the folder": (None, "train/real/liar.jpg", "train.csv calls it 'fake'"),
    "one picture under both labels": (labels, "train/real/both.jpg", "labelled real and fake"),
    "copy in `train` of an image of `valid`": (copied, "train/real/copy.jpg", "as valid/real"),
    "unicode or a line break in the name": (None, "train/real/zwei\nZeilen é 顔.jpg", None),
    "files of the system (Thumbs.db, .DS_Store, @eaDir, #recycle, other hidden files)": (
        b"x", "train/real/Thumbs.db", None,
    ),
}  # fmt: skip
NO_ROW = ("notes.txt", "rowless.jpg", "loose.jpg", "fakes", "Thumbs.db", "loop", "valid/fake")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("bad") / "rvf10k"
    rows = {"train": ["path,label_str"], "valid": ["path,label_str"]}
    for split, count in (("train", 10), ("valid", 4)):
        for name in ("real", "fake"):
            for index in range(count):
                write(root, f"{split}/{name}/{index}.jpg")
                rows[split].append(f"{split}/{name}/{index}.jpg,{name}")
    for path in (root / "valid" / "fake").iterdir():
        path.unlink()
    for make, name, _ in CASES.values():
        if callable(make):
            make(root, name)
        else:
            write(root, name, BAD[make][0] if isinstance(make, str) else make)
        if not any(part in name for part in NO_ROW):
            split, label, _ = name.split("/")
            stated = "fake" if "liar" in name else label
            rows[split].append(f'"{name}",{stated}')
    rows["train"].append("train/fake/both.jpg,fake")
    for split, lines in rows.items():
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root.parent


def build(tree, data_dir, **config):
    builder = tfds_rvf10k.Builder(
        data_dir=str(data_dir), config=tfds_rvf10k.FoldConfig(name="test", k=2, **config)
    )
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(tree)))
    return builder


def test_the_table_in_the_docs_has_these_cases():
    text = (ROOT / "tfds_rvf10k" / "README.md").read_text().split("## Bad input")[1]
    documented = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", text.split("\n## ")[0], re.M)[
        1:
    ]
    assert [case for case, _ in documented] == list(CASES)
    for case, strict in documented:
        assert ("named" in strict) == (CASES[case][2] is not None), case


def test_strict_names_them_all_in_one_run_and_builds_nothing(tree, tmp_path):
    with pytest.raises(BadSource) as error:
        build(tree, tmp_path)
    lines = {line.strip().partition(": ")[0]: line for line in str(error.value).splitlines()[1:-1]}
    expected = {name: words for _, name, words in CASES.values() if words}
    expected["train/fakes"] = expected.pop("train/fakes/1.jpg")
    for name, words in expected.items():
        assert words in lines.pop(name), name
    assert set(lines) == {"train/fake/both.jpg"}  # the other copy
    assert [path.name for path in tmp_path.glob("rvf10k/test/*")] == []


def test_quarantine_builds_the_rest_and_lists_what_it_set_aside(tree, tmp_path):
    builder = build(tree, tmp_path, on_bad="quarantine")
    decoders = {"image": tfds.decode.SkipDecoding()}
    built = {
        row["filename"].decode()
        for row in builder.as_dataset("train+valid", decoders=decoders).as_numpy_iterator()
    }
    sound = {f"train/{name}/{index}.jpg" for name in ("real", "fake") for index in range(10)}
    sound |= {f"valid/real/{index}.jpg" for index in range(4)}
    assert built == sound | {"train/real/zwei\nZeilen é 顔.jpg"}
    folder = builder.data_path
    listed = {
        r["filename"]: r["problem"] for r in shard_manifest.read_table(folder / "quarantine.csv")
    }
    assert listed["train/real/cut.jpg"].startswith("truncated or damaged")
    metadata = tfds.builder_from_directory(folder).info.metadata
    assert dict(metadata["quarantined"]) == listed
    assert metadata["missing"] == {"train": 1, "valid": 5}  # valid/fake's four, and one
    assert len(listed) == len([1 for _, _, words in CASES.values() if words]) + 1


def test_nothing_of_the_source_is_touched(tree):
    assert (Path(tree) / "rvf10k/train/real/empty.jpg").exists()

"""A small dataset by the real builder, and ways to damage a copy of it."""

import collections
import json
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from images import encoded, picture

import tfds_rvf10k
from tfds_rvf10k.executors import Threads
from tfds_rvf10k.shards.shard_writer import size_and_sha256
from tfds_rvf10k.verification.verification import verify


def draw(root):
    """Two copies by bytes and two by pixels among 24 of train, and 4 of valid."""
    for index in range(28):
        label, split = ("real", "fake")[index % 2], "valid" if index >= 24 else "train"
        folder = root / split / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:02d}.jpg").write_bytes(encoded(picture(index)))
    (root / "train/real/bytes.jpg").write_bytes((root / "train/real/00.jpg").read_bytes())
    (root / "train/fake/pixels.jpg").write_bytes(encoded(picture(1), optimize=True))
    return root


def build(tree, data_dir, **config):
    chosen = tfds_rvf10k.FoldConfig(
        **{"name": "small", "k": 3, "seed": 7, "shards_per_fold": 2, **config}
    )
    builder = tfds_rvf10k.Builder(data_dir=str(data_dir), config=chosen)
    manual = tfds.download.DownloadConfig(manual_dir=str(tree))
    builder.download_and_prepare(download_config=manual)
    return Path(builder.data_path)


def faults(folder):
    """Lines about what is wrong with it."""
    return verify(folder, Threads(2)).faults


def shard(folder, index, split="train"):
    return sorted(folder.glob(f"rvf10k-{split}.tfrecord-*"))[index]


def records(path):
    return list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in contents:
            writer.write(record)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def make_consistent(folder):
    """Manifest, metadata and dataset_info as a builder would write them that had no checks."""
    counts = collections.Counter()

    def manifest(content):
        for split, entries in content["splits"].items():
            for entry in entries:
                path = folder / entry["file"]
                entry["bytes"], entry["sha256"] = size_and_sha256(str(path))
                entry["examples"] = len(records(path))
                for record in records(path):
                    label = tf.train.Example.FromString(record).features.feature["label"]
                    counts[entry["fold"], label.int64_list.value[0]] += 1
            lengths[split] = [str(entry["examples"]) for entry in entries]
        content["metadata"].update(sizes())
        groups = folder / "groups.csv"
        content["tables"]["groups.csv"] = size_and_sha256(str(groups))[1]

    def sizes():
        of = [[counts[fold, label] for label in (0, 1)] for fold in (0, 1, 2, -1)]
        return {"fold_sizes": of[:3], "valid_size": of[3]}

    def info(content):
        for split in content["splits"]:
            split["shardLengths"] = lengths[split["name"]]

    lengths = {}
    edit(folder / "manifest.json", manifest)
    edit(folder / "metadata.json", lambda content: content.update(sizes()))
    edit(folder / "dataset_info.json", info)


def move(folder, source, target, fold=None):
    """Moves a record (shard, number) to the end of another shard, and says so nowhere else."""
    index, number = source
    contents = records(shard(folder, index))
    example = tf.train.Example.FromString(contents.pop(number))
    write(shard(folder, index), contents)
    if fold is not None:
        example.features.feature["fold"].int64_list.value[0] = fold
    path = shard(folder, target)
    write(path, [*records(path), example.SerializeToString(deterministic=True)])
    make_consistent(folder)
    return example.features.feature["filename"].bytes_list.value[0].decode()


def at(folder, name):
    """The shard's number, and the record's, of a training image."""
    for index in range(6):
        for number, record in enumerate(records(shard(folder, index))):
            features = tf.train.Example.FromString(record).features.feature
            if features["filename"].bytes_list.value[0].decode() == name:
                return index, number
    raise KeyError(name)

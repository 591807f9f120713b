"""Builds repeated, replaced, killed, side by side or by Beam: the same bytes, and no orphan."""

import hashlib
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds
from images import encoded, picture
from repository import ROOT

import tfds_rvf10k
from tfds_rvf10k.errors import BadSource, DatasetError
from tfds_rvf10k.shards import version_folder

OVERWRITE = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
CHILD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf, tensorflow_datasets as tfds, tfds_rvf10k
tf.io.decode_jpeg(tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)))
from sklearn import model_selection
mode = tfds.download.GenerateMode(sys.argv[3])
config = tfds.download.DownloadConfig(manual_dir=sys.argv[1], download_mode=mode)
print("ready", flush=True)
sys.stdin.readline()
tfds_rvf10k.Builder(data_dir=sys.argv[2]).download_and_prepare(download_config=config)
print("done", flush=True)
"""


def draw(root, count):
    """A tree of `count` images a class, and 8 of valid."""
    for split, number in (("train", count), ("valid", 4)):
        for label, name in enumerate(("real", "fake")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                data = encoded(picture((label, split == "valid", index)))
                (folder / f"{index:05d}.jpg").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("tree"), 20)


def build(tree, data_dir, **options):
    builder = tfds_rvf10k.Builder(data_dir=str(data_dir))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(tree), **options)
    )
    return builder


def version(data_dir):
    return Path(data_dir) / "rvf10k" / "kfold5" / "1.0.0"


def digests(data_dir):
    """SHA-256 of every file of the version: shards, manifest, tables and TFDS's own."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in version(data_dir).iterdir()
    }


def around(data_dir):
    return sorted(path.name for path in version(data_dir).parent.glob("*"))


@pytest.fixture(scope="module")
def reference(tree, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("reference")
    build(tree, data_dir)
    return digests(data_dir)


def test_twenty_shards_by_beam_are_those_of_threads(tree, reference, tmp_path):
    built = build(tree, tmp_path, beam_runner="DirectRunner")
    assert digests(tmp_path) == reference
    assert sum(name.startswith("rvf10k-train") for name in reference) == 20
    assert len(list(built.as_dataset("train"))) == 40  # FACTS: lengths sorted as strings fail here
    assert around(tmp_path) == ["1.0.0"]


def test_options_ask_for_beam_as_the_command_line_does(tree, reference, tmp_path, capfd):
    from apache_beam.options.pipeline_options import PipelineOptions

    build(tree, tmp_path, beam_options=PipelineOptions(["--runner=DirectRunner"]))
    assert digests(tmp_path) == reference
    assert "48 images by Beam" in capfd.readouterr().err


def test_overwriting_replaces_when_the_new_one_is_whole(tree, reference, tmp_path):
    built = build(tree, tmp_path)
    (version(tmp_path) / "dftk_pixels").mkdir()  # made from the old one
    build(tree, tmp_path, download_mode=OVERWRITE)
    assert digests(tmp_path) == reference
    assert around(tmp_path) == ["1.0.0"]
    assert len(list(built.as_dataset("train"))) == 40


def test_a_failed_build_leaves_the_previous_version(tree, reference, tmp_path):
    build(tree, tmp_path)
    bad = draw(tmp_path / "bad", 20)
    (bad / "train/real/00003.jpg").write_bytes(b"")
    with pytest.raises(BadSource):
        build(bad, tmp_path, download_mode=OVERWRITE)
    assert digests(tmp_path) == reference
    assert around(tmp_path) == ["1.0.0"]


@pytest.mark.parametrize("before", [False, True])
def test_a_disk_that_takes_no_more_leaves_what_was_there(before, tree, reference, tmp_path):
    if before:
        build(tree, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # of a file; a shard has more
    try:
        with pytest.raises(
            OSError, match=r"cannot write the dataset .* 0.0 MB; make room, or give"
        ):
            build(tree, tmp_path, download_mode=OVERWRITE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert around(tmp_path) == (["1.0.0"] if before else [])
    assert not before or digests(tmp_path) == reference


def test_a_disk_without_room_is_told_before_anything_is_written(tree, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(OSError, match=r"needs [0-9.]+ MB, 0.0 MB are free; make room, or give"):
        build(tree, tmp_path)
    assert around(tmp_path) == []


@pytest.mark.parametrize("flag", ["--overwrite", "--overwrite=True", "--overw"])
def test_tfds_build_overwrite_does_not_delete_first(flag, tree, reference, tmp_path):
    """TFDS's command line deletes what is_prepared says is there, before it builds."""
    from tensorflow_datasets.scripts.cli import main

    build(tree, tmp_path)
    bad = draw(tmp_path / "bad", 20)
    (bad / "train/real/00003.jpg").write_bytes(b"")

    def tfds_build(source, *flags):
        command = [
            "tfds", "build", str(ROOT / "tfds_rvf10k"), f"--manual_dir={source}",
            f"--data_dir={tmp_path}", *flags,
        ]  # fmt: skip
        main.main(main._parse_flags(command))

    with pytest.raises(BadSource):
        tfds_build(bad, flag)
    assert digests(tmp_path) == reference
    with pytest.raises(RuntimeError, match="already exists"):
        tfds_build(tree, flag, "--fail_if_exists")
    (version(tmp_path) / "old").write_text("")
    tfds_build(tree, flag)
    assert digests(tmp_path) == reference


def test_tfds_build_gives_one_valid_remedy_for_small_folds(tmp_path):
    """The example in the message is pasted; it builds."""
    from tensorflow_datasets.scripts.cli import main

    small = draw(tmp_path / "small", 7)
    command = ["tfds", "build", str(ROOT / "tfds_rvf10k"), f"--manual_dir={small}"]
    command.append(f"--data_dir={tmp_path}")
    with pytest.raises(DatasetError, match="a fold of 2 images does not fill 4 shards") as error:
        main.main(main._parse_flags(command))
    (option,) = shlex.split(error.value.example)
    main.main(main._parse_flags([*command, option]))
    built = tfds.builder("rvf10k/kfold5-shards_per_fold2", data_dir=str(tmp_path))
    assert built.info.splits["train"].num_shards == 10


def test_a_name_that_another_config_has_is_refused(tree, tmp_path, capfd):
    config = {"name": "mine", "k": 2}
    for wanted in (config, config):
        tfds_rvf10k.Builder(
            data_dir=str(tmp_path), config=tfds_rvf10k.FoldConfig(**wanted)
        ).download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(tree)))
    assert "there already; --overwrite builds it again" in capfd.readouterr().err
    other = tfds_rvf10k.FoldConfig(name="mine", k=4, near_duplicates=40)
    builder = tfds_rvf10k.Builder(data_dir=str(tmp_path), config=other)
    with pytest.raises(
        ValueError, match=r"built with k=2, near_duplicates=0; give .* another name"
    ):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=str(tree))
        )


def test_what_is_there_is_taken_where_nothing_can_be_written(tree, tmp_path, monkeypatch):
    built = build(tree, tmp_path)

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(version_folder, "exclusive_build", refuse)
    assert build(tree, tmp_path).info.splits["train"].num_examples == 40
    assert len(list(built.as_dataset("valid"))) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_examples_per_split": 10}, "max_examples_per_split=10: folds need the complete"),
        ({"num_shards": 3}, "num_shards=3: a fold is a range of shards"),
        ({"max_shard_size": 10}, "max_shard_size=10: a fold is a range of shards"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options, message, tree, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(tree, tmp_path, **options)


def test_other_formats_are_refused(tree, tmp_path):
    """FACTS: parquet loses rows, array_record has no as_dataset."""
    options = {"download_config": tfds.download.DownloadConfig(manual_dir=str(tree))}
    with pytest.raises(ValueError, match="file_format=.*parquet.*: shards are tfrecord"):
        tfds_rvf10k.Builder(data_dir=str(tmp_path)).download_and_prepare(
            file_format="parquet", **options
        )
    with pytest.raises(ValueError, match="file_format=.*: shards are tfrecord"):
        tfds_rvf10k.Builder(  # as tfds build --file_format does
            data_dir=str(tmp_path), file_format="parquet"
        ).download_and_prepare(**options)


class Child:
    """A builder in a process of its own, everything imported, that waits for the word to begin."""

    def __init__(self, tree, data_dir, mode=OVERWRITE):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tree), str(data_dir), mode.value],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self._await("ready")

    def _await(self, word):
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(self.process.stderr.read())

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self):
        self._await("done")
        assert self.process.wait() == 0
        return self.process.stderr.read()

    def kill_after(self, seconds):
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
def test_two_builders_at_once_make_one_whole_dataset(tree, reference, tmp_path):
    both = [Child(tree, tmp_path) for _ in range(2)]
    for child in both:
        child.begin()
    said = [child.finish() for child in both]
    assert digests(tmp_path) == reference
    assert around(tmp_path) == ["1.0.0"]
    assert any("another process is building it; waiting" in text for text in said)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(1, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.long)],
)
def test_kill_9_at_any_moment_and_the_same_command_again(kills, tmp_path_factory):
    """Every other time with a version there, which must survive; at the end, the same bytes."""
    root, rng = tmp_path_factory.mktemp("kills"), random.Random(kills)
    tree = draw(root / "tree", 1000)
    child = Child(tree, root / "whole")
    child.begin()
    started = time.time()
    child.finish()
    whole, seconds = digests(root / "whole"), time.time() - started
    for index in range(kills):
        data_dir = root / str(index)
        if index % 2:
            child = Child(tree, data_dir)
            child.begin()
            child.finish()
        child = Child(tree, data_dir)
        child.begin()
        child.kill_after(rng.uniform(0.02, seconds))
        assert version(data_dir).exists() or index % 2 == 0 or "replaced_1.0.0" in around(data_dir)
        assert not version(data_dir).exists() or digests(data_dir) == whole
        child = Child(tree, data_dir)
        child.begin()
        child.finish()
        assert digests(data_dir) == whole
        assert around(data_dir) == ["1.0.0"]

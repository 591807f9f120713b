"""TFDS's own generator builder, with a check that decodes each file, to compare ours with."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds


class Stock(tfds.core.GeneratorBasedBuilder):
    """A dataset of a tree of train/{real,fake} and valid/{real,fake}, without folds."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, tree: Path, checked: bool, **options):
        self._tree, self._checked = tree, checked
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=["real", "fake"]),
            "filename": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager
        splits = [split for split in ("train", "valid") if (self._tree / split).is_dir()]
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        seen = set()
        for path in sorted((self._tree / split).glob("*/*.jpg")):
            name = path.relative_to(self._tree).as_posix()
            if self._checked:
                data = path.read_bytes()
                tf.io.decode_jpeg(data)  # raises an error for a file that it cannot decode
                seen.add(hashlib.sha256(data).digest())
            yield name, {"image": path, "label": path.parent.name, "filename": name}


def build(tree: Path, data_dir: Path, checked: bool = True) -> None:
    """Builds the dataset of a tree; `checked` decodes each file and hashes its bytes."""
    builder = Stock(tree, checked, data_dir=str(data_dir))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )

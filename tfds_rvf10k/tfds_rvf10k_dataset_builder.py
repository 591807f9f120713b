"""RVF10K, or any two-class set of images, as fold-sharded TFRecords.

Fold f is shards [f*S, (f+1)*S) of `train`.
"""

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from etils import epath
from tensorflow_datasets.core import dataset_builder

from tfds_rvf10k.executors import Beam, Executor, Threads
from tfds_rvf10k.fold_config import FoldConfig
from tfds_rvf10k.inspection.inspection import Inspection
from tfds_rvf10k.planning import excluding
from tfds_rvf10k.planning import plan as plan_lib
from tfds_rvf10k.shards import replacing, shard_manifest
from tfds_rvf10k.shards.shard_writer import ShardPlan, ShardWriter, Written
from tfds_rvf10k.sources.listing import find_source, list_images
from tfds_rvf10k.sources.source_images import CLASS_NAMES


class Builder(dataset_builder.FileReaderBuilder):
    """DatasetBuilder for RVF10K.

    Not a ShardBasedBuilder: TFDS's writes one shard after another, serialises the same example to
    other bytes each time, and mis-orders more than ten shards under Beam.
    """

    name = "rvf10k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Fold-sharded `train`, untouched `valid`."}
    BUILDER_CONFIGS = [
        FoldConfig(name="kfold5", description="5 stratified folds, seed 42, 4 shards a fold.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download https://www.kaggle.com/datasets/sachchitkunichetty/rvf10k (its button, or python "
        "-m tfds_rvf10k.kaggle --output=DIR) and pass as --manual_dir: the folder that holds "
        "rvf10k/, rvf10k/ itself, Kaggle's zip, or a folder with it."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "fold": tfds.features.Scalar(np.int64),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.kaggle.com/datasets/sachchitkunichetty/rvf10k",
            metadata=tfds.core.MetadataDict(),  # filled in as the folds are cut
        )

    def is_prepared(self) -> bool:
        """Whether the dataset is there.

        `tfds build --overwrite` asks so that it can delete what is there before it builds, and a
        build that fails would leave nothing: it hears no, and `download_and_prepare` replaces the
        dataset once the new one is whole. (TFDS 4.9 asks in one place, with these names.)
        """
        caller = sys._getframe(1)
        if caller.f_globals.get("__name__") == "tensorflow_datasets.scripts.cli.build":
            asked = caller.f_locals
            if asked.get("overwrite") and not asked.get("fail_if_exists"):
                return False
        return super().is_prepared()

    def download_and_prepare(self, **options: Any) -> None:
        """As TFDS's; one builder at a time, and what is there stays until the new one is whole.

        Raises:
          plan.BadSource: all that is wrong with the source, if the config is strict.
          ValueError, FileNotFoundError: an option that is not supported, no such source, or a
            dataset of this name from another config.
        """
        config = options.get("download_config") or tfds.download.DownloadConfig()
        _refuse_unsupported(config, options.get("file_format") or self.info.file_format)
        overwrite = config.download_mode.overwrite_dataset
        if self.data_path.exists() and not overwrite:  # it may lie where nothing can be written
            self._reuse()
            super().download_and_prepare(**options)
            return
        if "://" in os.fspath(self.data_dir):  # no locks there, and no renaming of folders
            super().download_and_prepare(**options)
            return
        version = Path(self.data_dir)
        with replacing.alone(version):
            if version.exists() and not overwrite:  # by the builder that was waited for
                self._reuse()
            if not (version.exists() and overwrite):
                super().download_and_prepare(**options)
            else:
                mode = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
                options["download_config"] = config.replace(download_mode=mode)
                new = replacing.fresh(version)
                with tfds.core.utils.temporary_assignment(self, "_data_dir", str(new)):
                    super().download_and_prepare(**options)
                replacing.replace(version, new)
                self.info.update_data_dir(self.data_dir)

    def _reuse(self) -> None:
        """Takes what is there, of whatever source; raises ValueError if its config is another."""
        try:
            built = shard_manifest.read(self.data_path)["config"]
        except ValueError:  # dftk.verify says what is wrong with it
            built = {}
        wanted = self.builder_config.choices()
        if others := [name for name in built if built[name] != wanted.get(name)]:
            fields = ", ".join(f"{name}={built[name]!r}" for name in others)
            raise ValueError(
                f"{self.data_path}: built with {fields}; give the config another name, or "
                "--overwrite"
            )
        print(f"{self.data_path}: there already; --overwrite builds it again", file=sys.stderr)
        self.info.read_from_directory(self.data_dir)

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig | None = None,
    ) -> None:
        config = self.builder_config
        # Not the manager's first: it takes a folder only, and a zip archive will do.
        given = (download_config and download_config.manual_dir) or dl_manager.manual_dir
        source = find_source(os.fspath(given), config.layout(), self.MANUAL_DOWNLOAD_INSTRUCTIONS)
        listing = list_images(source, config.layout())
        png = {image.filename.lower().endswith(".png") for image in listing.images}
        comparable = len(png) < 2 and not config.near_duplicates and not config.without
        inspect = Inspection(
            source, 8 if comparable else 1, bool(config.near_duplicates), config.max_pixels
        )
        excluded = None
        if config.without:
            excluded = excluding.read(config.without, self._data_dir_root, inspect)
        executor = self._executor(download_config)
        plan = plan_lib.make(
            listing,
            executor,
            inspect,
            config.cut(),
            quarantine=config.on_bad == "quarantine",
            any_size=config.any_size,
            near_limit=config.near_duplicates,
            excluded=excluded,
        )
        missing = {split: listing.missing.get(split, []) for split in ("train", "valid")}
        for split, names in missing.items():
            if names:
                plan.notes.append(
                    f"{split}.csv names {len(names)} files that are not there (first: {names[0]})"
                )
        for note in plan.notes:
            logging.warning("%s", note)
        self.info.metadata.update(self._metadata(plan, {s: len(n) for s, n in missing.items()}))
        self._write(plan, ShardWriter(source, 8 * config.max_pixels + 2**20), executor)

    def _executor(self, config: tfds.download.DownloadConfig | None) -> Executor:
        """Beam if it is asked for by a runner or by options, else threads."""
        if config and (config.beam_runner or config.beam_options):
            return Beam(config.beam_runner, config.beam_options, os.fspath(self.data_dir))
        return Threads()

    def _metadata(self, plan: plan_lib.Plan, missing: dict[str, int]) -> dict[str, Any]:
        config = self.builder_config
        return {
            "k": config.k,
            "seed": config.seed,
            "shards_per_fold": config.shards_per_fold,
            "stratified": config.stratified,
            "fold_sizes": plan.fold_sizes,
            "valid_size": plan.valid_size,
            "missing": missing,
            "set_aside": plan.set_aside,
            "quarantined": [[problem.filename, problem.what] for problem in plan.problems],
            "left_out": len(plan.left_out),
            "groups": len({row[0] for row in plan.groups.rows}),
            "notes": plan.notes,
        }

    def _write(self, plan: plan_lib.Plan, write: ShardWriter, executor: Executor) -> None:
        """Writes shards, tables and manifest; fills in the splits."""
        folder = epath.Path(self.data_dir)
        todo = []
        for split, shards in plan.shards.items():
            template = self._get_filename_template(split)
            for index, (fold, members) in enumerate(shards):
                path = template.sharded_filepath(shard_index=index, num_shards=len(shards))
                todo.append(ShardPlan(os.fspath(path), fold, tuple(members)))
        with replacing.room(self._data_dir_root, plan.bytes):
            written = list(executor.run(write, todo, "writing", lambda shard: len(shard.members)))
        results = iter(zip(todo, written))
        splits = {split: [next(results) for _ in shards] for split, shards in plan.shards.items()}
        self.info.set_splits(
            tfds.core.splits.SplitDict([self._split_info(s, done) for s, done in splits.items()])
        )
        problems = [(problem.filename, problem.what) for problem in plan.problems]
        shard_manifest.write_tables(folder, plan.groups.rows, problems, plan.left_out)
        shard_manifest.write(
            folder,
            self.info.full_name,
            self.builder_config.choices(),
            {split: list(_entries(done)) for split, done in splits.items()},
            self.info.metadata,
        )

    def _split_info(
        self, split: str, done: Sequence[tuple[ShardPlan, Written]]
    ) -> tfds.core.SplitInfo:
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=[result.examples for _, result in done],
            num_bytes=sum(result.bytes for _, result in done),
            filename_template=self._get_filename_template(split),
        )


def _entries(done: Sequence[tuple[ShardPlan, Written]]) -> Iterator[dict[str, Any]]:
    """Shards for the manifest."""
    for shard, result in done:
        name = epath.Path(shard.path).name
        yield {"file": name, "fold": shard.fold, **dataclasses.asdict(result)}


def _refuse_unsupported(config: tfds.download.DownloadConfig, file_format: Any) -> None:
    """Raises ValueError for options that TFDS has and this builder would ignore."""
    if config.max_examples_per_split is not None:
        raise ValueError(
            f"max_examples_per_split={config.max_examples_per_split}: folds are of the whole "
            "dataset; train on part of it with --max_examples"
        )
    defaults = tfds.download.DownloadConfig()
    for option in ("num_shards", "min_shard_size", "max_shard_size"):
        if (value := getattr(config, option)) != getattr(defaults, option):
            raise ValueError(
                f"{option}={value}: a fold is a range of shards; give the config "
                '"shards_per_fold" instead'
            )
    if str(getattr(file_format, "value", file_format)) != "tfrecord":
        raise ValueError(f"file_format={file_format}: shards are tfrecord; leave it out")

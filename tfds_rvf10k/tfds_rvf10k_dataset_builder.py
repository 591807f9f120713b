"""The builder of RVF10K, or of any two-class set of images, as TFRecords that are sharded by fold.

Fold f is the shards [f*S, (f+1)*S) of `train`.
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

from tfds_rvf10k import tfds_compat
from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.executors import Beam, Executor, Threads
from tfds_rvf10k.fold_config import FoldConfig
from tfds_rvf10k.inspection.inspection import Inspection
from tfds_rvf10k.planning import plan as plan_lib
from tfds_rvf10k.planning.exclusion import read_excluded
from tfds_rvf10k.shards import shard_manifest, version_folder
from tfds_rvf10k.shards.shard_writer import ShardPlan, ShardWriter, WrittenShard
from tfds_rvf10k.sources.listing import find_source, list_images
from tfds_rvf10k.sources.source_images import CLASS_NAMES


class Builder(tfds_compat.FileReaderBuilder):
    """DatasetBuilder for RVF10K.

    It is no ShardBasedBuilder. That of TFDS writes one shard after the other, serialises an example
    to other bytes each time, and confuses the order of more than ten shards under Beam.
    """

    name = "rvf10k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "`train` is sharded by fold, `valid` is left as it is."}
    BUILDER_CONFIGS = [
        FoldConfig(name="kfold5", description="5 stratified folds, seed 42, 4 shards per fold.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download https://www.kaggle.com/datasets/sachchitkunichetty/rvf10k (with a browser, or by "
        "python -m tfds_rvf10k.kaggle --output=DIR). Then give as --manual_dir the folder that "
        "holds rvf10k/, rvf10k/ itself, Kaggle's zip, or the folder of the zip."
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
            metadata=tfds.core.MetadataDict(),  # filled in when the folds are known
        )

    def is_prepared(self) -> bool:
        """Whether the dataset is built.

        `tfds build --overwrite` deletes a built dataset before it builds. If that build failed,
        nothing would be left. So it gets the answer that there is none, and `download_and_prepare`
        replaces the dataset when the new one is complete.
        """
        return not tfds_compat.is_overwriting_build() and super().is_prepared()

    def download_and_prepare(self, **options: Any) -> None:
        """Builds the dataset, with the options of TFDS.

        Builders of one version take turns. An existing version stays until the new one is complete.

        Raises:
          BadSource: the config is strict, and something is wrong with the source.
          DatasetError: an option is not supported, the source cannot be used, or there is a dataset
            of this name from another config.
          SourceNotFound, a FileNotFoundError: there is no such source.
        """
        config = options.get("download_config") or tfds.download.DownloadConfig()
        _refuse_unsupported(config, options.get("file_format") or self.info.file_format)
        overwrite = config.download_mode.overwrite_dataset
        if self.data_path.exists() and not overwrite:  # its folder may be read-only: no lock
            self._reuse()
            super().download_and_prepare(**options)
            return
        if "://" in os.fspath(self.data_dir):  # object storage cannot lock or rename folders
            super().download_and_prepare(**options)
            return
        version = Path(self.data_dir)
        with version_folder.exclusive_build(version):
            if version.exists() and not overwrite:  # another builder has just built it
                self._reuse()
            if not (version.exists() and overwrite):
                super().download_and_prepare(**options)
            else:
                mode = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
                options["download_config"] = config.replace(download_mode=mode)
                new = version_folder.staging_folder(version)
                with tfds_compat.writing_to(self, new):
                    super().download_and_prepare(**options)
                version_folder.replace(version, new)
                self.info.update_data_dir(self.data_dir)

    def _reuse(self) -> None:
        """Takes the existing dataset, whatever its source; refuses one of another config."""
        try:
            built = shard_manifest.read(self.data_path)["config"]
        except DatasetError:  # dftk.verify reports what is wrong with it
            built = {}
        wanted = self.builder_config.choices()
        if others := [name for name in built if built[name] != wanted.get(name)]:
            fields = ", ".join(f"{name}={built[name]!r}" for name in others)
            raise DatasetError(
                f"{self.data_path}: built with {fields}",
                "give the config another name, or --overwrite",
                option="overwrite",
            )
        # Only the commands that build rvf10k have --overwrite.
        again = "; --overwrite builds it again" if self.name == Builder.name else ""
        print(f"{self.data_path}: there already{again}", file=sys.stderr)
        self.info.read_from_directory(self.data_dir)

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig | None = None,
    ) -> None:
        config = self.builder_config
        # The manager takes a folder only; the option may be a zip archive.
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
            excluded = read_excluded(config.without, os.fspath(self.data_dir_root), inspect)
        executor = self._executor(download_config)
        try:
            plan = plan_lib.make(
                listing,
                executor,
                inspect,
                config.fold_options(),
                quarantine=config.on_bad == "quarantine",
                any_size=config.any_size,
                near_limit=config.near_duplicates,
                excluded=excluded,
            )
        except DatasetError as error:
            if error.settings:
                error.suggest(config.as_option(**error.settings))
            raise
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
        """Beam if a runner or options of Beam are given, else threads."""
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
            "set_aside": plan.quarantined,
            "quarantined": [[problem.filename, problem.text] for problem in plan.problems],
            "left_out": len(plan.left_out),
            "groups": len({row[0] for row in plan.groups.rows}),
            "notes": plan.notes,
        }

    def _write(self, plan: plan_lib.Plan, write: ShardWriter, executor: Executor) -> None:
        """Writes shards, tables and the manifest, and sets the splits."""
        folder = epath.Path(self.data_dir)
        shard_plans = []
        for split, shards in plan.shards.items():
            template = self._filename_template(split)
            for index, (fold, members) in enumerate(shards):
                path = template.sharded_filepath(shard_index=index, num_shards=len(shards))
                shard_plans.append(ShardPlan(os.fspath(path), fold, tuple(members)))
        with version_folder.enough_space(os.fspath(self.data_dir_root), plan.bytes):
            written = list(
                executor.run(write, shard_plans, "writing", lambda shard: len(shard.members))
            )
        results = iter(zip(shard_plans, written))
        splits = {split: [next(results) for _ in shards] for split, shards in plan.shards.items()}
        self.info.set_splits(
            tfds.core.splits.SplitDict([self._split_info(s, done) for s, done in splits.items()])
        )
        problems = [(problem.filename, problem.text) for problem in plan.problems]
        shard_manifest.write_tables(folder, plan.groups.rows, problems, plan.left_out)
        shard_manifest.write(
            folder,
            self.info.full_name,
            self.builder_config.choices(),
            {split: list(_entries(done)) for split, done in splits.items()},
            self.info.metadata,
        )

    def _split_info(
        self, split: str, done: Sequence[tuple[ShardPlan, WrittenShard]]
    ) -> tfds.core.SplitInfo:
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=[result.examples for _, result in done],
            num_bytes=sum(result.bytes for _, result in done),
            filename_template=self._filename_template(split),
        )

    def _filename_template(self, split: str) -> tfds.core.ShardedFileTemplate:
        return tfds.core.ShardedFileTemplate(
            data_dir=self.data_path,
            dataset_name=self.name,
            split=split,
            filetype_suffix=self.info.file_format.file_suffix,
        )


def _entries(done: Sequence[tuple[ShardPlan, WrittenShard]]) -> Iterator[dict[str, Any]]:
    """The manifest's entries of shards."""
    for shard, result in done:
        name = epath.Path(shard.path).name
        yield {"file": name, "fold": shard.fold, **dataclasses.asdict(result)}


def _refuse_unsupported(config: tfds.download.DownloadConfig, file_format: Any) -> None:
    """Raises DatasetError for options of TFDS that this builder would ignore."""
    if config.max_examples_per_split is not None:
        raise DatasetError(
            f"max_examples_per_split={config.max_examples_per_split}: folds need the "
            "complete dataset",
            "train on part of it with --max_examples of dftk.train",
        )
    defaults = tfds.download.DownloadConfig()
    for option in ("num_shards", "min_shard_size", "max_shard_size"):
        if (value := getattr(config, option)) != getattr(defaults, option):
            raise DatasetError(
                f"{option}={value}: a fold is a range of shards",
                'give the config "shards_per_fold" instead',
                option="shards_per_fold",
            )
    if str(getattr(file_format, "value", file_format)) != "tfrecord":
        raise DatasetError(f"file_format={file_format}: shards are tfrecord", "leave it out")

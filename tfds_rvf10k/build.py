"""Builds the dataset from image files.

    python -m tfds_rvf10k.build --manual_dir=DIR
    python -m tfds_rvf10k.build --manual_dir=DIR --config='{"name": "kfold10", "k": 10}'

It does what `tfds build tfds_rvf10k` does, and has the options of this builder only. An error is
one line without a traceback.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfds_rvf10k.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from tfds_rvf10k.fold_config import FoldConfig

_MANUAL_DIR = (
    "Folder of the images. It holds train/ and perhaps valid/ with the folders real/ and fake/, or "
    "real/ and fake/ alone, or a table that the config names. It may be up to three levels above "
    "them. A zip archive is read in place."
)
_DATA_DIR = (
    "Folder where TFDS keeps datasets. Default: the environment variable TFDS_DATA_DIR, or "
    "~/tensorflow_datasets."
)
_CONFIG = (
    "Fields of the dataset as JSON, with a name of its own. Example: "
    '\'{"name": "kfold10", "k": 10}\'. tfds_rvf10k/README.md lists the fields. Or the name of a '
    "predefined config. Default: kfold5, which has 5 folds."
)
_OVERWRITE = (
    "Build the dataset again if it exists. The new one replaces the old one when it is complete."
)
_BEAM = (
    "Run by Apache Beam with these options, separated by commas. Example: runner=DirectRunner. "
    "Default: threads of this process."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Builds a dataset and prints its folder.

    Args:
      argv: the options; those of the process if it is None.

    Returns:
      The exit status: 0; 1 if the dataset could not be built; 2 for a wrong option; 130 after an
      interrupt.
    """
    parser = _Parser(
        prog="python -m tfds_rvf10k.build",
        description="Builds the dataset rvf10k from image files, as TFRecords that are sharded by "
        "fold.",
    )
    parser.add_argument("--manual_dir", metavar="DIR", help=_MANUAL_DIR)
    parser.add_argument("--data_dir", metavar="DIR", help=_DATA_DIR)
    parser.add_argument("--config", default="kfold5", metavar="JSON", help=_CONFIG)
    parser.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    parser.add_argument("--beam_pipeline_options", metavar="OPTIONS", help=_BEAM)
    options = parser.parse_args(argv)  # which names a misspelt option first
    if not options.manual_dir:
        parser.error("--manual_dir is missing; give the folder of the images")
    try:
        config = _config(options.config)
    except ConfigError as error:
        print(f"--config: {error}", file=sys.stderr)
        return 2
    try:
        return _build(options, config)
    except KeyboardInterrupt:
        print("stopped; nothing was built", file=sys.stderr)
        return 130


def _config(text: str) -> "str | FoldConfig":
    """The name of a predefined config, or a config of its own from JSON.

    Raises:
      ConfigError: it is neither.
    """
    from tfds_rvf10k import Builder, FoldConfig

    names = [config.name for config in Builder.BUILDER_CONFIGS]
    if text in names:
        return text
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{text!r} is neither {' nor '.join(names)} nor JSON ({error})",
            """give it as in --config='{"name": "kfold10", "k": 10}'""",
        ) from error
    if not isinstance(fields, dict):
        raise ConfigError(
            f"{text!r} is no JSON object",
            """give it as in --config='{"name": "kfold10", "k": 10}'""",
        )
    if fields.get("name") in names:
        raise ConfigError(f"{fields['name']!r} is a predefined config", "take another name")
    return FoldConfig(**fields)


def _build(options: argparse.Namespace, config: "str | FoldConfig") -> int:
    # Fewer of TensorFlow's start-up notes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    from tfds_rvf10k import Builder

    logging.set_verbosity(logging.ERROR)  # the builder's warnings are printed as notes, below
    beam = options.beam_pipeline_options
    data_dir = options.data_dir or tfds.core.constants.DATA_DIR
    try:
        # TFDS prints on stdout, which is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            builder = Builder(data_dir=data_dir, config=config)
            if builder.data_path.exists() and not options.overwrite:
                print(
                    f"--manual_dir={options.manual_dir}: not read; to build its images, give "
                    "--overwrite, or --config with another name",
                    file=sys.stderr,
                )
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(
                    manual_dir=os.path.expanduser(options.manual_dir),
                    download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
                    if options.overwrite
                    else tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS,
                    beam_options=_beam_options(beam) if beam else None,
                    try_download_gcs=False,
                )
            )
    except DatasetError as error:
        return _failed(str(error))
    except ImportError as error:
        if not beam:
            raise
        return _failed(f"--beam_pipeline_options={beam}: {error}; install it, or leave them out")
    except (OSError, tf.errors.OpError) as error:
        return _failed(
            f"{data_dir}: cannot build there ({_one_line(error)}); give another --data_dir"
        )
    except (ValueError, RuntimeError) as error:
        if not beam:
            raise
        return _failed(f"--beam_pipeline_options={beam}: {_one_line(error)}; check the options")
    for note in (builder.info.metadata or {}).get("notes", ()):
        print(f"note: {note}", file=sys.stderr)
    print(builder.data_path)
    return 0


def _beam_options(options: str) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions

    return PipelineOptions([f"--{option}" for option in options.split(",")])


def _failed(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())

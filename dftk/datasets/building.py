"""Builds datasets on demand, with the same code as `tfds build tfds_rvf10k`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

import tfds_rvf10k
from dftk.utils.errors import UserError, first_line


class LocalBuilder(tfds_rvf10k.Builder, skip_registration=True):  # type: ignore[call-arg]
    """RVF10K's builder for other images.

    Attributes:
      DESCRIPTION: of the dataset; set by each subclass.
    """

    BUILDER_CONFIGS = []  # a config is made for each build
    DESCRIPTION = ""

    def _info(self) -> tfds.core.DatasetInfo:
        info = super()._info()
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=info.features,
            supervised_keys=info.supervised_keys,
            metadata=info.metadata,
        )


def unreadable(build: str | Path, error: Exception) -> UserError:
    """The error for a built dataset whose description, such as dataset_info.json, is damaged."""
    return UserError(
        f"{build}: its description cannot be read ({first_line(error)}); move that folder away, "
        "and build it again"
    )


@contextlib.contextmanager
def reading(build: str | Path) -> Iterator[None]:
    """Raises UserError if TFDS cannot read the description of a built dataset."""
    try:
        yield
    except (OSError, ValueError, KeyError, json_format.Error) as error:
        raise unreadable(build, error) from error


def make_builder(
    kind: type[LocalBuilder], data_dir: str | None, config: tfds_rvf10k.FoldConfig
) -> LocalBuilder:
    """A builder of a dataset that is built already or not; UserError if the built one is damaged.

    Args:
      kind: the class of the builder.
      data_dir: where TFDS keeps datasets; None is its default.
      config: the folds and their name.
    """
    where = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    with reading(where / kind.name / config.name):
        return kind(data_dir=data_dir, config=config)


def prepare(builder: tfds.core.DatasetBuilder, source: str | Path, what: str) -> None:
    """Builds a dataset. TFDS's progress goes to stderr, so that it does not mix with results.

    Args:
      builder: of the dataset; does nothing if the dataset is built already.
      source: what `tfds build` takes as --manual_dir.
      what: name of what is built, for the error.

    Raises:
      UserError: the dataset's directory cannot be written.
      ValueError, FileNotFoundError: the source is at fault; see tfds_rvf10k.Builder.
    """
    manual = tfds.download.DownloadConfig(manual_dir=str(source), try_download_gcs=False)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            builder.download_and_prepare(download_config=manual)
        except FileNotFoundError:
            raise
        except (OSError, tf.errors.OpError) as error:
            raise UserError(
                f"--data_dir={builder.data_path.parents[2]}: cannot build {what} there "
                f"({first_line(error)})"
            ) from error

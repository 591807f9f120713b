"""Builds datasets on demand, with the same code as `tfds build tfds_rvf10k`."""

import contextlib
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

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

"""Datasets that dftk builds by itself, through the same code as `tfds build tfds_rvf10k`."""

import contextlib
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_rvf10k
from dftk.utils.errors import UserError


class LocalBuilder(tfds_rvf10k.Builder, skip_registration=True):  # type: ignore[call-arg]
    """RVF10K's builder for other images; its description is the docstring of its module."""

    BUILDER_CONFIGS = []  # made where they are needed
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
    """Builds a dataset; its progress goes to stderr, where TFDS would mix it with results.

    Args:
      builder: of a dataset that may be there already.
      source: what `tfds build` takes as --manual_dir.
      what: is built, for the error.

    Raises:
      UserError: its directory cannot be written.
      ValueError, FileNotFoundError: of the source; see tfds_rvf10k.Builder.
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
                f"({str(error).splitlines()[0]})"
            ) from error

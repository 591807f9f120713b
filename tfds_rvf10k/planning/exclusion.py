"""What another built dataset's `valid` holds, so that a new training set can do without it."""

import os

import tensorflow_datasets as tfds
from etils import epath

from tfds_rvf10k.inspection.inspection import Inspected, Inspection, pictures
from tfds_rvf10k.planning.plan import Excluded

_CHUNK = 64  # images decoded by one call


def read(dataset: str, data_dir: str, inspect: Inspection) -> Excluded:
    """Reads `valid` of a dataset.

    Args:
      dataset: its version directory, or a name such as "rvf10k" or "rvf10k/kfold5".
      data_dir: where a dataset of that name lies.
      inspect: decodes at scale 1, as the images to compare with.

    Raises:
      ValueError: there is no such dataset, or it has no `valid`.
    """
    if (epath.Path(dataset) / "dataset_info.json").exists():
        builder = tfds.builder_from_directory(dataset)
    else:
        try:
            builder = tfds.builder(dataset, data_dir=os.fspath(data_dir))
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            raise ValueError(f"without={dataset!r}: no such dataset in {data_dir}") from error
    if "valid" not in (builder.info.splits or {}):
        raise ValueError(f"without={dataset!r}: not built in {data_dir}, or it has no `valid`")
    decoders = {"image": tfds.decode.SkipDecoding()}
    found: list[Inspected] = []
    for batch in tfds.as_numpy(builder.as_dataset("valid", decoders=decoders).batch(_CHUNK)):
        for filename, item in zip(batch["filename"], inspect.digests(list(batch["image"]))):
            if item is None:
                raise ValueError(
                    f"without={dataset!r}: {filename.decode()} in it cannot be decoded; see "
                    "python -m dftk.verify"
                )
            found.append(item)
    return Excluded(
        f"valid of {builder.info.full_name}",
        frozenset(item.sha256 for item in found),
        frozenset(item.picture for item in found),
        pictures(found) if inspect.perceptual else Excluded("").hashes,
    )

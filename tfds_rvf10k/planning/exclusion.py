"""The images in `valid` of another built dataset, which a new training set can leave out."""

import os

import tensorflow_datasets as tfds
from etils import epath
from google.protobuf import json_format

from tfds_rvf10k.errors import DatasetError
from tfds_rvf10k.inspection.inspection import InspectedImage, Inspection, perceptual_hashes
from tfds_rvf10k.planning.plan import ExcludedImages

_CHUNK = 64  # images decoded in one call


def read_excluded(dataset: str, data_dir: str, inspect: Inspection) -> ExcludedImages:
    """Reads `valid` of a built dataset.

    Args:
      dataset: its version directory, or a name such as "rvf10k" or "rvf10k/kfold5".
      data_dir: where a dataset of that name is built.
      inspect: decodes at scale 1, like the images to compare with.

    Raises:
      DatasetError: there is no such dataset, it has no `valid`, or an image of it is damaged.
    """
    given = f"without={dataset!r}"
    if (epath.Path(dataset) / "dataset_info.json").exists():
        try:
            builder = tfds.builder_from_directory(dataset)
        except (OSError, ValueError, KeyError, json_format.Error) as error:
            raise DatasetError(
                f"{given}: its description cannot be read ({error})",
                "build that dataset again, or give another",
                option="without",
            ) from error
    else:
        try:
            builder = tfds.builder(dataset, data_dir=os.fspath(data_dir))
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            raise DatasetError(
                f"{given}: no such dataset in {data_dir}",
                "give its version directory, or build it there first",
                option="without",
            ) from error
    if "valid" not in (builder.info.splits or {}):
        raise DatasetError(
            f"{given}: not built in {data_dir}, or it has no `valid`",
            "give the version directory of a dataset with `valid`",
            option="without",
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    found: list[InspectedImage] = []
    for batch in tfds.as_numpy(builder.as_dataset("valid", decoders=decoders).batch(_CHUNK)):
        for filename, item in zip(batch["filename"], inspect.digests(list(batch["image"]))):
            if item is None:
                raise DatasetError(
                    f"{given}: {filename.decode()} in it cannot be decoded",
                    f"check it with python -m dftk.verify --dataset={builder.data_path}",
                )
            found.append(item)
    return ExcludedImages(
        f"valid of {builder.info.full_name}",
        frozenset(item.sha256 for item in found),
        frozenset(item.pixel_digest for item in found),
        perceptual_hashes(found if inspect.perceptual else []),
    )

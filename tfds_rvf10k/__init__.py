"""The TFDS dataset `rvf10k`: importing this package registers it with `tfds.load`."""

from tfds_rvf10k.fold_config import FoldConfig
from tfds_rvf10k.tfds_rvf10k_dataset_builder import Builder

__all__ = ["Builder", "FoldConfig"]

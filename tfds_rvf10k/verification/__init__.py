"""A built dataset in, all that is wrong with it out."""

from tfds_rvf10k.verification.verification import verify

__all__ = ["verify"]

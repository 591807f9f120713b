"""Input: a built dataset. Output: everything that is wrong with it."""

from tfds_rvf10k.verification.verification import verify

__all__ = ["verify"]

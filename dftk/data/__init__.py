"""Bytes to batches of uint8."""

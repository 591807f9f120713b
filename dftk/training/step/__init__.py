"""Batches and a model in, updated weights out, many steps a call."""

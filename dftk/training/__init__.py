"""Batches and a model to weights."""

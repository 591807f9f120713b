"""Batches and a model in, trained weights out."""

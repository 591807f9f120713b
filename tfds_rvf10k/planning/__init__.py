"""Inspected images in, the plan of folds and shards out."""

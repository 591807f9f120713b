"""A dataset and a config in, the trained folds of a run out."""

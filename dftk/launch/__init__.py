"""Starts the training of folds: in this process, in others, on a Ray cluster, as array tasks."""

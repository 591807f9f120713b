"""Input: inspected images. Output: the plan of folds and shards."""

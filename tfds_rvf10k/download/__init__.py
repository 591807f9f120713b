"""Input: the name of a dataset at Kaggle. Output: its zip archive."""

"""Input: a plan. Output: TFRecord files and their manifest."""

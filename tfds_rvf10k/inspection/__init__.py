"""Input: image files. Output: the digests of each, and what is wrong with it."""

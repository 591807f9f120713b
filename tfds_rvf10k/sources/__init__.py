"""Input: a folder or a zip archive. Output: a list of labelled images."""

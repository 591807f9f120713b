"""A folder or a zip archive in, a list of labelled images out."""

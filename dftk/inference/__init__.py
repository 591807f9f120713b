"""Trained detectors -> probabilities of files, explanations, other formats, a page."""

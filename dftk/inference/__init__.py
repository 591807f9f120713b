"""Trained detectors -> probabilities of files, and what speaks for them."""

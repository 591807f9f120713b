"""Saved models and probabilities to numbers and pictures."""

"""Saved models and their predictions to scores, figures, checks, reports and comparisons."""

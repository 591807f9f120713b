"""Scores and images to PNG files."""

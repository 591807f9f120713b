"""Scored images in, what to doubt about the scores out."""

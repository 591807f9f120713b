"""A workdir in, its files, models and results out."""

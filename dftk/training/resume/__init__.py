"""Signals and states in, a run that goes on where it stopped out."""

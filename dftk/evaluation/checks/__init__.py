"""Checks of how far a run's scores can be trusted: slices, shortcuts, robustness, test sets."""

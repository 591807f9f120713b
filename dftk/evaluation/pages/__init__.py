"""A run's results in, report.html out."""

"""A run's results to report.html. The templates are in templates/."""

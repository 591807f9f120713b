"""Datasets by name: finds or builds them, and tells which files hold which fold."""

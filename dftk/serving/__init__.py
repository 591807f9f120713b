"""A trained detector -> a page and an HTTP interface."""

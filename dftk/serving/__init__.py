"""Serves a trained detector as a web page and an HTTP interface."""

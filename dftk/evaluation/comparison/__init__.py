"""Several runs to one comparison: JSON, HTML page, terminal."""

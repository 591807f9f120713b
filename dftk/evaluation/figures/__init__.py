"""Numbers and images in, PNG files out."""

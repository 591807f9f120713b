"""Image files and stored images in, pixels out."""

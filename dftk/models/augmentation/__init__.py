"""A batch of images and its random numbers in, changed images out."""

"""A name in, a Keras network without its top out."""

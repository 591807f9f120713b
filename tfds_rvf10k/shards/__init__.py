"""A plan in, TFRecord files and their manifest out."""

"""The input engine: record files in, keyed batches of uint8 images out."""

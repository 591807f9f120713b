"""Names of datasets in, shards of built datasets out."""

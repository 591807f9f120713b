"""Labels and probabilities in, metrics, intervals and tests out."""

"""Labels and probabilities to metrics, confidence intervals and significance tests."""

"""What decides a model, as plain values; no TensorFlow here."""

THRESHOLD = 0.5  # fake when the probability is at least this

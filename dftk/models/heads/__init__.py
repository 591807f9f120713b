"""The width of a feature vector in, a Keras model from it to one logit out."""

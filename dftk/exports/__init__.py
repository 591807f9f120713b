"""A trained detector -> SavedModel, LiteRT and ONNX, each in place only if it agrees with Keras."""

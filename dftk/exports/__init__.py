"""Exports trained detectors as SavedModel, LiteRT and ONNX, after comparing them with Keras."""

"""dftk: tf.data and TFRecord performance toolkit for real-vs-AI-generated face classifiers."""

__version__ = "0.1.0"

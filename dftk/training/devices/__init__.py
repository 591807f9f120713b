"""The machine and TF_CONFIG in, a tf.distribute strategy out."""

"""Measures the speed of each stage from file to training step and finds the bottleneck."""

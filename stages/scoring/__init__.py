"""Scores: probabilities, calibration, metrics and curves, computed without TensorFlow."""

"""Rows of the table of networks, one file per family, without TensorFlow."""

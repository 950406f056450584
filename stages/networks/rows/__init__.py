"""Rows: what is known of each network, one file a family, without TensorFlow."""

"""Data: labelled photos from their source to TFRecord shards."""

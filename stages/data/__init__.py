"""Data: labeled photos from their source to TFRecord shards."""

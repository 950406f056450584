"""Storage: TFRecord shards, the index, features, and reading them back."""

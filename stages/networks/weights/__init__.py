"""Weights: published files, users' own files, and restoring them by name."""

"""Slimline: from a folder of photos to a trained, measured and exported image classifier."""

__version__ = "0.1.0"

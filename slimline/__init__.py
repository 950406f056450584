"""Slimline: from a folder of photos to a trained, measured and exported image classifier."""

"""A plug-in for Slimline: the stage `sharpness`, the base `tiny` and the head `cosine`."""

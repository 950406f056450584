"""Exporting: file formats for other runtimes, each checked against the evaluated model."""

"""Graphs: networks as modules, frozen graphs, and rewrites of both."""

"""Serving: a model behind HTTP, and answers as files."""

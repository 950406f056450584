"""Checks: which photos can be used, and which are duplicates."""

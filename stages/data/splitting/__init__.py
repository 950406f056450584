"""Splits: which photos are used, and in which split."""

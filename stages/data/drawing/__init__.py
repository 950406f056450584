"""Drawn flowers, for a machine without a network."""

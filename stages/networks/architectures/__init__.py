"""Architectures: the networks and heads themselves, in TF-Slim."""

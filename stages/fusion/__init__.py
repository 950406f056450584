"""Fused operations: variants of a training step, timed side by side."""

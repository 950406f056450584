"""Fused operations: variants of a training step, and their comparative timing."""

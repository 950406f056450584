"""Evaluation: a trained model's predictions, metrics and occlusion maps."""

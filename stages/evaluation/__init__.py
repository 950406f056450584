"""Evaluation: the predictions of a trained model, and what they rest on."""

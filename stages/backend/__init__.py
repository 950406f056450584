"""The computing backend: TensorFlow, TF-Slim and the machine's hardware."""

"""The framework: stages, artifacts, the store and runs. It is independent of images and never imports TensorFlow."""

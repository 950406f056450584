"""The framework: stages, artifacts, the store and runs. It knows nothing of images and never imports TensorFlow."""

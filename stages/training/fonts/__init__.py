"""DejaVu Sans and its license, for the text in TensorBoard's images."""

"""DejaVu Sans and its license, for the texts in TensorBoard's pictures."""

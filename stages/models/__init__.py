"""Models: an assembled base and head, its card, its file formats, and opening it again."""

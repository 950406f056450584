"""Sources of labeled photos: one file per kind of source, and a table of the kinds."""

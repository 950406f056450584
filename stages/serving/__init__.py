"""Serving: models that answer, on the command line (`classify`) and over HTTP (`serve`)."""

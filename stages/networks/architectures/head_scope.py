"""The variable scope of every head: its variables are named `Head/...`."""

SCOPE = "Head"

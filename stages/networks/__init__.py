"""The TF-Slim networks, what turns them into TF2 modules, and their weights."""

"""Pages: HTML pages and the model card. No cached stage imports this room."""

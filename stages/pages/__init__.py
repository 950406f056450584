"""Pages: what people look at. No cached stage imports this room."""

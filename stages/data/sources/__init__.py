"""Where labelled photos come from: one file a kind of source, and one table of them."""

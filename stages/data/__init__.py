"""Photos: where they come from, how they are split, stored, read back and made ready for a network."""

"""Sweeps: many points of one experiment, kept in a numbered folder, ranked, resumed, and the best one completed."""

"""Training: phases, optimizers, schedules, feeds and exact resume."""

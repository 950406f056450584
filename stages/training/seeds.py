"""Seeds of the draws in a training: functions of `train.seed`, the phase and the step."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.tensorflow import tf


def phase_seed(seed: int, phase: int) -> int:
    """Return a phase's seed from `train.seed` and the phase's number, counted from 0."""
    return seed * 1_000_003 + phase * 1009


def step_seed(seed: int, step: Any) -> Any:
    """Return the seed [2] int32 of a step, counted from 0 over the phase, from the phase's seed."""
    return tf.stack([tf.constant(seed % (2**31 - 1)), tf.cast(step, tf.int32)])

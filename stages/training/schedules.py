"""Learning-rate schedules: the factor that multiplies the learning rate at each update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.schedule_config import Schedule, ScheduleConfig


def schedule_factor(
    config: ScheduleConfig, update: Any, updates_per_epoch: float, total_updates: int, state: Mapping[str, Any]
) -> Any:
    """Return the factor of the learning rate at `update` (counted from 0); both are float32 tensors of any shape.

    With e = update / updates_per_epoch (in epochs, including the warm-up), d in [0, 1] the completed fraction of
    the updates after the warm-up, and m = end_learning_rate / learning_rate:

    - constant: 1
    - step: decay_factor ^ (number of step_epochs <= e)
    - exponential: decay_factor ^ (e / decay_epochs), the exponent rounded down if `staircase`
    - polynomial: m + (1 - m) (1 - d) ^ power
    - cosine: m + (1 - m) (1 + cos(pi d)) / 2, https://arxiv.org/abs/1608.03983 (one cycle)
    - plateau: max(m, plateau_factor ^ (reductions so far)); see `end_plateau_epoch`

    During the warm-up the factor is multiplied by (update + 1) / (warm-up updates), https://arxiv.org/abs/1706.02677.
    """
    warmup_updates = config.warmup_epochs * updates_per_epoch
    warm = tf.minimum((update + 1) / warmup_updates, 1.0) if warmup_updates else 1.0
    return warm * _decay(config, update, updates_per_epoch, _part_done(update, warmup_updates, total_updates), state)


def _part_done(update: Any, warmup_updates: float, total_updates: int) -> Any:
    done = tf.maximum(update - warmup_updates, 0.0) / max(total_updates - warmup_updates, 1.0)
    return tf.minimum(done, 1.0)


def _decay(config: ScheduleConfig, update: Any, updates_per_epoch: float, done: Any, state: Mapping[str, Any]) -> Any:
    least = config.end_learning_rate / config.learning_rate
    match config.schedule:
        case Schedule.constant:
            return tf.ones_like(update)
        case Schedule.step:
            # compare updates, not epochs: integers are exact in float32, their quotients are not
            boundaries = [epoch * updates_per_epoch for epoch in config.step_epochs]
            passed = tf.cast(tf.expand_dims(update, -1) >= boundaries, tf.float32)
            return config.decay_factor ** tf.reduce_sum(passed, axis=-1)
        case Schedule.exponential:
            periods = update / (config.decay_epochs * updates_per_epoch)
            return config.decay_factor ** (tf.floor(periods) if config.staircase else periods)
        case Schedule.polynomial:
            return least + (1 - least) * (1 - done) ** config.power
        case Schedule.cosine:
            return least + (1 - least) * (0.5 * (1 + tf.cos(math.pi * done)))
        case Schedule.plateau:
            return tf.maximum(state["plateau/factor"], least)


def plateau_state() -> dict[str, Any]:
    """Create the state of reduce-on-plateau: the current factor, the best loss, and the epochs since the best loss."""
    values = {"plateau/factor": 1.0, "plateau/best": math.inf, "plateau/epochs_waited": 0.0}
    return {name: tf.Variable(value, dtype=tf.float32, trainable=False) for name, value in values.items()}


def end_plateau_epoch(config: ScheduleConfig, state: Mapping[str, Any], validation_loss: float) -> None:
    """Multiply the factor by `plateau_factor` after `plateau_patience_epochs` epochs in a row without a lower loss."""
    loss, waited = tf.constant(validation_loss, tf.float32), state["plateau/epochs_waited"]
    if loss < state["plateau/best"]:
        state["plateau/best"].assign(loss)
        waited.assign(0.0)
        return
    waited.assign_add(1.0)
    if waited >= config.plateau_patience_epochs:
        state["plateau/factor"].assign(state["plateau/factor"] * config.plateau_factor)
        waited.assign(0.0)

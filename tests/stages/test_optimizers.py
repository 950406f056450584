"""Optimizers and schedules against their formulas, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import UserError
from stages.optimizers import AdamConfig, MomentumConfig, Optimizer, RmspropConfig, Schedule
from stages.tensorflow import tf

GRADIENTS = (0.5, -0.25, 1.0, 0.125)


def after(config):
    variable = tf.Variable([1.0])
    optimizer = Optimizer(config, {"w": variable}, steps_per_epoch=2, total_steps=4)
    for step, gradient in enumerate(GRADIENTS):
        optimizer.apply({"w": tf.constant([gradient])}, tf.constant(float(step)))
    return float(variable[0])


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    weight, velocity = 1.0, 0.0
    for gradient in GRADIENTS:
        velocity = 0.9 * velocity + gradient
        weight -= 0.1 * (gradient + 0.9 * velocity if nesterov else velocity)
    config = MomentumConfig(learning_rate=0.1, schedule=Schedule.constant, nesterov=nesterov)
    assert after(config) == pytest.approx(weight, rel=1e-6)


def test_adam():
    weight, m, v = 1.0, 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS, 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight -= 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (math.sqrt(v) + 1e-8)
    assert after(AdamConfig(learning_rate=0.1, schedule=Schedule.constant)) == pytest.approx(weight, rel=1e-5)


def test_rmsprop_as_slim_has_it():
    weight, mean_square, velocity = 1.0, 1.0, 0.0
    for gradient in GRADIENTS:
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        velocity = 0.9 * velocity + 0.1 * gradient / math.sqrt(mean_square + 1.0)
        weight -= velocity
    assert after(RmspropConfig(learning_rate=0.1, schedule=Schedule.constant)) == pytest.approx(weight, rel=1e-6)


def rates(**settings):
    config = MomentumConfig(learning_rate=0.4, **settings)
    optimizer = Optimizer(config, {}, steps_per_epoch=5, total_steps=20)
    return np.array([float(optimizer.rate(tf.constant(float(step)))) for step in range(20)])


def test_schedules():
    steps = np.arange(20)
    assert rates(schedule=Schedule.constant) == pytest.approx(0.4)
    assert rates(schedule=Schedule.cosine) == pytest.approx(0.2 * (1 + np.cos(np.pi * steps / 20)), rel=1e-5)
    stairs = rates(schedule=Schedule.exponential, decay_factor=0.5, decay_epochs=2.0)
    assert stairs == pytest.approx(0.4 * 0.5 ** (steps // 10))


def test_warm_up_rises_to_the_rate_and_the_schedule_follows():
    warmed = rates(schedule=Schedule.cosine, warmup_epochs=1.0)
    assert warmed[:5] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert warmed[5] == pytest.approx(0.4)
    assert np.all(np.diff(warmed[5:]) < 0)


@pytest.mark.parametrize("settings", [{"learning_rate": 0.0}, {"weight_decay": -1.0}, {"momentum": 1.5}])
def test_values_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match="out of range"):
        MomentumConfig(**settings)

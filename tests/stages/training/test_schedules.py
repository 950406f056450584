"""Learning-rate schedules, compared with their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.optimizer_config import MomentumConfig
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.schedule_config import Schedule

STEPS = np.arange(20)


def rates(factor=1.0, **settings):
    config = MomentumConfig(learning_rate=0.4, **settings)
    optimizer = Optimizer(config, {}, steps_per_epoch=5, total_steps=20, factor=factor)
    return np.array([float(optimizer.rate(tf.constant(float(step)))) for step in STEPS])


@pytest.mark.parametrize("schedule", Schedule)
def test_the_rates_of_many_steps_can_be_computed_at_once(schedule):
    settings = {"schedule": schedule, "step_epochs": [0.2, 2.0], "warmup_epochs": 0.6, "end_learning_rate": 0.01}
    optimizer = Optimizer(MomentumConfig(learning_rate=0.4, **settings), {}, steps_per_epoch=5, total_steps=20)
    assert optimizer.rate(tf.constant(STEPS, tf.float32)).numpy() == pytest.approx(rates(**settings), rel=1e-6)


def test_constant():
    assert rates(schedule=Schedule.constant) == pytest.approx(0.4)


def test_a_phases_factor_multiplies_every_rate():
    assert rates(factor=0.1, schedule=Schedule.constant) == pytest.approx(0.04)
    ends = {"schedule": Schedule.polynomial, "end_learning_rate": 0.1, "warmup_epochs": 1.0}
    assert rates(factor=0.5, **ends) == pytest.approx(0.5 * rates(**ends))


def test_step_decays_at_the_first_batch_after_each_given_epoch():
    stepped = rates(schedule=Schedule.step, decay_factor=0.5, step_epochs=[0.2, 2.0, 3.0])
    assert stepped == pytest.approx(np.repeat([0.4, 0.2, 0.1, 0.05], [1, 9, 5, 5]))


@pytest.mark.parametrize("staircase", [True, False])
def test_exponential(staircase):
    exponents = STEPS // 10 if staircase else STEPS / 10
    settings = {"schedule": Schedule.exponential, "decay_factor": 0.5, "decay_epochs": 2.0, "staircase": staircase}
    assert rates(**settings) == pytest.approx(0.4 * 0.5**exponents, rel=1e-6)


@pytest.mark.parametrize("power", [1.0, 2.5])
def test_polynomial(power):
    wanted = 0.1 + 0.3 * (1 - STEPS / 20) ** power
    settings = {"schedule": Schedule.polynomial, "end_learning_rate": 0.1, "power": power}
    assert rates(**settings) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_cosine(end):
    wanted = end + (0.4 - end) * (1 + np.cos(np.pi * STEPS / 20)) / 2
    assert rates(schedule=Schedule.cosine, end_learning_rate=end) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("schedule", list(Schedule))
def test_warm_up_rises_to_the_rate_and_the_schedule_follows(schedule):
    # step and exponential count epochs from the start, polynomial and cosine from the end of the warm-up
    settings = {"schedule": schedule, "step_epochs": [2.0]}
    warmed, plain = rates(warmup_epochs=1.0, **settings), rates(**settings)
    assert warmed[:5] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert warmed[5] == pytest.approx(0.4)
    left = np.arange(15) / 15
    wanted = {Schedule.polynomial: 0.4 * (1 - left), Schedule.cosine: 0.2 * (1 + np.cos(np.pi * left))}
    assert warmed[5:] == pytest.approx(wanted.get(schedule, plain[5:]), rel=1e-5)


def test_after_the_last_step_the_rate_stays_at_its_end_value():
    for schedule in (Schedule.cosine, Schedule.polynomial):
        config = MomentumConfig(learning_rate=0.4, end_learning_rate=0.1, schedule=schedule, power=0.5)
        optimizer = Optimizer(config, {}, steps_per_epoch=5, total_steps=20)
        assert float(optimizer.rate(tf.constant(25.0))) == pytest.approx(0.1)


def plateau(losses, **settings):
    config = MomentumConfig(learning_rate=0.4, schedule=Schedule.plateau, **settings)
    optimizer = Optimizer(config, {}, steps_per_epoch=1, total_steps=9)
    rates = []
    for loss in losses:
        optimizer.end_epoch(loss)
        rates.append(float(optimizer.rate(tf.constant(0.0))))
    return rates


def test_plateau_reduces_after_its_patience_and_waits_again():
    losses = [1.0, 0.8, 0.9, 0.8, 0.9, 0.7, 0.7, 0.7, 0.7]  # the second and the sixth are new minima
    rates = plateau(losses, plateau_patience_epochs=2, plateau_factor=0.5)
    assert rates == pytest.approx([0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1])


def test_plateau_does_not_fall_below_the_end_rate():
    rates = plateau([1.0] * 4, plateau_patience_epochs=1, end_learning_rate=0.01)
    assert rates == pytest.approx([0.4, 0.04, 0.01, 0.01])


def test_only_plateau_uses_the_loss():
    optimizer = Optimizer(MomentumConfig(schedule=Schedule.constant, plateau_patience_epochs=1), {}, 1, 9)
    before = float(optimizer.rate(tf.constant(0.0)))
    for _ in range(3):
        optimizer.end_epoch(1.0)
    assert float(optimizer.rate(tf.constant(0.0))) == before
    assert optimizer.state == {}


def test_rates_count_updates():
    config = MomentumConfig(learning_rate=0.4, schedule=Schedule.cosine, warmup_epochs=1.0, accumulate_steps=4)
    optimizer = Optimizer(config, {}, steps_per_epoch=8, total_steps=34)
    rates = [float(optimizer.rate(tf.constant(float(step)))) for step in range(32)]
    one_each = [0.2, 0.4, *(0.2 * (1 + np.cos(np.pi * np.arange(6) / 6)))]
    assert rates == pytest.approx(np.repeat(one_each, 4), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate=0 is out of range"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is out of range"),
        ({"warmup_epochs": -1.0}, "warmup_epochs=-1 is out of range"),
        ({"decay_factor": 1.5}, "decay_factor=1.5 is out of range"),
        ({"decay_epochs": 0.0}, "decay_epochs=0 is out of range"),
        ({"end_learning_rate": 0.2}, "end_learning_rate=0.2 is out of range.\nIt must be from 0 to 0.1"),
        ({"power": 0.0}, "power=0 is out of range"),
        ({"plateau_factor": 0.0}, "plateau_factor=0 is out of range"),
        ({"plateau_patience_epochs": 0}, "plateau_patience_epochs=0 is out of range"),
        ({"step_epochs": [0.0]}, "step_epochs=0 is out of range"),
        ({"step_epochs": [3.0, 2.0]}, r"step_epochs=\[3.0, 2.0\] is not in strictly ascending order"),
        ({"step_epochs": [2.0, 2.0]}, "is not in strictly ascending order"),
        ({"schedule": Schedule.step}, r"schedule=step needs train.optimizer.step_epochs.*\n.*\[30,60\]"),
    ],
)
def test_invalid_settings_are_rejected(settings, message):
    with pytest.raises(UserError, match=message):
        MomentumConfig(**settings)

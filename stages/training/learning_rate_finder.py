"""Learning-rate range test: train with a rate that increases at each step, and record the loss at each rate.

Source: https://arxiv.org/abs/1506.01186
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.job import Job
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.phase import Phase
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.trainer import PhaseTrainer

log = logging.getLogger(__name__)

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 120
SMOOTHING = 0.9
WIDTH, FEWEST = 5, 10
HOPELESS = 4.0
"""The test ends when the smoothed loss exceeds this multiple of its minimum."""


class Trial(NamedTuple):
    """One step of the test: its learning rate, and the loss, smoothed over the previous steps."""

    rate: float
    loss: float


def suggest(trials: Sequence[Trial]) -> float:
    """Return the learning rate at which the loss falls fastest, as a function of the rate's logarithm.

    The slope is that of the moving mean over five steps, between the first step and the lowest loss.

    Raises:
        UserError: the test has too few steps for a suggestion.
    """
    if len(trials) < FEWEST:
        raise UserError(
            f"The learning-rate test ended after {len(trials)} steps, which are too few for a suggestion: from a"
            f" learning rate of {LOWEST:g} on, the loss diverged or was NaN or infinite.",
            "Check train.class_weights and the base's weights, or skip the test: train.find_learning_rate=false.",
        )
    losses, rates = np.array([trial.loss for trial in trials]), np.array([trial.rate for trial in trials])
    means, middles = np.convolve(losses, np.ones(WIDTH) / WIDTH, "valid"), rates[WIDTH // 2 : -(WIDTH // 2)]
    falling = np.gradient(means, np.log(middles))[: max(int(means.argmin()), 1)]
    return float(middles[int(falling.argmin())])


def rates(steps: int = STEPS) -> list[float]:
    """Return the learning rates of the test, in geometric progression."""
    return [LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)) for step in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving average after each loss, with the correction for its start at zero."""
    found, average = [], 0.0
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        found.append(average / (1 - SMOOTHING**count))
    return found


def find_learning_rate(job: Job, phase: Phase) -> float:
    """Run the test on a phase's own batches, write `learning_rate_<phase>.parquet`, and return the suggested rate.

    Raises:
        UserError: the test has too few steps for a suggestion.
    """
    losses: list[float] = []
    for loss in losses_at(job, phase, rates()):
        losses.append(loss)
        average = smoothed(losses)
        if not math.isfinite(loss) or average[-1] > HOPELESS * min(average):
            break
    finite = [loss for loss in losses if math.isfinite(loss)]
    trials = [Trial(rate, loss) for rate, loss in zip(rates(), smoothed(finite), strict=False)]
    suggested = suggest(trials)
    table = {"learning_rate": [trial.rate for trial in trials], "loss": [trial.loss for trial in trials]}
    pq.write_table(pa.table(table), job.folder / f"learning_rate_{phase.name}.parquet")
    log.info("train     %s: the loss falls fastest at a learning rate of %.2g", phase.name, suggested)
    return suggested


def losses_at(job: Job, phase: Phase, rates: Sequence[float]) -> Iterator[float]:
    """Train from the phase's initial weights with one rate per step, and yield the losses.

    This uses a separate trainer, so the phase's own weights do not change.
    """
    rate = tf.Variable(1.0)
    config = replace(
        job.config.optimizer, learning_rate=1.0, schedule=Schedule.constant, warmup_epochs=0.0, ema_decay=0.0
    )

    def optimizer(variables: Mapping[str, Any]) -> Optimizer:
        decay = phase.config.weight_decay
        return Optimizer(config, variables, phase.steps, len(rates), factor=rate, weight_decay=decay)

    own = phase.trainer
    trainer = PhaseTrainer(own.network, phase.begin, optimizer, own.settings, own.scale)
    for epoch in range(math.ceil(len(rates) / phase.steps)):
        order = phase.order(epoch=epoch)[: len(rates) - epoch * phase.steps]
        for step, inputs in enumerate(phase.training.batches(order, epoch)):
            number = epoch * phase.steps + step
            rate.assign(rates[number])
            yield trainer.run_step(inputs, tf.constant(phase.training.labels[order[step]]), number).loss

"""The learning-rate range test: train with a rate that rises step by step, and see where the loss falls and rises.

Source: https://arxiv.org/abs/1506.01186
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.errors import UserError

if TYPE_CHECKING:
    from slimline.stages.training.phase import PhaseRun

log = logging.getLogger(__name__)

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 120
SMOOTHING = 0.9
WIDTH, FEWEST = 5, 10
HOPELESS = 4.0
"""So many times the lowest loss ends the test."""


class Trial(NamedTuple):
    """One step of the test: its rate, and the loss, smoothed over the steps before."""

    rate: float
    loss: float


def suggest(trials: Sequence[Trial]) -> float:
    """Return the rate at which the loss falls fastest, by the logarithm of the rate.

    The slope is of the mean over five steps, from the first to the lowest loss.

    Raises:
        UserError: there are too few steps to tell.
    """
    if len(trials) < FEWEST:
        raise UserError(
            f"The learning-rate test ended after {len(trials)} steps, too few to tell: from a rate of {LOWEST:g} on"
            " the loss grew without bounds, or was no number.",
            "Look at train.class_weights and the base's weights; train.find_learning_rate=false leaves the test out.",
        )
    losses, rates = np.array([trial.loss for trial in trials]), np.array([trial.rate for trial in trials])
    means, middles = np.convolve(losses, np.ones(WIDTH) / WIDTH, "valid"), rates[WIDTH // 2 : -(WIDTH // 2)]
    falling = np.gradient(means, np.log(middles))[: max(int(means.argmin()), 1)]
    return float(middles[int(falling.argmin())])


def rates(steps: int = STEPS) -> list[float]:
    """Return the rates of the test, each the same factor above the last."""
    return [LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)) for step in range(steps)]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential average of losses so far, its beginning at zero corrected for."""
    found, average = [], 0.0
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        found.append(average / (1 - SMOOTHING**count))
    return found


def find_learning_rate(run: PhaseRun, folder: Path) -> float:
    """Test the rates on a phase's own batches, write the trials to `learning_rate_<phase>.parquet`, and suggest one."""
    losses: list[float] = []
    for loss in run.losses_at(rates()):
        losses.append(loss)
        average = smoothed(losses)
        if not math.isfinite(loss) or average[-1] > HOPELESS * min(average):
            break
    finite = [loss for loss in losses if math.isfinite(loss)]
    trials = [Trial(rate, loss) for rate, loss in zip(rates(), smoothed(finite), strict=False)]
    suggested = suggest(trials)
    table = {"learning_rate": [trial.rate for trial in trials], "loss": [trial.loss for trial in trials]}
    pq.write_table(pa.table(table), folder / f"learning_rate_{run.name}.parquet")
    log.info("train     %s: the loss falls fastest at a learning rate of %.2g", run.name, suggested)
    return suggested

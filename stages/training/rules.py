"""Rules of a training: the epoch that it keeps, when it ends early, and when it has diverged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import Facts
from slimline.pipeline.errors import UserError
from slimline.stages.training.config import Keep

DIVERGED, HOPELESS = 20.0, 100.0
"""Divergence: a loss above 20 times the larger of the best and the chance loss, or above 100 times the chance loss."""

BAD_VALIDATION = "The validation loss is NaN or infinite at the end"


def chance_loss(classes: int, class_weights: NDArray[np.float32] | None = None) -> float:
    """Return the loss of a uniform random guess, in nats; with `class_weights` [classes], its maximum."""
    return math.log(classes) * (1.0 if class_weights is None else max(1.0, float(class_weights.max())))


def bad_step(step: int) -> str:
    """Describe a loss or a gradient that is NaN or infinite; `step` counts from 0 in its epoch."""
    return f"The training loss is NaN or infinite in step {step + 1}"


def divergence(loss: float, before: Iterable[float], chance: float) -> str | None:
    """Describe the divergence of an epoch's training loss, or return None if it did not diverge.

    `before` holds the losses of the phase's earlier epochs, and `chance` is the chance loss.
    """
    usual = min(before, default=loss)
    if loss > HOPELESS * chance or loss > DIVERGED * max(usual, chance):
        return f"The training loss diverged to {loss:.3g} (lowest so far: {usual:.3g}) at the end"
    return None


def diverged(what: str, *, epoch: int, phase: int, name: str, rate: float, learning_rate: float) -> UserError:
    """Return the error for a diverged training: `what` happened in which epoch of which phase, at which rate.

    `epoch` and `phase` count from 0, and `learning_rate` is the optimizer's setting.
    """
    return UserError(
        f"{what} of epoch {epoch + 1} of phase {phase + 1} ({name}), at a learning rate of {rate:g}.",
        f"Lower train.optimizer.learning_rate={learning_rate:g} or the phase's "
        "learning_rate_factor, for example to a tenth of it. The last good checkpoint is kept.",
    )


def is_kept(measures: Mapping[str, float], best: Mapping[str, Any], keep: Keep) -> bool:
    """Return whether an epoch's weights replace those of the best epoch so far, whose measures are in `best`."""
    return keep is Keep.last or not best or measures["validation_loss"] < best["validation_loss"]


def is_out_of_patience(best: Mapping[str, Any], epochs_done: int, patience_epochs: int) -> bool:
    """Return whether a phase ends early: its best epoch was `patience_epochs` epochs ago."""
    return bool(best) and epochs_done - best["epoch"] >= patience_epochs


def best_facts(best: Mapping[str, Any], epochs: int) -> Facts:
    """Return the facts of a finished training of `epochs` epochs: the scores of the epoch that it keeps."""
    return {
        "validation_top1": best["validation_accuracy"],
        "validation_loss": best["validation_loss"],
        "epochs": epochs,
        "best_epoch": best["epoch"],
    }

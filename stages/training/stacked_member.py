"""A member of a stack while it trains: its learning rates, its history and what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from slimline.pipeline.artifact import Facts
from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.history import Row, add_epoch
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.rules import (
    BAD_VALIDATION,
    bad_step,
    best_facts,
    chance_loss,
    diverged,
    divergence,
    is_kept,
    is_out_of_patience,
)
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.stacked_arrays import Array
from slimline.stages.training.stacked_config import Member


class MemberTraining:
    """The training of the member `number`; `rows` is its history, `error` the text of its divergence."""

    def __init__(self, number: int, member: Member, steps: int, classes: int) -> None:
        """`steps` is the number of steps per epoch."""
        phase = member.train.phases[0]
        self.number, self.member, self.steps, self.epochs = number, member, steps, phase.epochs
        self._chance = chance_loss(classes)
        self.rows: list[Row] = []
        self.best: dict[str, Any] = {}
        self.error = ""
        self._optimizer = Optimizer(
            member.train.optimizer, {}, steps, steps * phase.epochs, factor=phase.learning_rate_factor
        )
        self._rates: Array = np.zeros(self.epochs * steps, np.float32)
        if member.train.optimizer.schedule is not Schedule.plateau:
            self._rates[:] = self._optimizer.rate(tf.range(len(self._rates), dtype=tf.float32))

    @property
    def ended(self) -> bool:
        """Whether no further epoch is trained: all are done, the patience is over, or the training diverged."""
        done, patience = len(self.rows), self.member.train.patience_epochs
        return bool(self.error) or done == self.epochs or is_out_of_patience(self.best, done, patience)

    def rates(self, epoch: int) -> Array:
        """Return the learning rates of an epoch's steps [steps]."""
        steps = slice(epoch * self.steps, (epoch + 1) * self.steps)
        if self.member.train.optimizer.schedule is Schedule.plateau:  # depends on the validation losses so far
            self._rates[steps] = self._optimizer.rate(tf.range(steps.start, steps.stop, dtype=tf.float32))
        return self._rates[steps]

    def facts(self) -> Facts:
        """Return the facts that `train` gives for this head, or its error."""
        return {"error": self.error} if self.error else best_facts(self.best, len(self.rows))

    def end_epoch(self, epoch: int, measures: Array, scores: Mapping[str, float]) -> None:
        """Add an epoch to the history, or set `error` if it diverged, as the training loop does for a single head.

        `measures` [3, steps] are the losses, the shares of correct predictions and the gradients' norms of its steps.
        `scores` are the validation scores.
        """
        losses, hits, norms = measures
        bad = np.flatnonzero(~(np.isfinite(losses) & np.isfinite(norms)))
        if bad.size:
            self._end(bad_step(int(bad[0])), epoch, int(bad[0]))
            return
        loss, last = float(losses.mean(dtype=np.float64)), self.steps - 1
        if what := divergence(loss, [row["loss"] for row in self.rows], self._chance):
            self._end(what, epoch, last)
            return
        row = {
            "loss": loss,
            "accuracy": float(hits.mean(dtype=np.float64)),
            "learning_rate": float(self._rates[epoch * self.steps]),
            "gradient_norm": float(norms.mean(dtype=np.float64)),
            **scores,
        }
        if not math.isfinite(row["validation_loss"]):
            self._end(BAD_VALIDATION, epoch, last)
            return
        self._optimizer.end_epoch(row["validation_loss"])
        add_epoch(self.rows, phase=self.member.train.phase_names()[0], epoch=epoch + 1, **row)
        if is_kept(row, self.best, self.member.train.keep):
            self.best = {"epoch": epoch + 1, **row}

    def _end(self, what: str, epoch: int, step: int) -> None:
        train = self.member.train
        rate = float(self._optimizer.rate(tf.constant(float(epoch * self.steps + step))))
        name, given = train.phase_names()[0], train.optimizer.learning_rate
        self.error = str(diverged(what, epoch=epoch, phase=0, name=name, rate=rate, learning_rate=given))

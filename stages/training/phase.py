"""A phase under way: its epochs and steps, what is measured of them, and when it is kept on the disk."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.pipeline.signals import stopped
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.epochs import epoch_order
from slimline.stages.data.storing.features import feature_scale
from slimline.stages.scoring.probabilities import probabilities
from slimline.stages.training.config import BatchNorm, Keep, Switch
from slimline.stages.training.feeds import FeaturesFeed
from slimline.stages.training.loop import Job
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.phase_feeds import example_images, phase_feeds
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.tensorboard import PhaseView
from slimline.stages.training.trainer import PhaseTrainer, Settings, Sums
from slimline.stages.training.validation import PhaseValidation

log = logging.getLogger(__name__)

WARNED_GAP = 0.02
DIVERGED, HOPELESS = 20.0, 100.0
"""A loss diverges that is 20 times the best epoch's and that of naming classes at random, or 100 times this one."""
EXAMPLES = 8


class PhaseRun:
    """One phase: from its beginning, or from where a killed training was."""

    def __init__(self, job: Job, number: int, values: Mapping[str, Any], bar: Any) -> None:
        """Make the feeds and the trainer; `values` are the weights to begin with."""
        self._job, self._number, self._bar, self._values = job, number, bar, values
        self._phase = job.config.phases[number]
        self.name = job.config.phase_names()[number]
        self._position = position = job.state.position
        network = job.networks[number]
        self._training, validation, self._network = phase_feeds(job, self._phase, network, values)
        if number == 0 and position.epochs_done == 0 and isinstance(self._training, FeaturesFeed):
            position.scale = float(feature_scale(self._training.features))
        self._batch = self._phase.batch_size or job.config.batch_size
        self._steps = self._order(0).shape[0]
        self.trainer = PhaseTrainer(self._network, values, self._make_optimizer, self._settings(), position.scale)
        self._validation = PhaseValidation(validation, self.trainer)
        self._view = PhaseView(job.history, job.folder / "logs", self.trainer, job.config.profile_steps)
        self._saved = time.monotonic()
        if position.epoch or position.step:
            self.trainer.restore(job.state.values())
        else:
            position.best = {}

    def train(self) -> None:
        """Train to the last epoch, or until validation gets no better."""
        if self._job.config.find_learning_rate and not (self._position.epoch or self._position.step):
            from slimline.stages.training.learning_rate_finder import find_learning_rate

            find_learning_rate(self, self._job.folder)
        position, patience = self._position, self._job.config.patience_epochs
        if self._job.config.augments(self._phase):
            self._job.history.images(position.epochs_done, example_images(self._job, self._phase, EXAMPLES))
        try:
            while position.epoch < self._phase.epochs and not self._job.signal():
                if position.best and position.epochs_done - position.best["epoch"] >= patience:
                    break
                self._run_epoch()
        finally:
            self._view.end_profile()
        if number := self._job.signal():
            self._stop_at(number)

    def losses_at(self, rates: Sequence[float]) -> Iterator[float]:
        """Train from the phase's beginning with one rate after another, a step each, and yield the losses.

        The phase's own weights stay as they are.
        """
        rate = tf.Variable(1.0)
        constant = replace(
            self._job.config.optimizer, learning_rate=1.0, schedule=Schedule.constant, warmup_epochs=0.0, ema_decay=0.0
        )

        def optimizer(variables: Mapping[str, Any]) -> Optimizer:
            decay = self._phase.weight_decay
            return Optimizer(constant, variables, self._steps, len(rates), factor=rate, weight_decay=decay)

        trainer = PhaseTrainer(self._network, self._values, optimizer, self._settings(), self._position.scale)
        for epoch in range(math.ceil(len(rates) / self._steps)):
            order = self._order(epoch)[: len(rates) - epoch * self._steps]
            for step, inputs in enumerate(self._training.batches(order, epoch)):
                number = epoch * self._steps + step
                rate.assign(rates[number])
                yield trainer.run_step(inputs, tf.constant(self._training.labels[order[step]]), number).loss

    def finish(self) -> dict[str, Any]:
        """End the phase: put its best weights and the next phase's beginning on the disk; return these weights.

        Where no phase comes next, the last checkpoint stays: with it `last` can be made again.
        """
        state, position = self._job.state, self._position
        best = {**self._values, **state.best_values()}
        if self._phase.batch_norm is not BatchNorm.frozen:
            best = {**best, **self._settle_statistics(best)}
            self._save_best(best)
        self._view.end(position.epochs_done)
        if self._number + 1 == len(self._job.config.phases):
            self.trainer.set_weights(best)
            self._job.validated = self._validation.logits(), self._validation.labels
        else:
            position.steps_before += position.epoch * self._steps
            position.phase, position.epoch, position.step = self._number + 1, 0, 0
            state.save(self.trainer.state())
        return best

    def _settings(self) -> Settings:
        config = self._job.config
        return Settings(
            classes=len(self._job.card.labels),
            seed=config.seed * 1_000_003 + self._number * 1009,
            label_smoothing=config.label_smoothing,
            mixup=config.mixup,
            class_weights=self._job.class_weights,
            batch_norm_decay=config.batch_norm_decay,
            xla=config.fused.xla is Switch.always,
        )

    def _make_optimizer(self, variables: Mapping[str, Any]) -> Optimizer:
        phase = self._phase
        return Optimizer(
            self._job.config.optimizer,
            variables,
            self._steps,
            self._steps * phase.epochs,
            factor=phase.learning_rate_factor,
            weight_decay=phase.weight_decay,
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        config = self._job.config
        return epoch_order(
            self._training.labels,
            self._batch,
            seed=config.seed,
            phase=self._number,
            epoch=epoch,
            balance=config.balance,
        )

    def _run_epoch(self) -> None:
        position = self._position
        order = self._order(position.epoch)
        whole = self._job.config.fused.epoch is Switch.always and isinstance(self._training, FeaturesFeed)
        began = time.perf_counter()
        self._view.resume()
        for sums, steps in self._whole_epoch(order) if whole else self._single_steps(order):
            self._require_numbers(sums)
            position.loss_sum += sums.loss
            position.hits_sum += sums.hits
            position.norm_sum += sums.norm
            position.step += steps
            self._note_steps(steps, order.shape[1], sums)
            if number := self._job.signal():
                self._stop_at(number)
            self._save_when_due()
        self._job.seconds += time.perf_counter() - began
        self._end_epoch(order)

    def _whole_epoch(self, order: NDArray[np.int64]) -> Iterator[tuple[Sums, int]]:
        assert isinstance(self._training, FeaturesFeed)
        left = order[self._position.step :]
        first = self._position.epoch * self._steps + self._position.step
        if len(left):
            inputs, targets = self._training.constants()
            self._view.inputs(inputs[: order.shape[1]])
            yield self.trainer.run_steps(inputs, targets, left, first), len(left)

    def _single_steps(self, order: NDArray[np.int64]) -> Iterator[tuple[Sums, int]]:
        position = self._position
        left = order[position.step :]
        if not len(left):
            return
        batches = self._training.batches(left, position.epoch)
        for row, inputs in zip(left, batches, strict=True):
            self._view.inputs(inputs)
            step = position.epoch * self._steps + position.step
            yield self.trainer.run_step(inputs, tf.constant(self._training.labels[row]), step), 1

    def _note_steps(self, steps: int, batch: int, sums: Sums) -> None:
        position = self._position
        self._job.examples += steps * batch
        self._bar.update(self.name, position.epoch + 1, self._phase.epochs, steps, steps * batch, sums.loss / steps)
        done = position.epoch * self._steps + position.step
        self._view.steps(position.steps_before + done, steps, steps * batch, sums, self._rate(done - 1))

    def _rate(self, step: int) -> float:
        return float(self.trainer.optimizer.rate(tf.constant(float(step))))

    def _require_numbers(self, sums: Sums) -> None:
        if sums.bad_step is not None:
            self._refuse(f"The training loss is no number in step {sums.bad_step % self._steps + 1}", sums.bad_step)

    def _refuse(self, what: str, step: int) -> None:
        rate = self._rate(step)
        position = self._position
        raise UserError(
            f"{what} of epoch {position.epoch + 1} of phase {self._number + 1} ({self.name}),"
            f" at a learning rate of {rate:g}.",
            "The last good checkpoint is kept. "
            f"train.optimizer.learning_rate={self._job.config.optimizer.learning_rate:g} or the phase's "
            "learning_rate_factor is too large here: try a tenth of it.",
        )

    def _end_epoch(self, order: NDArray[np.int64]) -> None:
        job, position = self._job, self._position
        steps = len(order)
        loss, last_step = position.loss_sum / steps, (position.epoch + 1) * self._steps - 1
        usual = min((row["loss"] for row in position.rows if row["phase"] == self.name), default=loss)
        weights = job.class_weights
        by_chance = math.log(len(job.card.labels)) * (1.0 if weights is None else max(1.0, float(weights.max())))
        if loss > HOPELESS * by_chance or loss > DIVERGED * max(usual, by_chance):
            self._refuse(f"The training loss is {loss:.3g}, after {usual:.3g} at best, by the end", last_step)
        logits = self._validation.logits()
        measures = {
            "loss": loss,
            "accuracy": position.hits_sum / steps,
            "learning_rate": self._rate(position.epoch * self._steps),
            "gradient_norm": position.norm_sum / steps,
            **self._validation.scores(logits),
        }
        if not math.isfinite(measures["validation_loss"]):  # the last step's update can be what spoils the weights
            self._refuse("The validation loss is no number at the end", last_step)
        self.trainer.optimizer.end_epoch(measures["validation_loss"])
        position.epochs_done += 1
        position.epoch, position.step = position.epoch + 1, 0
        position.loss_sum = position.hits_sum = position.norm_sum = 0.0
        job.history.add(phase=self.name, epoch=position.epochs_done, **measures)
        position.rows = job.history.rows
        last = job.config.keep is Keep.last
        if last or not position.best or measures["validation_loss"] < position.best["validation_loss"]:
            position.best = {"epoch": position.epochs_done, **measures}
            self._save_best({**self._values, **self.trainer.weights()})
            job.history.evaluation(position.epochs_done, self._validation.labels, probabilities(logits))
        self._bar.epoch(measures)
        self._save_when_due()

    def _settle_statistics(self, best: Mapping[str, Any]) -> dict[str, Any]:
        """Bring the kept statistics to what the policy says, and tell how far they are from the batches' own."""
        trainer, position = self.trainer, self._position
        trainer.set_weights(best)
        if self._phase.batch_norm is BatchNorm.recalibrate:
            trainer.recalibrate(self._training.batches(self._order(0), 0))
            position.best.update(self._validation.scores(self._validation.logits()))
        kept, batch = self._validation.accuracies()
        position.gap = batch - kept
        if abs(position.gap) > WARNED_GAP:
            log.warning(
                "train     %s: validation accuracy is %.1f%% with the batch norms' kept statistics, %.1f%% with each"
                " batch's own. batch_norm: recalibrate, or frozen, closes the gap.",
                self.name,
                100 * kept,
                100 * batch,
            )
        return {name: variable.numpy() for name, variable in trainer.variables.items()}

    def _save_when_due(self) -> None:
        if time.monotonic() - self._saved >= self._job.config.checkpoint_seconds:
            self._job.state.save(self.trainer.state())
            self._saved = time.monotonic()

    def _save_best(self, values: Mapping[str, Any]) -> None:
        """Keep what differs from the initial weights, whichever phase changed it: the next phase begins with all."""
        self._job.state.save_best({name: values[name] for name in self._job.changed(self._number)})

    def _stop_at(self, number: int) -> None:
        self._job.state.save(self.trainer.state())
        position = self._position
        raise stopped(
            number,
            f"in phase {self._number + 1} ({self.name}), epoch {position.epoch + 1}, step {position.step + 1}."
            " A checkpoint is kept.",
        )

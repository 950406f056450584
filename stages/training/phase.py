"""A training phase: its feeds, its trainer and its steps."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.epochs import epoch_order
from slimline.stages.training.config import BatchNorm, PhaseConfig, Switch
from slimline.stages.training.feeds import FeaturesFeed, Feed
from slimline.stages.training.job import Job
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.phase_feeds import phase_feeds
from slimline.stages.training.seeds import phase_seed
from slimline.stages.training.trainer import PhaseTrainer, Settings, Sums
from slimline.stages.training.validation import PhaseValidation

log = logging.getLogger(__name__)

WARNED_GAP = 0.02


@dataclass(frozen=True)
class Phase:
    """A training phase.

    `number` counts from 0. `begin` holds the weights at its start, and `changed` lists those that may differ from the
    initial weights at its end. `order(epoch=...)` returns an epoch's indices [`steps`, `batch`] into `training`. With
    `whole_epochs` all steps of an epoch are one call.
    """

    number: int
    name: str
    config: PhaseConfig
    begin: Mapping[str, Any]
    changed: Sequence[str]
    training: Feed
    validation: PhaseValidation
    trainer: PhaseTrainer
    order: partial[NDArray[np.int64]]
    steps: int
    batch: int
    whole_epochs: bool

    def train(self, epoch: int, step: int) -> Iterator[tuple[Sums, int]]:
        """Train from `step` of `epoch`, both counted from 0, to its end; yield sums over some steps, and their number.

        A step starts only when the caller requests the next item.
        """
        left = self.order(epoch=epoch)[step:]
        first = epoch * self.steps + step
        if not len(left):
            return
        if self.whole_epochs and isinstance(self.training, FeaturesFeed):
            inputs, targets = self.training.constants()
            yield self.trainer.run_steps(inputs, targets, left, first), len(left)
            return
        batches = self.training.batches(left, epoch)
        for number, (places, inputs) in enumerate(zip(left, batches, strict=True), first):
            yield self.trainer.run_step(inputs, tf.constant(self.training.labels[places]), number), 1

    def rate(self, step: int) -> float:
        """Return the learning rate at a step, counted from 0 over the phase's epochs."""
        return float(self.trainer.optimizer.rate(tf.constant(float(step))))

    def weights(self) -> dict[str, Any]:
        """Return all current weights of the model, by name."""
        return {**self.begin, **self.trainer.weights()}


def make_phase(job: Job, number: int, begin: Mapping[str, Any]) -> Phase:
    """Create a phase with its feeds and its trainer; `begin` holds the weights to start from.

    Raises:
        Stopped: a signal was received while the outputs at the cut were computed.
    """
    config, phase = job.config, job.config.phases[number]
    feeds = phase_feeds(job, number, begin)
    labels, batch_size = feeds.training.labels, phase.batch_size or config.batch_size
    order = partial(epoch_order, labels, batch_size, seed=config.seed, phase=number, balance=config.balance)
    steps, batch = order(epoch=0).shape
    optimizer = partial(
        Optimizer,
        config.optimizer,
        steps_per_epoch=steps,
        total_steps=steps * phase.epochs,
        factor=phase.learning_rate_factor,
        weight_decay=phase.weight_decay,
    )
    settings = Settings(
        classes=len(job.card.labels),
        seed=phase_seed(config.seed, number),
        label_smoothing=config.label_smoothing,
        mixup=config.mixup,
        class_weights=job.class_weights,
        batch_norm_decay=config.batch_norm_decay,
        xla=config.fused.xla is Switch.always,
    )
    trainer = PhaseTrainer(feeds.network, begin, optimizer, settings, job.scale)
    return Phase(
        number=number,
        name=config.phase_names()[number],
        config=phase,
        begin=begin,
        changed=job.changed(number),
        training=feeds.training,
        validation=PhaseValidation(feeds.validation, trainer),
        trainer=trainer,
        order=order,
        steps=steps,
        batch=batch,
        whole_epochs=config.fused.epoch is Switch.always,
    )


def settle_statistics(phase: Phase, best: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float], float]:
    """Set the batch norms' moving averages for the best weights, as the phase's `batch_norm` says.

    Return the trainer's variables by name, the validation scores if they changed, and the gap: the accuracy with each
    batch's statistics minus the accuracy with the moving averages. A large gap is logged.
    """
    trainer, validation = phase.trainer, phase.validation
    trainer.set_weights(best)
    scores: dict[str, float] = {}
    if phase.config.batch_norm is BatchNorm.recalibrate:
        trainer.recalibrate(phase.training.batches(phase.order(epoch=0), 0))
        scores = validation.scores(validation.logits())
    kept, batch = validation.accuracies()
    if abs(batch - kept) > WARNED_GAP:
        log.warning(
            "train     %s: validation accuracy is %.1f%% with the batch norms' moving averages, but %.1f%% with each"
            " batch's own statistics. Set the phase's batch_norm to recalibrate or frozen to close the gap.",
            phase.name,
            100 * kept,
            100 * batch,
        )
    return {name: variable.numpy() for name, variable in trainer.variables.items()}, scores, batch - kept

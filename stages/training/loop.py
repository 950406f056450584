"""The training loop: phases, epochs and steps, with validation, checkpoints and stopping."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.pipeline.signals import handling_signals, stopped
from slimline.pipeline.watching import report
from slimline.stages.backend.hardware import bfloat16_rewriting
from slimline.stages.models.assemble import first_head_weights
from slimline.stages.models.card import Card, write_card
from slimline.stages.networks.weights.checkpoint import write_checkpoint
from slimline.stages.networks.weights.parts import BEST, LAST
from slimline.stages.scoring.logits_file import write_logits
from slimline.stages.training.config import BatchNorm, Switch, TrainConfig
from slimline.stages.training.display import PhaseDisplay, TrainingDisplay, training_display
from slimline.stages.training.history import add_epoch, curves, write_history
from slimline.stages.training.job import Job, make_job
from slimline.stages.training.learning_rate_finder import find_learning_rate
from slimline.stages.training.phase import Phase, make_phase, settle_statistics
from slimline.stages.training.rules import (
    BAD_VALIDATION,
    bad_step,
    best_facts,
    diverged,
    divergence,
    is_kept,
    is_out_of_patience,
)
from slimline.stages.training.state import TrainState, clear_when_full

log = logging.getLogger(__name__)


def run_training(
    config: TrainConfig,
    out: Path,
    *,
    ingest: Artifact,
    base: Artifact,
    head: Artifact,
    features: Artifact | None,
    memo: Memo,
) -> Facts:
    """Train from the checkpoint in `out`, or from the start if there is none, and write the artifact.

    Raises:
        UserError: a scope or a class was not found, the loss is NaN or infinite or diverges, or the disk is full.
        Stopped: a signal was received; a checkpoint is kept.
    """
    state = TrainState(out / "state")
    with clear_when_full(out / "state"):
        with handling_signals() as signal:
            job = make_job(
                config, out, ingest=ingest, base=base, head=head, features=features, memo=memo, signal=signal
            )
            with training_display(job, state.position, ingest.facts["train"]) as display:
                trained = train_phases(job, state, display)
                facts = training_facts(state)
                display.end(state.position, facts)
        write_history(out / "history.parquet", state.position.rows)
        write_logits(out / "validation.parquet", trained.logits, trained.labels, job.card.labels)
        best = {**job.initial, **trained.best}
        for name, weights, before in ((BEST, trained.best, job.initial), (LAST, trained.last, best)):
            new = changed_variables(weights, before)
            write_checkpoint(out / name, new, others=before.keys() - new.keys())
        write_card(out, replace(job.card, graph=None))  # a frozen base's graph stays in the base
    shutil.rmtree(out / "state")
    return facts


class Trained(NamedTuple):
    """Result of training.

    `best` and `last` hold the weights by name, for unscaled features of the base. `logits` [count, classes] and
    `labels` [count] are those of the validation photos, computed with the best weights.
    """

    best: dict[str, Any]
    last: dict[str, Any]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]


def train_phases(job: Job, state: TrainState, display: TrainingDisplay) -> Trained:
    """Run the remaining phases, each from the best weights of the previous phase."""
    position = state.position
    best = {**job.initial, **(state.best_values() if position.best_state else {})}
    last: dict[str, Any] = {}
    if state.resumed:
        log.info("train     resumes in phase %d, epoch %d", position.phase + 1, position.epoch + 1)
    with bfloat16_rewriting(job.config.fused.bfloat16 is Switch.always):
        for number in range(position.phase, len(job.config.phases)):
            phase = make_phase(job, number, best)
            if position.in_phase:
                phase.trainer.restore(state.values())
            else:
                position.best = {}
                if job.config.find_learning_rate:
                    find_learning_rate(job, phase)
            shown = display.phase(phase, position)
            train_phase(job, phase, state, shown)
            last = phase.weights()
            best = best_weights(phase, state)
            shown.end(position.epochs_done)
            if number + 1 < len(job.config.phases):
                position.end_phase(phase.steps)
                state.save(phase.trainer.state())
        # The last checkpoint stays until all files are written: `last` can be computed from it again.
        phase.trainer.set_weights(best)
        logits = phase.validation.logits()
    scale = np.float32(job.scale)
    best, last = (_for_plain_features(weights, job.card, scale) for weights in (best, last))
    return Trained(best, last, logits, phase.validation.labels)


def train_phase(job: Job, phase: Phase, state: TrainState, shown: PhaseDisplay) -> None:
    """Train to the last epoch, or until the validation loss has not improved for `train.patience_epochs`."""
    position = state.position
    with shown:
        while position.epoch < phase.config.epochs and not job.signal():
            if is_out_of_patience(position.best, position.epochs_done, job.config.patience_epochs):
                break
            train_epoch(job, phase, state, shown)
            end_epoch(job, phase, state, shown)
    stop_when_asked(job, phase, state)


def train_epoch(job: Job, phase: Phase, state: TrainState, shown: PhaseDisplay) -> None:
    """Run the remaining steps of an epoch. Between steps, write checkpoints and check for signals."""
    position = state.position
    began = time.perf_counter()
    shown.begin_epoch()
    for sums, steps in phase.train(position.epoch, position.step):
        if sums.bad_step is not None:
            raise divergence_error(job, phase, state, bad_step(sums.bad_step % phase.steps), sums.bad_step)
        position.count(steps, sums.loss, sums.hits, sums.norm)
        state.examples += steps * phase.batch
        shown.steps(position, steps, sums)
        stop_when_asked(job, phase, state)
        state.save_when_due(job.config.checkpoint_seconds, phase.trainer.state)
    state.seconds += time.perf_counter() - began


def end_epoch(job: Job, phase: Phase, state: TrainState, shown: PhaseDisplay) -> None:
    """Validate after an epoch, add the measures to the history, and keep the weights if they are the best."""
    position, last_step = state.position, (state.position.epoch + 1) * phase.steps - 1
    loss = position.loss_sum / phase.steps
    before = [row["loss"] for row in position.rows if row["phase"] == phase.name]
    if what := divergence(loss, before, job.chance_loss()):
        raise divergence_error(job, phase, state, what, last_step)
    logits = phase.validation.logits()
    measures = {
        "loss": loss,
        "accuracy": position.hits_sum / phase.steps,
        "learning_rate": phase.rate(position.epoch * phase.steps),
        "gradient_norm": position.norm_sum / phase.steps,
        **phase.validation.scores(logits),
    }
    if not math.isfinite(measures["validation_loss"]):  # the update of the last step can cause this
        raise divergence_error(job, phase, state, BAD_VALIDATION, last_step)
    phase.trainer.optimizer.end_epoch(measures["validation_loss"])
    position.end_epoch()
    add_epoch(position.rows, phase=phase.name, epoch=position.epochs_done, **measures)
    if is_kept(measures, position.best, job.config.keep):
        position.best = {"epoch": position.epochs_done, **measures}
        save_best(phase, state, phase.weights())
        shown.best(position.epochs_done, logits)
    shown.epoch(position.epochs_done, measures)
    report("train", curves(position.rows))
    state.save_when_due(job.config.checkpoint_seconds, phase.trainer.state)


def best_weights(phase: Phase, state: TrainState) -> dict[str, Any]:
    """Return all weights after the phase's best epoch; set and save the moving averages if the phase updated them."""
    best = {**phase.begin, **state.best_values()}
    if phase.config.batch_norm is not BatchNorm.frozen:
        settled, scores, state.position.gap = settle_statistics(phase, best)
        state.position.best.update(scores)
        best = {**best, **settled}
        save_best(phase, state, best)
    return best


def save_best(phase: Phase, state: TrainState, weights: Mapping[str, Any]) -> None:
    """Save all weights that any phase so far changed; the next phase starts from them."""
    state.save_best({name: weights[name] for name in phase.changed})


def stop_when_asked(job: Job, phase: Phase, state: TrainState) -> None:
    """Write a checkpoint and stop if a signal was received.

    Raises:
        Stopped: a signal was received.
    """
    if number := job.signal():
        state.save(phase.trainer.state())
        position = state.position
        raise stopped(
            number,
            f"in phase {phase.number + 1} ({phase.name}), epoch {position.epoch + 1}, step {position.step + 1}."
            " A checkpoint is kept.",
        )


def divergence_error(job: Job, phase: Phase, state: TrainState, what: str, step: int) -> UserError:
    """Return the error for a diverged training; `step` counts from 0 over the phase's epochs."""
    return diverged(
        what,
        epoch=state.position.epoch,
        phase=phase.number,
        name=phase.name,
        rate=phase.rate(step),
        learning_rate=job.config.optimizer.learning_rate,
    )


def changed_variables(weights: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights that differ from those before in any bit, by name."""
    return {
        name: value
        for name, value in weights.items()
        if value is not before[name] and np.asarray(value).tobytes() != np.asarray(before[name]).tobytes()
    }


def training_facts(state: TrainState) -> Facts:
    """Return the facts of the training: its best scores, its epochs and its speed."""
    facts = best_facts(state.position.best, len(state.position.rows))
    if state.position.gap is not None:
        facts["batch_norm_gap"] = state.position.gap
    if state.seconds:
        facts["examples_per_second"] = state.examples / state.seconds
    return facts


def _for_plain_features(weights: Mapping[str, Any], card: Card, scale: np.float32) -> dict[str, Any]:
    """Multiply the head's first weights by the factor that scaled its features in training."""
    first = first_head_weights(card)
    return {**weights, first: weights[first] * scale} if first else dict(weights)

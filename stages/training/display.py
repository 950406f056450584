"""Display of a running training: the progress bar and the TensorBoard logs of its phases.

This module does not influence the training. The loop reports to it and uses no result of it, and reading a phase here
changes neither its variables nor its position in the data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photos import Photos
from slimline.stages.scoring.probabilities import probabilities
from slimline.stages.training.config import PhaseConfig, TensorBoardLogs, TrainConfig
from slimline.stages.training.cut_cache import view_of
from slimline.stages.training.feeds import PhotosFeed
from slimline.stages.training.job import Job
from slimline.stages.training.phase import Phase
from slimline.stages.training.phase_feeds import phase_images
from slimline.stages.training.progress import TrainingProgress, training_progress
from slimline.stages.training.state import Position
from slimline.stages.training.tensorboard import TensorBoard
from slimline.stages.training.tensorboard_images import write_augmented, write_confusion
from slimline.stages.training.trainer import PhaseTrainer, Sums

EXAMPLES = 8
STEPS_PER_SCALAR = 10
ACTIVATION_PHOTOS = 8
"""Photos whose activations are shown: 49 million numbers for EfficientNet-Lite0; a batch has four times as many."""
ACTIVATIONS = ("Relu", "Relu6", "Swish", "Tanh", "Elu", "LeakyRelu")
WARM_STEPS = 2
"""Steps before a profile starts: they include tracing and the preparation of layers."""
RESULTS = ("validation_top1", "validation_loss", "best_epoch")


@contextmanager
def training_display(job: Job, position: Position, photos: int) -> Iterator[TrainingDisplay]:
    """Show a training from `position` on: a progress bar, and the TensorBoard logs in `logs`.

    `photos` is the number of training photos.
    """
    mirrored = bool(job.features) and len(job.features["train"][1]) > photos
    with (
        training_progress(steps_left(job.config, position, photos, mirrored)) as bar,
        closing(TensorBoard(job.folder / "logs")) as board,
    ):
        yield TrainingDisplay(job, bar, board)


def steps_left(config: TrainConfig, position: Position, photos: int, mirrored: bool = False) -> list[tuple[str, int]]:
    """Return each phase's name and its maximum number of remaining steps.

    `photos` is the number of training photos; with `mirrored`, phases on features train on their mirror images too.
    """
    names, left = config.phase_names(), []
    for number, phase in enumerate(config.phases):
        count = 2 * photos if mirrored and config.on_features(number) else photos
        steps = count // min(phase.batch_size or config.batch_size, count)
        done = position.epoch * steps + position.step if number == position.phase else 0
        left.append((names[number], 0 if number < position.phase else phase.epochs * steps - done))
    return left


class TrainingDisplay:
    """Display of a training."""

    def __init__(self, job: Job, bar: TrainingProgress, board: TensorBoard) -> None:
        self._job, self._bar, self._board = job, bar, board

    def phase(self, phase: Phase, position: Position) -> PhaseDisplay:
        """Return the display of a phase, which starts or resumes at `position`."""
        return PhaseDisplay(self._job, phase, position, self._bar, self._board)

    def end(self, position: Position, facts: Mapping[str, Any]) -> None:
        """Show the training's hyperparameters and results."""
        results = {name: facts[name] for name in RESULTS}
        self._board.hyperparameters(position.epochs_done, hyperparameters(self._job.config), results)


class PhaseDisplay:
    """Display of a phase; steps may be profiled inside its `with` block."""

    def __init__(self, job: Job, phase: Phase, position: Position, bar: TrainingProgress, board: TensorBoard) -> None:
        """Show example images if the phase augments its images."""
        self._phase, self._labels, self._bar, self._board = phase, job.card.labels, bar, board
        self._logs, self._profile_steps = str(job.folder / "logs"), job.config.profile_steps
        self._seen, self._profiling = 0, False
        self._full = job.config.tensorboard is TensorBoardLogs.full
        self._last = time.perf_counter()
        if self._full and job.config.augments(phase.config):
            write_augmented(board, position.epochs_done, example_images(job, phase.config, EXAMPLES))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_profile()  # another profile can start only after this one has stopped

    def begin_epoch(self) -> None:
        """Start the timer of the next step: the time until now does not belong to a step."""
        self._last = time.perf_counter()

    def steps(self, position: Position, count: int, sums: Sums) -> None:
        """Show the last `count` steps, which end at `position`."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        phase, images, loss = self._phase, count * self._phase.batch, sums.loss / count
        self._bar.update(phase.name, position.epoch + 1, phase.config.epochs, count, images, loss)
        self._profile(count)
        done = position.epoch * phase.steps + position.step
        number = position.steps_before + done
        if number % STEPS_PER_SCALAR == 0 or count > 1:
            values = {
                "loss": loss,
                "gradient_norm": sums.norm / count,
                "learning_rate": phase.rate(done - 1),
                "images_per_second": images / seconds,
                "step_seconds": seconds / count,
            }
            self._board.scalars(number, {f"step/{name}": value for name, value in values.items()})

    def epoch(self, epoch: int, measures: Mapping[str, float]) -> None:
        """Show an epoch's measures, and flush them: they are visible during the next epoch, and after a crash."""
        self._board.scalars(epoch, measures)
        self._board.flush()
        self._bar.epoch(measures)

    def best(self, epoch: int, logits: NDArray[np.float32]) -> None:
        """Show the validation results of a new best epoch: confusion matrix and curves from logits [count, classes]."""
        if not self._full:
            return
        targets, chances = self._phase.validation.labels, probabilities(logits)
        write_confusion(self._board, epoch, self._labels, targets, chances.argmax(axis=1))
        self._board.curves(epoch, self._labels, targets, chances)

    def end(self, epoch: int) -> None:
        """Show the trained weights, their activations on a few photos, and the graph of a step."""
        if not self._full:
            return
        trainer = self._phase.trainer
        weights = trainer.weights()
        self._board.histograms(epoch, "weights", {name: weights[name] for name in trainer.trained})
        [inputs] = self._phase.training.batches(self._phase.order(epoch=0)[:1], 0)
        self._board.histograms(epoch, "activations", activations(trainer, inputs[:ACTIVATION_PHOTOS]))
        targets = tf.zeros(len(inputs), tf.int64)
        self._board.graph(trainer.step.get_concrete_function(inputs, targets, tf.constant(0)))

    def _profile(self, count: int) -> None:
        self._seen += count
        if self._profiling and self._seen >= WARM_STEPS + self._profile_steps:
            self._end_profile()
        elif self._profile_steps and not self._profiling and self._seen >= WARM_STEPS:
            tf.profiler.experimental.start(self._logs)
            self._profiling = True

    def _end_profile(self) -> None:
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling, self._profile_steps = False, 0


def example_images(job: Job, phase: PhaseConfig, count: int) -> NDArray[np.float32]:
    """Return the first training photos as in the phase's first epoch: [count, side, side, 3] in [0, 1]."""
    wanted, augmentation = phase_images(job, phase)
    feed = PhotosFeed(Photos(job.ingest, "train"), view_of(wanted, augmentation, job.config.seed))
    [images] = feed.batches([np.arange(min(count, len(feed.labels)))], 0)
    pixels: NDArray[np.float64] = (images.numpy() * wanted.scale + np.asarray(wanted.offset)) / 255
    return np.clip(pixels, 0, 1).astype(np.float32)


def activations(trainer: PhaseTrainer, inputs: Any) -> dict[str, NDArray[np.float32]]:
    """Run a batch, and return the outputs of the activation functions above the cut, by operation, and the logits."""
    evaluated = trainer.network.evaluated
    nodes = evaluated.graph_def.node if evaluated else []
    names = [f"{node.name}:0" for node in nodes if node.op in ACTIVATIONS]

    def run(inputs: Any) -> tuple[Any, list[Any]]:
        return trainer.network.logits(inputs, trainer.reads(averaged=True), trainer.scale, wanted=names)

    logits, found = tf.function(run, autograph=False)(inputs)
    outputs = {name.partition(":")[0]: value.numpy() for name, value in zip(names, found, strict=True)}
    return {**outputs, "Logits": logits.numpy()}


def hyperparameters(config: TrainConfig) -> dict[str, bool | float | str]:
    """Return the values by which runs are compared: those of the optimizer, the augmentation and train, by setting."""
    values: dict[str, bool | float | str] = {}

    def add(prefix: str, node: Any) -> None:
        for item in fields(node):
            value = getattr(node, item.name)
            if is_dataclass(value):
                add(f"{prefix}{item.name}.", value)
            elif not item.metadata.get("untracked"):
                shown = value.value if isinstance(value, Enum) else value
                values[f"{prefix}{item.name}"] = shown if isinstance(shown, bool | int | float) else str(shown)

    add("", config)
    for number, phase in enumerate(config.phases):
        add(f"phases.{number}.", phase)
    del values["phases"]
    return values

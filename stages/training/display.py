"""What a training shows while it runs: the progress bar, and what TensorBoard has of its phases.

Nothing here decides anything. The loop tells what it did and takes nothing back; what is read of a phase leaves its
variables and its place in the data as they are.
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
from slimline.stages.training.config import PhaseConfig, TrainConfig
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
STEPS_A_SCALAR = 10
LOOKED_AT = 8
"""Photos whose activations are shown: 49 million numbers for EfficientNet-Lite0, and a batch has four times as many."""
ACTIVATIONS = ("Relu", "Relu6", "Swish", "Tanh", "Elu", "LeakyRelu")
WARM_STEPS = 2
"""Steps that a profile leaves out: tracing and the preparation of layers."""
RESULTS = ("validation_top1", "validation_loss", "best_epoch")


@contextmanager
def training_display(job: Job, position: Position, photos: int) -> Iterator[TrainingDisplay]:
    """Show a training of so many photos from `position` on: a progress bar, and TensorBoard's files in `logs`."""
    with (
        training_progress(steps_left(job.config, position, photos)) as bar,
        closing(TensorBoard(job.folder / "logs")) as board,
    ):
        yield TrainingDisplay(job, bar, board)


def steps_left(config: TrainConfig, position: Position, photos: int) -> list[tuple[str, int]]:
    """Return each phase's name and how many steps it has yet to do at most, by the number of training photos."""
    names, left = config.phase_names(), []
    for number, phase in enumerate(config.phases):
        steps = photos // min(phase.batch_size or config.batch_size, photos)
        done = position.epoch * steps + position.step if number == position.phase else 0
        left.append((names[number], 0 if number < position.phase else phase.epochs * steps - done))
    return left


class TrainingDisplay:
    """Shows a training."""

    def __init__(self, job: Job, bar: TrainingProgress, board: TensorBoard) -> None:
        self._job, self._bar, self._board = job, bar, board

    def phase(self, phase: Phase, position: Position) -> PhaseDisplay:
        """Return what shows a phase, which begins or resumes at `position`."""
        return PhaseDisplay(self._job, phase, position, self._bar, self._board)

    def end(self, position: Position, facts: Mapping[str, Any]) -> None:
        """Show what the training was set to, and how it ended."""
        results = {name: facts[name] for name in RESULTS}
        self._board.hyperparameters(position.epochs_done, hyperparameters(self._job.config), results)


class PhaseDisplay:
    """Shows a phase; inside its `with` block the steps may be profiled."""

    def __init__(self, job: Job, phase: Phase, position: Position, bar: TrainingProgress, board: TensorBoard) -> None:
        """Show examples of the phase's images where it augments them."""
        self._phase, self._labels, self._bar, self._board = phase, job.card.labels, bar, board
        self._logs, self._profile_steps = str(job.folder / "logs"), job.config.profile_steps
        self._seen, self._profiling = 0, False
        self._last = time.perf_counter()
        if job.config.augments(phase.config):
            write_augmented(board, position.epochs_done, example_images(job, phase.config, EXAMPLES))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_profile()  # no other can begin before

    def begin_epoch(self) -> None:
        """Start the clock of the next step here: what came before was not a step."""
        self._last = time.perf_counter()

    def steps(self, position: Position, count: int, sums: Sums) -> None:
        """Show `count` steps just done, up to `position`."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        phase, images, loss = self._phase, count * self._phase.batch, sums.loss / count
        self._bar.update(phase.name, position.epoch + 1, phase.config.epochs, count, images, loss)
        self._profile(count)
        done = position.epoch * phase.steps + position.step
        number = position.steps_before + done
        if number % STEPS_A_SCALAR == 0 or count > 1:
            values = {
                "loss": loss,
                "gradient_norm": sums.norm / count,
                "learning_rate": phase.rate(done - 1),
                "images_per_second": images / seconds,
                "step_seconds": seconds / count,
            }
            self._board.scalars(number, {f"step/{name}": value for name, value in values.items()})

    def epoch(self, epoch: int, measures: Mapping[str, float]) -> None:
        """Show an epoch's measures, at once: also while the next epoch runs, and after a crash."""
        self._board.scalars(epoch, measures)
        self._board.flush()
        self._bar.epoch(measures)

    def best(self, epoch: int, logits: NDArray[np.float32]) -> None:
        """Show what an epoch better than those before makes of the validation photos: logits [count, classes]."""
        targets, chances = self._phase.validation.labels, probabilities(logits)
        write_confusion(self._board, epoch, self._labels, targets, chances.argmax(axis=1))
        self._board.curves(epoch, self._labels, targets, chances)

    def end(self, epoch: int) -> None:
        """Show the weights that were trained, what they make of a few photos, and the graph of a step."""
        trainer = self._phase.trainer
        weights = trainer.weights()
        self._board.histograms(epoch, "weights", {name: weights[name] for name in trainer.trained})
        [inputs] = self._phase.training.batches(self._phase.order(epoch=0)[:1], 0)
        self._board.histograms(epoch, "activations", activations(trainer, inputs[:LOOKED_AT]))
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
    """Return the first training photos as a phase's first epoch sees them: [count, side, side, 3] in [0, 1]."""
    wanted, augmentation = phase_images(job, phase)
    feed = PhotosFeed(Photos(job.ingest, "train"), view_of(wanted, augmentation, job.config.seed))
    [images] = feed.batches([np.arange(min(count, len(feed.labels)))], 0)
    pixels: NDArray[np.float64] = (images.numpy() * wanted.scale + np.asarray(wanted.offset)) / 255
    return np.clip(pixels, 0, 1).astype(np.float32)


def activations(trainer: PhaseTrainer, inputs: Any) -> dict[str, NDArray[np.float32]]:
    """Run a batch: the outputs of the activation functions above the cut, by operation, and the logits."""
    evaluated = trainer.network.evaluated
    nodes = evaluated.graph_def.node if evaluated else []
    names = [f"{node.name}:0" for node in nodes if node.op in ACTIVATIONS]

    def run(inputs: Any) -> tuple[Any, list[Any]]:
        return trainer.network.logits(inputs, trainer.reads(averaged=True), trainer.scale, wanted=names)

    logits, found = tf.function(run, autograph=False)(inputs)
    outputs = {name.partition(":")[0]: value.numpy() for name, value in zip(names, found, strict=True)}
    return {**outputs, "Logits": logits.numpy()}


def hyperparameters(config: TrainConfig) -> dict[str, bool | float | str]:
    """Return what runs are compared by: the optimizer's, the augmentation's and train's own values, each by its key."""
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

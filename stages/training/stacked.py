"""Training of a stack: its members in groups that share their batches, each group epoch by epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.progress import Advance, progress
from slimline.pipeline.signals import handling_signals, stopped
from slimline.stages.backend.captions import EPOCHS, TRAINING_HEADS
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.epochs import epoch_order
from slimline.stages.data.storing.features import feature_scale, read_features, read_training_features
from slimline.stages.training.history import write_histories
from slimline.stages.training.seeds import phase_seed, step_seed
from slimline.stages.training.stacked_arrays import Array
from slimline.stages.training.stacked_config import StackConfig
from slimline.stages.training.stacked_groups import Part, Photos, make_groups
from slimline.stages.training.stacked_member import MemberTraining

DRAWN_STEPS = 8
"""Steps whose draws are in memory: 3 MB for batches of 64 and an mlp head on 1,280 features."""


def run_stack(config: StackConfig, out: Path, *, ingest: Artifact, features: Artifact) -> Facts:
    """Train all members and write their history; see the stage.

    Raises:
        ValueError: a stack cannot compute a member's training.
        Stopped: a signal was received; nothing is kept.
    """
    started = time.perf_counter()
    photos = read_photos(ingest.path, features.path)
    with handling_signals() as signal:
        trained = train_stack(config, photos, signal)
    write_histories(out / "history.parquet", [one.training.rows for one in trained])
    members = [one.training.facts() for one in trained]
    epochs = sum(len(one.training.rows) for one in trained)
    return {
        "members": members,
        "heads": len(members),
        "diverged": sum("error" in facts for facts in members),
        "examples_per_second": epochs * len(photos.labels) / (time.perf_counter() - started),
    }


def read_photos(ingest: Path, features: Path) -> Photos:
    """Read the inputs of a stack from its artifacts' folders."""
    classes = len((ingest / "labels.txt").read_text(encoding="utf-8").splitlines())
    training, labels = read_training_features(features)
    validation, validation_labels = read_features(features / "validation.arrow")
    scale = feature_scale(training)
    return Photos(training * scale, labels, validation * scale, validation_labels, classes)


class Trained(NamedTuple):
    """A member after its training, with the final values of its variables by name, for the scaled features."""

    training: MemberTraining
    last: dict[str, Array]


def train_stack(config: StackConfig, photos: Photos, signal: Callable[[], int | None]) -> list[Trained]:
    """Train all members, and return them in their order. `signal()` returns the received signal, or None.

    A part uses one thread: BLAS with more threads takes more processor time for products of this size.

    Raises:
        ValueError: a stack cannot compute a member's training.
        Stopped: a signal was received.
    """
    if alone := [number for number, member in enumerate(config.members) if not member.stacks()]:
        raise ValueError(f"members {alone} have settings that only train can compute")
    groups = list(make_groups(config.members, photos))
    trainings = {one.number: one for parts in groups for part in parts for one in part.active}
    last: dict[int, dict[str, Array]] = {}
    with (
        threadpool_limits(limits=1, user_api="blas"),
        progress(TRAINING_HEADS, sum(one.epochs for one in trainings.values()), EPOCHS) as advance,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        ThreadPoolExecutor(os.cpu_count()) as leaders,
    ):
        for found in leaders.map(lambda parts: train_group(parts, photos, signal, advance, pool), groups):
            last.update(found)
    return [Trained(trainings[number], last[number]) for number in sorted(trainings)]


def train_group(
    parts: Sequence[Part], photos: Photos, signal: Callable[[], int | None], advance: Advance, pool: Executor
) -> dict[int, dict[str, Array]]:
    """Train the parts of a group until all their members have ended; return the weights by the members' numbers.

    All parts have the same batches and the same draws of dropout; these take half as long as a step of an mlp head.

    Raises:
        Stopped: a signal was received.
    """
    one, active = parts[0].active[0], list(parts)
    seed, batch_size = one.member.train.seed, one.member.batch_size
    widths = parts[0].heads.input_widths()
    for epoch in count():
        if number := signal():
            raise stopped(number, f"in epoch {epoch + 1} of heads that train together. Their epochs are not kept.")
        order = epoch_order(photos.labels, batch_size, seed=seed, phase=0, epoch=epoch)
        drops = any(part.heads.drops() for part in active)
        size = DRAWN_STEPS if drops else len(order)
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            steps = range(epoch * len(order) + first, epoch * len(order) + first + len(rows))
            draws = [dropout_draws(seed, step, rows.shape[1], widths) for step in steps] if drops else []
            list(pool.map(partial(Part.train, photos=photos, order=rows, first=first, draws=draws), active))
        for done in pool.map(partial(Part.end_epoch, photos=photos), active):
            advance(done)
        active = [part for part in active if part.active]
        if not active:
            break
    return {number: weights for part in parts for number, weights in part.last.items()}


def dropout_draws(seed: int, step: int, batch: int, widths: Sequence[int]) -> list[Array]:
    """Return the uniform numbers [batch, width] that decide what a step drops before each layer, as in `make_head`."""
    own = step_seed(phase_seed(seed, 0), step).numpy()
    # The operation behind `tf.random.stateless_uniform`, whose checks take another 0.1 ms.
    return [
        tf.raw_ops.StatelessRandomUniform(shape=[batch, width], seed=own + np.array([0, layer], np.int32)).numpy()
        for layer, width in enumerate(widths)
    ]

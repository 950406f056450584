"""Training of a stack: its members in groups that share their batches, each group epoch by epoch."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.progress import Advance, progress
from slimline.pipeline.signals import handling_signals, stopped
from slimline.stages.backend.captions import EPOCHS, TRAINING_HEADS
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.epochs import epoch_order
from slimline.stages.data.storing.features import feature_scale, read_features, read_training_features
from slimline.stages.models.head_table import HEADS
from slimline.stages.networks.graphs.module import Outline, outline
from slimline.stages.training.history import write_histories
from slimline.stages.training.scores import validation_scores
from slimline.stages.training.seeds import phase_seed, step_seed
from slimline.stages.training.stacked_arrays import Array, select
from slimline.stages.training.stacked_config import Member, StackConfig
from slimline.stages.training.stacked_heads import StackedHeads
from slimline.stages.training.stacked_member import MemberTraining
from slimline.stages.training.stacked_optimizer import StackedOptimizer

GROUP_WEIGHTS = 2**18
"""Most weights of a group with several members: with their gradients and momentum they fit into 3 MB of cache."""


class Photos(NamedTuple):
    """Features [count, width], scaled as for a single head, and labels [count], for training and for validation."""

    features: Array
    labels: NDArray[np.int64]
    validation_features: Array
    validation_labels: NDArray[np.int64]
    classes: int


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
    """A member after its training, with the last values of its variables, for the scaled features."""

    training: MemberTraining
    last: dict[str, Array]


def train_stack(config: StackConfig, photos: Photos, signal: Callable[[], int | None]) -> list[Trained]:
    """Train all members, and return them in their order. `signal()` returns the received signal, or None.

    A group uses one thread: BLAS with more threads takes more processor time for products of this size.

    Raises:
        ValueError: a stack cannot compute a member's training.
        Stopped: a signal was received.
    """
    if alone := [number for number, member in enumerate(config.members) if not member.stacks()]:
        raise ValueError(f"members {alone} have settings that only train can compute")
    groups = list(make_groups(config.members, photos))
    total = sum(training.epochs for group in groups for training in group.trainings)
    with (
        threadpool_limits(limits=1, user_api="blas"),
        progress(TRAINING_HEADS, total, EPOCHS) as advance,
        ThreadPoolExecutor(os.cpu_count()) as executor,
    ):
        running = [executor.submit(train_group, group, photos, signal, advance) for group in groups]
        trained = [one for group in running for one in group.result()]
    return sorted(trained, key=lambda one: one.training.number)


class Group(NamedTuple):
    """Members that share their batches, with the initial values of each one's variables, by name."""

    trainings: list[MemberTraining]
    initial: list[Mapping[str, Array]]


def make_groups(members: Sequence[Member], photos: Photos) -> Iterator[Group]:
    """Yield the members in groups of one form and one order of batches, those of equal dropout next to each other."""
    (images, width), classes = photos.features.shape, photos.classes
    values: dict[tuple[Any, ...], Mapping[str, Array]] = {}
    for member in members:
        if (drawn := (*member.form(), member.head.seed)) not in values:
            values[drawn] = initial_values(member, width, classes)
    trainings = [
        MemberTraining(number, member, images // min(member.batch_size, images), classes)
        for number, member in enumerate(members)
    ]
    trainings.sort(key=lambda one: (_sharing(one), one.member.head.dropout, one.number))
    for _, found in groupby(trainings, key=_sharing):
        alike = list(found)
        initial = [values[*one.member.form(), one.member.head.seed] for one in alike]
        size = max(1, GROUP_WEIGHTS // sum(value.size for value in initial[0].values()))
        for start in range(0, len(alike), size):
            yield Group(alike[start : start + size], initial[start : start + size])


def _sharing(training: MemberTraining) -> tuple[str, int]:
    return str(training.member.form()), training.member.train.seed


def initial_values(member: Member, inputs: int, classes: int) -> Mapping[str, Array]:
    """Return a head's initial values by name, as the head stage draws them, for features [count, inputs]."""
    options = json.dumps({**member.head.options(), "dropout": 0.0})  # which changes no variable
    return _head_outline(member.head.kind, options, inputs, classes).initial_values({}, member.head.seed)


@lru_cache(maxsize=8)
def _head_outline(kind: str, options: str, inputs: int, classes: int) -> Outline:
    return outline(HEADS[kind].load()(classes, **json.loads(options)), (inputs,))


def train_group(group: Group, photos: Photos, signal: Callable[[], int | None], advance: Advance) -> list[Trained]:
    """Train the members of a group until each has ended.

    Raises:
        Stopped: a signal was received.
    """
    active, trained = list(group.trainings), list[Trained]()
    members = [one.member for one in active]
    heads = StackedHeads(
        group.initial,
        members[0].activation,
        [member.head.dropout for member in members],
        [member.train.label_smoothing for member in members],
    )
    decays = [member.weight_decay for member in members]
    optimizer = StackedOptimizer([member.train.optimizer for member in members], decays, heads.values)
    for epoch in count():
        if number := signal():
            raise stopped(number, f"in epoch {epoch + 1} of heads that train together. Their epochs are not kept.")
        with np.errstate(all="ignore"):  # a member that diverges has infinite and NaN values
            measures = train_epoch(heads, optimizer, active, photos, epoch)
            logits = heads.logits(photos.validation_features, optimizer.averages(heads.values))
            scores = validation_scores(logits, photos.validation_labels)
        for place, training in enumerate(active):
            own = {name: float(value[place]) for name, value in scores.items()}
            training.end_epoch(epoch, measures[:, :, place], own)
            advance(training.epochs - epoch if training.ended else 1)
        left = [place for place, training in enumerate(active) if not training.ended]
        if len(left) < len(active):
            weights = optimizer.averages(heads.values)
            for place in sorted({*range(len(active))} - {*left}):
                last = {name: select(value, len(active), [place]) for name, value in weights.items()}
                trained.append(Trained(active[place], last))
            if not left:
                break
            active = [active[place] for place in left]
            heads.keep(left)
            optimizer.keep(left, heads.values)
    return trained


def train_epoch(
    heads: StackedHeads,
    optimizer: StackedOptimizer,
    active: Sequence[MemberTraining],
    photos: Photos,
    epoch: int,
) -> Array:
    """Run an epoch's steps; return the losses, the shares of correct predictions and the gradients' norms.

    They are [3, steps, members].
    """
    one = active[0].member
    order = epoch_order(photos.labels, one.batch_size, seed=one.train.seed, phase=0, epoch=epoch)
    rates = np.stack([training.rates(epoch) for training in active], axis=1)
    measures: Array = np.empty((3, *rates.shape), np.float32)
    for place, chosen in enumerate(order):
        step = epoch * len(order) + place
        draws = dropout_draws(one.train.seed, step, len(chosen), heads.input_widths()) if heads.drops() else []
        found = heads.step(photos.features[chosen], photos.labels[chosen], draws)
        norms = optimizer.apply(heads.values, found.gradients, rates[place], step)
        measures[:, place] = found.loss, found.hits, norms
    return measures


def dropout_draws(seed: int, step: int, batch: int, widths: Sequence[int]) -> list[Array]:
    """Return the uniform numbers [batch, width] that decide what a step drops before each layer, as in `make_head`."""
    own = step_seed(phase_seed(seed, 0), step)
    return [tf.random.stateless_uniform([batch, width], own + [0, layer]).numpy() for layer, width in enumerate(widths)]

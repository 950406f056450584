"""Groups of a stack's members that share their batches, in parts that share their products."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.stages.models.head_table import HEADS
from slimline.stages.networks.graphs.module import Outline, outline
from slimline.stages.training.scores import validation_scores
from slimline.stages.training.stacked_arrays import Array, select
from slimline.stages.training.stacked_config import Member
from slimline.stages.training.stacked_heads import StackedHeads
from slimline.stages.training.stacked_member import MemberTraining
from slimline.stages.training.stacked_optimizer import StackedOptimizer

PART_WEIGHTS = 2**18
"""Most weights of a part with several members: with their gradients and momentum they fit into 3 MB of cache."""


class Photos(NamedTuple):
    """Features [count, width], scaled as for a single head, and labels [count], for training and for validation."""

    features: Array
    labels: NDArray[np.int64]
    validation_features: Array
    validation_labels: NDArray[np.int64]
    classes: int


class Part:
    """Members whose heads are one network; `active` are those that have not ended, and `last` the final weights.

    `last` holds the weights of the others by the member's number and by name, for the scaled features.
    """

    def __init__(self, trainings: Sequence[MemberTraining], initial: Sequence[Mapping[str, Array]]) -> None:
        """Take the members' trainings and the initial values of each one's variables, by name."""
        members = [one.member for one in trainings]
        self.active, self.last = list(trainings), dict[int, dict[str, Array]]()
        self.heads = StackedHeads(
            initial,
            members[0].activation,
            [member.head.dropout for member in members],
            [member.train.label_smoothing for member in members],
        )
        optimizers, decays = [member.train.optimizer for member in members], [member.weight_decay for member in members]
        self._optimizer = StackedOptimizer(optimizers, decays, self.heads.values)
        self._measures: list[Array] = []

    def train(self, photos: Photos, order: NDArray[np.int64], first: int, draws: Sequence[Sequence[Array]]) -> None:
        """Run the steps of the batches `order` [steps, batch], of which the first is the epoch's step `first`.

        `draws` holds the uniform numbers [batch, inputs] for each layer of each step, if a member uses dropout.
        """
        epoch, steps = self._epoch, self.active[0].steps
        rates = np.stack([one.rates(epoch) for one in self.active], axis=1)
        measures: Array = np.empty((3, len(order), len(self.active)), np.float32)
        with np.errstate(all="ignore"):  # a member that diverges has infinite values and NaN
            for place, chosen in enumerate(order):
                own = draws[place] if self.heads.drops() else ()
                found = self.heads.step(photos.features[chosen], photos.labels[chosen], own)
                step = epoch * steps + first + place
                norms = self._optimizer.apply(self.heads.values, found.gradients, rates[first + place], step)
                measures[:, place] = found.loss, found.hits, norms
        self._measures.append(measures)

    def end_epoch(self, photos: Photos) -> int:
        """Validate, and remove the members that end; return the number of epochs that are done or not needed."""
        with np.errstate(all="ignore"):
            weights = self._optimizer.averages(self.heads.values)
            logits = self.heads.logits(photos.validation_features, weights)
            scores = validation_scores(logits, photos.validation_labels)
        measures = np.concatenate(self._measures, axis=1)
        self._measures.clear()
        epoch, members, done = self._epoch, len(self.active), 0
        for place, one in enumerate(self.active):
            one.end_epoch(epoch, measures[:, :, place], {name: float(values[place]) for name, values in scores.items()})
            done += one.epochs - epoch if one.ended else 1
            if one.ended:
                self.last[one.number] = {name: select(value, members, [place]) for name, value in weights.items()}
        kept = [place for place, one in enumerate(self.active) if not one.ended]
        self.active = [self.active[place] for place in kept]
        if kept and len(kept) < members:
            self.heads.keep(kept)
            self._optimizer.keep(kept, self.heads.values)
        return done

    @property
    def _epoch(self) -> int:
        return len(self.active[0].rows)


def make_groups(members: Sequence[Member], photos: Photos) -> Iterator[list[Part]]:
    """Yield groups of members of one form and one order of batches, in parts of limited size.

    Members of equal dropout are next to each other.
    """
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
        most = max(1, PART_WEIGHTS // sum(value.size for value in initial[0].values()))
        size = math.ceil(len(alike) / math.ceil(len(alike) / most))
        starts = range(0, len(alike), size)
        yield [Part(alike[start : start + size], initial[start : start + size]) for start in starts]


def _sharing(training: MemberTraining) -> tuple[str, int]:
    return str(training.member.form()), training.member.train.seed


def initial_values(member: Member, inputs: int, classes: int) -> Mapping[str, Array]:
    """Return a head's initial values by name, as the head stage draws them, for features [count, inputs]."""
    options = json.dumps({**member.head.options(), "dropout": 0.0})  # which changes no variable
    return _head_outline(member.head.kind, options, inputs, classes).initial_values({}, member.head.seed)


@lru_cache(maxsize=8)
def _head_outline(kind: str, options: str, inputs: int, classes: int) -> Outline:
    return outline(HEADS[kind].load()(classes, **json.loads(options)), (inputs,))

"""The order of a sweep's points: by the metric, then by the tie, then by their number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slimline.pipeline.sweeping.objectives import Objective, finite
from slimline.pipeline.sweeping.points import COMPLETED, FAILED, Outcome


@dataclass(frozen=True)
class Scored:
    """A point with its scores: one for each seed, their mean, and the means of all objectives and of the tie.

    `score` is None for a point without one; `pareto` says that no other point is better in one objective and at least
    as good in all others.
    """

    number: int
    outcome: Outcome
    status: str
    error: str
    scores: list[float]
    score: float | None
    losses: tuple[float, ...]
    tie: float
    pareto: bool = False

    @property
    def order(self) -> tuple[bool, tuple[float, ...], float, int]:
        """What points are sorted by."""
        return self.score is None, self.losses, self.tie, self.number

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds; None for one seed."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


def rank_points(
    outcomes: Mapping[int, Outcome], objectives: Sequence[Objective], tie: Objective | None
) -> list[Scored]:
    """Return the points, best first, those without a score last."""
    found = [_scored(number, outcome, objectives, tie) for number, outcome in sorted(outcomes.items())]
    if len(objectives) > 1:
        front = _front([one for one in found if one.score is not None])
        found = [Scored(**{**vars(one), "pareto": one.number in front}) for one in found]
    return sorted(found, key=lambda one: one.order)


def mean_fact(outcome: Outcome, name: str) -> float | None:
    """Return the mean of a fact over a point's seeds, or None if a seed does not have it as a finite number."""
    values = [finite(seed.facts.get(name)) for seed in outcome.seeds]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _scored(number: int, outcome: Outcome, objectives: Sequence[Objective], tie: Objective | None) -> Scored:
    status, error = outcome.status, outcome.error
    means = [mean_fact(outcome, one.name) for one in objectives] if status == COMPLETED else []
    if status == COMPLETED and None in means:
        missing = objectives[means.index(None)].name
        status, error = FAILED, f"{missing} is not a finite number."
    known = [one for one in means if one is not None]
    if status != COMPLETED:
        return Scored(number, outcome, status, error, [], None, (), math.inf)
    losses = tuple(one.loss(value) for one, value in zip(objectives, known, strict=True))
    scores = [float(seed.facts[objectives[0].name]) for seed in outcome.seeds]
    apart = mean_fact(outcome, tie.name) if tie else None
    return Scored(
        number,
        outcome,
        status,
        error,
        scores,
        known[0],
        losses,
        tie.loss(apart) if tie and apart is not None else math.inf,
    )


def _front(points: Sequence[Scored]) -> set[int]:
    """Return the numbers of the points that no other point dominates."""
    return {
        one.number
        for one in points
        if not any(_dominates(other.losses, one.losses) for other in points if other is not one)
    }


def _dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))

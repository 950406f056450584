"""Ending points that lag behind: the median rule.

Source: Golovin et al. 2017, Google Vizier, https://doi.org/10.1145/3097983.3098043, section 3.1.2.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import accumulate

from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.watching import Pruned

FIRST_POINTS = 4
"""So many points run to their end before any is ended early."""
FIRST_EPOCHS = 5
"""Epochs of a point that are never its last."""


class MedianRule:
    """Ends a training whose best value so far is worse than the median of the earlier points' at the same epoch."""

    def __init__(self, objective: Objective, earlier: Sequence[Sequence[float]]) -> None:
        """`earlier` holds the curves of the points before this one that ran to their end."""
        self._objective, self._earlier = objective, earlier
        self.curve: list[float] = []

    def __call__(self, stage: str, measures: Mapping[str, Sequence[float]]) -> None:
        """Take the measures of all epochs so far.

        Raises:
            Pruned: the training lags behind.
        """
        own, _, fact = self._objective.name.rpartition(".")
        if stage != own or fact not in measures:
            return
        self.curve = list(accumulate(measures[fact], max if self._objective.maximize else min))
        epoch = len(self.curve)
        others = [curve[min(epoch, len(curve)) - 1] for curve in self._earlier if curve]  # some stopped by themselves
        if len(others) < FIRST_POINTS or epoch <= FIRST_EPOCHS:
            return
        median = statistics.median(others)
        if self._objective.loss(self.curve[-1]) > self._objective.loss(median):
            raise Pruned(f"after {epoch} epochs: {fact} {self.curve[-1]:.4f}, the median is {median:.4f}")

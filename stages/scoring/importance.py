"""Importance of settings: how much of a sweep's objective each setting explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_POINTS, LEAST_SETTINGS = 8, 2
FOLDS, TREES, SHUFFLES = 5, 100, 10


class Importance(NamedTuple):
    """The share of each setting, most important first; they add up to 1.

    `explained` is R², cross-validated: the share of the objective's variance that the settings predict for points that
    the forest has not seen. `reason` says why there are no shares; it is empty if there are.
    """

    shares: Mapping[str, float]
    explained: float | None
    reason: str = ""


def importance(settings: Mapping[str, Sequence[Any]], scores: Sequence[float]) -> Importance:
    """Return the importance of settings for the scores of points; `settings` has a value for each point and name.

    The points are split into five folds. A random forest learns the score from the other folds; then the values of one
    setting are shuffled among the points of the fold, and the increase of the squared error is what the forest loses
    without this setting. The result does not depend on the scale of numbers, only on their order. It is deterministic.

    Source: Breiman 2001, Random forests, https://doi.org/10.1023/A:1010933404324; for settings: Hutter, Hoos and
    Leyton-Brown 2014, An efficient approach for assessing hyperparameter importance (ICML).
    """
    if len(settings) < LEAST_SETTINGS:
        return Importance({}, None, "it takes two settings that vary")
    if len(scores) < LEAST_POINTS:
        return Importance({}, None, f"it takes {LEAST_POINTS} points with a score, and there are {len(scores)}")
    if len(set(scores)) == 1:
        return Importance({}, None, "all points have the same score")
    values = np.stack([_codes(column) for column in settings.values()], axis=1)
    targets = np.asarray(scores, np.float64)
    error, increases = _cross_validated(values, targets)
    explained = 1 - error / float(np.mean((targets - targets.mean()) ** 2))
    lost = np.maximum(increases, 0)
    if explained <= 0 or not lost.any():
        return Importance({}, explained, "the settings do not predict the score of points that the forest has not seen")
    shares = dict(zip(settings, (lost / lost.sum()).tolist(), strict=True))
    return Importance(dict(sorted(shares.items(), key=lambda one: -one[1])), explained)


def _cross_validated(values: NDArray[Any], targets: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Return the mean squared error on points [count] that were left out, and its increase for each shuffled column."""
    from sklearn.ensemble import RandomForestRegressor  # imported here: it takes half a second
    from sklearn.model_selection import KFold

    random = np.random.default_rng(0)
    error, increases = 0.0, np.zeros(values.shape[1])
    for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(values):
        forest = RandomForestRegressor(TREES, random_state=0).fit(values[seen], targets[seen])
        kept = _squared_error(forest, values[unseen], targets[unseen])
        error += kept
        for column in range(values.shape[1]):
            shuffled = np.tile(values[unseen], (SHUFFLES, 1))
            shuffled[:, column] = np.concatenate([random.permutation(values[unseen, column]) for _ in range(SHUFFLES)])
            again = _squared_error(forest, shuffled, np.tile(targets[unseen], SHUFFLES))
            increases[column] += again / SHUFFLES - kept
    return error / len(targets), increases / len(targets)


def _squared_error(forest: Any, values: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the sum of squared errors of a forest's predictions."""
    return float(np.sum((forest.predict(values) - targets) ** 2))


def _codes(column: Sequence[Any]) -> NDArray[np.float64]:
    """Return the rank of each value among the distinct ones: numbers by size, texts by alphabet, and None first."""
    numbers = all(isinstance(value, int | float) for value in column if value is not None)
    distinct = sorted(
        {value for value in column if value is not None}, key=lambda value: value if numbers else str(value)
    )
    places = {value: place for place, value in enumerate(distinct)}
    return np.array([places.get(value, -1) for value in column], np.float64)

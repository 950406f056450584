"""Planted errors: labels that are made wrong on purpose, to measure how many wrong labels a search finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARE = 0.01
FEWEST, MOST_SHARE = 30, 0.05
"""At least 30 labels are changed, unless these exceed 5% of all: few errors tell little, many change the model."""
SMALLEST_CLASS = 10
"""Every tenth label of a class is changed at most, so that a class never loses all its labels."""


def plant_errors(scores: NDArray[Any], numbers: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the labels [photos], 0 to classes - 1, with some of them changed, drawn by the seed.

    A changed label is drawn by the probabilities `scores` [photos, classes] of the photo's other classes: mistakes are
    made between classes that look alike, and these are harder to find than random ones.
    """
    count = max(round(SHARE * len(numbers)), min(FEWEST, int(MOST_SHARE * len(numbers))))
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, count])))
    left = np.bincount(numbers) // SMALLEST_CLASS
    planted = numbers.copy()
    for photo in draw.permutation(len(numbers)):
        if not count:
            break
        number = numbers[photo]
        if left[number]:
            left[number] -= 1
            count -= 1
            planted[photo] = _other_class(scores[photo], number, draw.random())
    return planted


def _other_class(scores: NDArray[Any], number: int, draw: float) -> int:
    """Return the class that a draw from [0, 1) chooses by the probabilities [classes] of the classes but `number`."""
    others = np.delete(np.arange(len(scores)), number)
    chances = np.maximum(scores[others], np.finfo(np.float32).tiny)
    ends = np.cumsum(chances)
    return int(others[min(np.searchsorted(ends, draw * ends[-1], side="right"), len(others) - 1)])

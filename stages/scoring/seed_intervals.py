"""Confidence intervals of a mean over several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.special import stdtrit

from slimline.stages.scoring.intervals import CONFIDENCE, Interval


def seed_interval(scores: Sequence[float]) -> Interval | None:
    """Return the 95% interval of the mean of scores, by Student's t; None for fewer than two scores.

    It says how much chance in training moves the mean, not how much the choice of photos does. Source: Student 1908,
    https://doi.org/10.1093/biomet/6.1.1.
    """
    if len(scores) < 2:
        return None
    quantile = float(stdtrit(len(scores) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * stdev(scores) / math.sqrt(len(scores))
    return fmean(scores) - half, fmean(scores) + half

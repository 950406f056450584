"""Confidence intervals of accuracies, which stay wide where there are few photos."""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""

Interval = tuple[float, float]


def wilson_interval(right: int, count: int) -> Interval:
    """Return the 95% interval of the accuracy of which `right` of `count` photos are a sample: 2 of 2 give 34% to 100%.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Raises:
        ValueError: there are no photos, or `right` is not from 0 to `count`.
    """
    if not 0 <= right <= count or not count:
        raise ValueError(f"{right} of {count} is not a share of photos")
    share, spread = right / count, Z**2 / count
    center = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    # Rounding must not move an end past 0 or 1, nor past the share itself, where all or none are right.
    return (0.0 if right == 0 else center - half), (1.0 if right == count else center + half)


def mean_interval(counts: Sequence[tuple[int, int]]) -> Interval:
    """Return the 95% interval of the mean of several classes' accuracies, each `right` of `count` photos of its own.

    Each class's Wilson interval contributes the distance of its ends from its share. Source: Zou and Donner 2008,
    Construction of confidence limits about effect measures (MOVER), https://doi.org/10.1002/sim.3095.
    """
    shares = [right / count for right, count in counts]
    ends = [wilson_interval(right, count) for right, count in counts]
    mean = sum(shares) / len(shares)
    below = math.hypot(*(share - low for share, (low, _) in zip(shares, ends, strict=True))) / len(shares)
    above = math.hypot(*(high - share for share, (_, high) in zip(shares, ends, strict=True))) / len(shares)
    return max(0.0, mean - below), min(1.0, mean + above)

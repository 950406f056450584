"""Intervals against published values, and against how often they hold the true accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.scoring.intervals import mean_interval, wilson_interval


@pytest.mark.parametrize(
    ("right", "count", "ends"),
    [
        (2, 2, (0.3424, 1.0)),
        (0, 2, (0.0, 0.6576)),
        (26, 26, (0.8713, 1.0)),
        # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_published_intervals(right, count, ends):
    assert wilson_interval(right, count) == pytest.approx(ends, abs=5e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 307, 100_000])
def test_an_interval_is_inside_0_to_1_and_never_a_single_point(count):
    for right in {0, 1, count // 2, count - 1, count}:
        low, high = wilson_interval(right, count)
        assert 0 <= low <= right / count <= high <= 1
        assert high - low > 1e-5


@pytest.mark.parametrize(("right", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_no_share_has_no_interval(right, count):
    with pytest.raises(ValueError, match=f"{right} of {count}"):
        wilson_interval(right, count)


def test_the_mean_of_one_class_has_its_interval():
    assert mean_interval([(7, 9)]) == pytest.approx(wilson_interval(7, 9))
    low, high = mean_interval([(3, 3), (2, 2)])
    assert (low, high) == (pytest.approx(1 - np.hypot(0.5615, 0.6576) / 2, abs=1e-3), 1.0)


def test_the_interval_of_a_mean_holds_it_in_95_of_100_samples():
    draw = np.random.default_rng(0)
    shares, counts = np.array([0.95, 0.8, 0.9]), np.array([12, 40, 25])
    held = 0
    for _ in range(2000):
        low, high = mean_interval(list(zip(draw.binomial(counts, shares).tolist(), counts.tolist(), strict=True)))
        held += low <= shares.mean() <= high
    assert 0.935 < held / 2000 < 0.98

from __future__ import annotations

import math

import pytest

from slimline.stages.scoring.seed_intervals import seed_interval


@pytest.mark.parametrize(
    ("scores", "quantile"),
    [([0.8, 0.9], 12.7062), ([0.8, 0.85, 0.9], 4.3027), ([0.7, 0.8, 0.8, 0.9, 0.9], 2.7764)],
)
def test_the_interval_is_students(scores, quantile):
    """The quantiles are those of printed tables, for 1, 2 and 4 degrees of freedom."""
    mean = sum(scores) / len(scores)
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1))
    half = quantile * deviation / math.sqrt(len(scores))
    assert seed_interval(scores) == pytest.approx((mean - half, mean + half), abs=1e-5)


def test_one_seed_has_no_interval():
    assert seed_interval([0.5]) is None
    assert seed_interval([]) is None


def test_equal_scores_have_an_empty_interval():
    assert seed_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)

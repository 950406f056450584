"""Importance of settings, on objectives whose dependence on the settings is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slimline.stages.scoring.importance import importance

RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
GRID = list(itertools.product(RATES, ["linear", "mlp"], [0.0, 0.1, 0.2]))
SETTINGS = {"rate": [one[0] for one in GRID], "head": [one[1] for one in GRID], "smoothing": [one[2] for one in GRID]}


@pytest.mark.slow
def test_a_setting_that_decides_alone_has_all_the_importance():
    found = importance(SETTINGS, [float(head == "mlp") for head in SETTINGS["head"]])
    assert found.reason == ""
    assert found.shares == pytest.approx({"head": 1.0, "rate": 0.0, "smoothing": 0.0})
    assert found.explained == pytest.approx(1.0)
    assert next(iter(found.shares)) == "head"


@pytest.mark.slow
def test_shares_follow_the_variance_that_a_setting_explains():
    """An additive objective: the shares are those of the variances, 4 to 1."""
    scores = [2.0 * (head == "mlp") + (rate > 0.02) for rate, head, _ in GRID]
    found = importance(SETTINGS, scores)
    assert found.shares["head"] == pytest.approx(0.8, abs=0.1)
    assert found.shares["rate"] == pytest.approx(0.2, abs=0.1)
    assert sum(found.shares.values()) == pytest.approx(1)


@pytest.mark.slow
def test_the_result_is_the_same_each_time_and_depends_on_the_order_of_numbers_only():
    scores = [-abs(np.log10(rate) + 2) for rate in SETTINGS["rate"]]
    found = importance(SETTINGS, scores)
    assert found == importance(SETTINGS, scores)
    scaled = {**SETTINGS, "rate": [np.log(rate).item() for rate in SETTINGS["rate"]]}
    assert importance(scaled, scores) == found


@pytest.mark.slow
def test_noise_has_no_importance():
    found = importance(SETTINGS, np.random.default_rng(0).normal(size=len(GRID)).tolist())
    assert found.shares == {}
    assert found.explained is not None and found.explained <= 0
    assert "do not predict" in found.reason


@pytest.mark.slow
def test_missing_values_count_as_a_value():
    settings = {"width": [None if head == "linear" else 8 for head in SETTINGS["head"]], "rate": SETTINGS["rate"]}
    found = importance(settings, [float(head == "mlp") for head in SETTINGS["head"]])
    assert found.shares["width"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "scores", "reason"),
    [
        ({"rate": RATES * 2}, RATES * 2, "it takes two settings that vary"),
        ({}, [], "it takes two settings that vary"),
        ({"rate": RATES, "head": RATES}, RATES, "it takes 8 points with a score, and there are 6"),
        ({"rate": RATES * 2, "head": RATES * 2}, [0.5] * 12, "all points have the same score"),
    ],
)
def test_it_is_not_computed_where_it_would_mean_nothing(settings, scores, reason):
    assert importance(settings, scores) == ({}, None, reason)
